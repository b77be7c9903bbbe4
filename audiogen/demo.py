"""The demonstration: speak a sentence, stream it back through the recogniser, and leave what one can hear and see."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.files import write_text
from audiogen.metrics.picture import TimedPhone, speech_svg
from audiogen.metrics.report import Report
from audiogen.metrics.text import word_error_rate
from audiogen.metrics.timing import environment

if TYPE_CHECKING:
    from audiogen.infer.listen import Listener
    from audiogen.infer.speak import Speaker
    from audiogen.infer.speech import Speech

WARM_UP = "Hello."
CHUNK_SECONDS = 0.16


@dataclass(frozen=True)
class SentencePath:
    """Phones of a sentence, timed from its start; `attention` [T, P] its frames gave to the prompt's, if that shows."""

    phones: list[TimedPhone]
    attention: Tensor | None


@dataclass(frozen=True)
class Spoken:
    """Speech: wave [1, N], phones with times, the path of each sentence, seconds to the first chunk and in all."""

    wave: Tensor
    sample_rate: int
    phones: list[TimedPhone]
    paths: list[SentencePath]
    first: float
    taken: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.wave.shape[-1] / self.sample_rate


@dataclass(frozen=True)
class Heard:
    """What was heard: (seconds of sound heard so far, text) whenever it changed, and how long it took in all."""

    partials: list[tuple[float, str]]
    taken: float

    @property
    def text(self) -> str:
        """The final text."""
        return self.partials[-1][1]


def run_demo(speaker: "Speaker", listener: "Listener", text: str, folder: Path) -> None:
    """Speak `text`, hear it back, print what happens and leave the files in `folder`.

    The files are `speech.wav`, `transcript.txt` (the text as it streamed), `picture.svg` (the phones drawn on the
    spectrogram) and `report.html`.

    Raises:
        AudiogenError: If `folder` cannot be made, or for a text that cannot be spoken.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudiogenError(f"cannot make the folder {folder}: {error.strerror}") from None
    console = Console(highlight=False)
    for _ in speaker.stream(WARM_UP):  # the first speech of a process also pays for memory and code to be set up
        pass
    console.print(f"[bold]speaking[/]   {escape(text)}")
    spoken = _speak(speaker, text)
    console.print("[bold]listening[/]")
    heard = _listen(listener, spoken, console)
    figures = _figures(text, spoken, heard)
    _write(folder, text, spoken, heard, figures)
    console.print(_table(figures))
    console.print(f"[bold]left in {escape(str(folder))}[/]: speech.wav, transcript.txt, picture.svg, report.html")


def _speak(speaker: "Speaker", text: str) -> Spoken:
    """Speak in a stream and take the time; the phones are those of the same speech made whole."""
    begun, first, chunks = time.perf_counter(), None, []
    for chunk in speaker.stream(text):
        first = first or time.perf_counter() - begun
        chunks.append(chunk)
    taken = time.perf_counter() - begun
    speech = speaker.synthesize(text)
    paths = list(_paths(speaker, speech))
    return Spoken(torch.cat(chunks, dim=-1), speaker.sample_rate, speech.phones, paths, first, taken)


def _paths(speaker: "Speaker", speech: "Speech") -> Iterator[SentencePath]:
    """Each sentence's phones, timed from its own start, with the attention to the prompt meanwhile."""
    if not speech.phones:
        return
    phones, attention = iter(speech.phones), speaker.attention_to_prompt(speech)
    for line in speech.lines:
        own = list(islice(phones, len(line.phones)))
        begun, end = own[0][1], own[-1][2]
        frames = slice(round(begun * speaker.frame_rate), round(end * speaker.frame_rate))
        own = [(phone, start - begun, stop - begun) for phone, start, stop in own]
        yield SentencePath(own, None if attention is None else attention[frames])


def _listen(listener: "Listener", spoken: Spoken, console: Console) -> Heard:
    """Stream the speech through the recogniser in small chunks, printing the text whenever it changes."""
    wave = audio.resample(spoken.wave, spoken.sample_rate, listener.sample_rate)[0]
    begun, partials = time.perf_counter(), []
    session = listener.session()
    for chunk in wave.split(round(CHUNK_SECONDS * listener.sample_rate)):
        session.feed(chunk)
        _note(partials, session.seconds, session.partial().text, console)
    session.finish()
    _note(partials, session.seconds, session.partial().text, console)
    return Heard(partials or [(session.seconds, "")], time.perf_counter() - begun)


def _note(partials: list[tuple[float, str]], seconds: float, text: str, console: Console) -> None:
    if text != (partials[-1][1] if partials else ""):
        partials.append((seconds, text))
        console.print(f"  [dim]{seconds:5.2f} s[/]  {escape(text)}")


def _figures(text: str, spoken: Spoken, heard: Heard) -> dict[str, str]:
    wrong = word_error_rate([text], [heard.text])
    return {
        "first audio": f"{1000 * spoken.first:.0f} ms",
        "speaking, real-time factor": f"{spoken.taken / spoken.seconds:.3f}",
        "listening, real-time factor": f"{heard.taken / spoken.seconds:.3f}",
        f"word error rate, {wrong.counts.length} words": f"{wrong.value:.2f}",
    }


def _table(figures: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, value in figures.items():
        table.add_row(label, value)
    return table


def _write(folder: Path, text: str, spoken: Spoken, heard: Heard, figures: dict[str, str]) -> None:
    audio.write(folder / "speech.wav", spoken.wave, spoken.sample_rate)
    lines = [f"{seconds:6.2f} s  {partial}" for seconds, partial in heard.partials]
    write_text(folder / "transcript.txt", "\n".join(lines) + "\n")
    write_text(folder / "picture.svg", speech_svg(spoken.wave, spoken.sample_rate, spoken.phones))
    machine = environment()
    subtitle = f"torch {machine['torch']} with {torch.get_num_threads()} thread(s) on {machine['processor']}"
    report = Report("A sentence spoken and heard", subtitle)
    report.figures(figures)
    report.section("Spoken", "Made from the text as a stream; under it the phones where the model placed them.")
    report.speech("speech.wav", spoken.wave, spoken.sample_rate, text, spoken.phones)
    if spoken.paths:
        report.section("The way", "The phone pointer's steps, and where in the prompt the model looked meanwhile.")
    for number, path in enumerate(spoken.paths, 1):
        report.path(f"sentence {number}", path.phones, path.attention)
    report.section("Heard", "The same sound, streamed through the recogniser; the text as it came.")
    report.transcript("transcript.txt", heard.partials, spoken.wave, spoken.sample_rate, text)
    report.write(folder / "report.html")
