"""Text to speech with a voice bundle: whole, sentence by sentence, or in a stream that begins to sound at once.

Text is spoken sentence by sentence, each after the same voice prompt, so memory does not grow and the voice does not
drift. In a stream the first codebook runs a chunk ahead in a thread of its own, the others and the codec follow; a
chunk never hears what comes after it, so the speech is the same as when it is made whole. Made whole, several sentences
are spoken at a time.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, chain, islice, pairwise, repeat
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch
from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.batch import SpeechBatch, Spoken
from audiogen.infer.judge import PhoneJudge
from audiogen.infer.recordings import Coded, Recording, StreamDecoder, coded
from audiogen.infer.sampling import seeded
from audiogen.infer.script import Line, TimedPhone, at_speed, read_text, retimed, without_first_pause
from audiogen.infer.speech import SpeakOptions, Speech, joined
from audiogen.models.valle_r import Outline, SpeechState, Utterance, VoicePrompt
from audiogen.text.frontend import TextFrontend

ALIGNER = "aligner-en"
STREAMED_CHUNKS = (1, 1, 2, 3)  # the first chunk soon, later ones in larger steps, which cost less
PROMPT_SECONDS = (1.0, 15.0)
READ_SECONDS = (0.2, 60.0)
REMEMBERED_VOICES = 4
TOGETHER = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Task:
    """A line to be said like a prompt, with chance of its own."""

    line: Line
    prompt: VoicePrompt
    seed: int


class Speaker:
    """Speaks with one voice model through one codec.

    Args:
        bundle: A bundle of kind `acoustic`; its assets hold the `frontend` and the `voices`, and its model speaks by
            `prime`, `init_state`, `outline`, `fill` and `durations`, as `VallER` does.
        codec: The bundle of the codec it was trained on, with its model.
        aligner: Name or folder of the phone recogniser that finds the phones in recordings.
    """

    def __init__(self, bundle: Bundle, codec: Bundle, aligner: str | Path = ALIGNER) -> None:
        for asset in ("frontend", "voices"):
            if not bundle.assets.get(asset):
                raise AudiogenError(f"the voice bundle {bundle.folder or bundle.name} lacks its {asset!r}")
        self.model, self.codec, self.aligner = bundle.model, codec.model, aligner
        self.frontend = TextFrontend.from_dict(bundle.assets["frontend"])
        self._voices = {name: self._read_voice(voice) for name, voice in bundle.assets["voices"].items()}
        # Reading a prompt takes as long as speaking a second, and is the same for every sentence.
        self._primed = lru_cache(REMEMBERED_VOICES)(lambda prompt: self.model.prime([prompt]))

    @property
    def sample_rate(self) -> int:
        """Of everything it speaks."""
        return self.codec.spec.sample_rate

    @property
    def frame_rate(self) -> float:
        """Merged frames a second, the grain of all durations."""
        return float(self.codec.spec.frame_rate / self.model.config.merge)

    @property
    def voices(self) -> list[str]:
        """Names of its voices; the first is the default."""
        return list(self._voices)

    def to_int8(self) -> None:
        """Speak with 8-bit weights from now on: a little less exact, and faster where the CPU has VNNI.

        Without it a voice as small as those that ship gains only where several sentences are spoken at a time. All that
        goes through a layer at once shares one scale of activations, so a stream is no longer exactly the whole.

        Raises:
            AudiogenError: If the model or the machine has none.
        """
        if not hasattr(self.model, "to_int8"):
            raise AudiogenError(f"{type(self.model).__name__} has no 8-bit weights; leave out int8")
        self.model.to_int8()
        self._primed.cache_clear()

    def synthesize(
        self,
        text: str | Sequence[Line],
        voice: str | VoicePrompt | None = None,
        options: SpeakOptions | None = None,
        seed: int = 0,
    ) -> Speech:
        """Speak `text` whole.

        Args:
            text: What to say, with phones in double brackets where wanted (`[[təmˈeɪtoʊ]]`, `[[sil:0.5]]` for a pause
                of half a second); or lines, as `lines` and `timed_like` make them and `Speech.lines` are.
            voice: A name of `voices`, or what `voice_from_recording` made.
            options: How to say it.
            seed: Another number, another reading.

        Raises:
            AudiogenError: For a text with nothing to say, a text that is too long, an unknown voice, or durations that
                the model cannot keep to.
        """
        return joined(list(self.sentences(text, voice, options, seed)))

    def sentences(
        self,
        text: str | Sequence[Line],
        voice: str | VoicePrompt | None = None,
        options: SpeakOptions | None = None,
        seed: int = 0,
        readings: int = 1,
        judge: PhoneJudge | None = None,
    ) -> Iterator[Speech]:
        """Speak `text` sentence by sentence, several at a time; see `synthesize`.

        Args:
            text: What to say.
            voice: In which voice.
            options: How to say it.
            seed: Another number, another reading.
            readings: Read each sentence so many times and keep the one that fits its phones best.
            judge: Who decides that; without one the first is kept.
        """
        options = options or SpeakOptions()
        tasks = self.tasks(text, voice, options, seed, readings)
        return self._say(tasks, options, StreamDecoder(self.codec), readings, judge)

    def stream(
        self,
        text: str | Sequence[Line],
        voice: str | VoicePrompt | None = None,
        options: SpeakOptions | None = None,
        seed: int = 0,
    ) -> Iterator[Tensor]:
        """Speak `text` in chunks [1, n], each as soon as it is made; see `synthesize`."""
        options = options or SpeakOptions()
        for wave in self._chunks(self.tasks(text, voice, options, seed), options):
            if wave.shape[-1]:
                yield wave

    def voice_prompt(self, voice: str | VoicePrompt | None = None) -> VoicePrompt:
        """What a voice is spoken after: the default's, that of a name, or itself."""
        if isinstance(voice, VoicePrompt):
            return voice
        name = self.voices[0] if voice is None else voice
        if name not in self._voices:
            raise unknown_name("voice", name, self._voices)
        return self._voices[name]

    def seconds_a_phone(self, voice: str | VoicePrompt | None = None) -> float:
        """How long a phone lasts on average in the prompt of a voice."""
        return float(self.voice_prompt(voice).durations.float().mean()) / self.frame_rate

    def lines(self, text: str, pause: float | None = None) -> list[Line]:
        """What `text` is read as, sentence by sentence, to be looked at or changed before it is said.

        Args:
            text: What to say.
            pause: Seconds to pause at every break and after every sentence; by default as the voice likes.
        """
        return list(read_text(text, self.frontend, pause))

    def timed_like(
        self, recording: str | Path | Tensor, text: str | Sequence[Line], sample_rate: int | None = None
    ) -> list[Line]:
        """`text` with the durations and pauses it has in a recording of it, to be said in any voice.

        Args:
            recording: A sound file, or a wave [N] or [1, N] with its `sample_rate`, of at most a minute.
            text: What is said in it, word for word.

        Raises:
            AudiogenError: If the recording cannot be read or does not fit the text.
        """
        lines = self.lines(text) if isinstance(text, str) else text
        phones = [phone for line in lines for phone in line.phones]
        heard = Recording.of(recording, sample_rate or self.sample_rate, READ_SECONDS)
        return retimed(lines, heard.timings(self.aligner, phones))

    def voice_from_recording(
        self, recording: str | Path | Tensor, transcript: str, sample_rate: int | None = None
    ) -> VoicePrompt:
        """A voice like that of a recording of a few seconds.

        Args:
            recording: A sound file, or a wave [N] or [1, N] with its `sample_rate`.
            transcript: What is said in it, word for word.

        Raises:
            AudiogenError: If the recording cannot be read, is too short or too long, or does not fit the transcript.
        """
        return self._coded(recording, transcript, sample_rate).prompt

    def continue_recording(
        self,
        recording: str | Path | Tensor,
        transcript: str,
        text: str | Sequence[Line],
        options: SpeakOptions | None = None,
        seed: int = 0,
        sample_rate: int | None = None,
    ) -> Speech:
        """Go on from the last phone of a recording as if it had not ended (continual prompting, VALL-E §5).

        Args:
            recording: A sound file, or a wave [N] or [1, N] with its `sample_rate`.
            transcript: What is said in it, word for word.
            text: What is said next.
            options: How to say it.
            seed: Another number, another reading.

        Returns:
            What comes after the recording's last phone.
        """
        options, known = options or SpeakOptions(), self._coded(recording, transcript, sample_rate)
        open_ended = known.part(0, len(known.phones) - 1)
        first, *others = self.tasks(text, known.prompt, options, seed)
        tasks = [Task(without_first_pause(first.line), open_ended, first.seed), *others]
        return joined(list(self._say(tasks, options, StreamDecoder(self.codec, open_ended.codes))))

    @torch.inference_mode()
    def attention_to_prompt(self, speech: Speech, voice: str | VoicePrompt | None = None) -> Tensor | None:
        """Where in the voice prompt the model looked while it said each merged frame of `speech`, for pictures.

        Args:
            speech: What it said, with a pointer.
            voice: In which voice.

        Returns:
            Shares [T, P] of all that the frames attended to, for the merged frames of the prompt; None from a model
            that does not show them.
        """
        if not hasattr(self.model, "attention"):
            return None
        prompt, parts, begun = self.voice_prompt(voice), [], 0
        for line in speech.lines:
            phones = torch.tensor(self.frontend.inventory.encode(line.phones))
            utterance = Utterance(phones, prompt, line.frames(self.frame_rate))
            end = begun + int(utterance.durations.sum())
            codes = speech.codes[0, :: self.model.config.merge][begun:end]
            told, heard = len(prompt.phones) + len(phones) + 1, int(prompt.durations.sum())
            parts.append(self.model.attention(utterance, codes)[:, told : told + heard])
            begun = end
        return torch.cat(parts)

    def tasks(
        self,
        text: str | Sequence[Line],
        voice: str | VoicePrompt | None,
        options: SpeakOptions,
        seed: int,
        readings: int = 1,
    ) -> Iterator[Task]:
        """What there is to do for `text`: every line, `readings` times; see `sentences`."""
        prompt = self.voice_prompt(voice)
        lines = read_text(text, self.frontend, options.pause) if isinstance(text, str) else text
        for number, line in enumerate(lines):
            for reading in range(readings):
                yield Task(line, prompt, reading_seed(seed, number, reading))

    @torch.inference_mode()
    def begin(self, task: Task, options: SpeakOptions) -> SpeechState:
        """The model's state before the first frame of a line, whose durations are all set where a speed is wanted."""
        preset = task.line.frames(self.frame_rate)
        if (options.speed != 1 or preset.any()) and not self.model.config.pointer:
            raise AudiogenError("plain VALL-E has no phone pointer: it takes no speed, pauses or durations")
        state = self._start(task, preset, options)
        if options.speed == 1 or preset.all():
            return state
        _, planned = self.model.outline(state, options.generate())
        return self._start(task, at_speed(self.model.durations(planned)[0], preset, options.speed), options)

    def _read_voice(self, voice: dict[str, Any]) -> VoicePrompt:
        phones = torch.tensor(self.frontend.inventory.encode(voice["phones"]))
        return VoicePrompt(torch.tensor(voice["codes"]), phones, torch.tensor(voice["durations"]))

    @torch.inference_mode()
    def _coded(self, recording: str | Path | Tensor, transcript: str, sample_rate: int | None) -> Coded:
        """A voice prompt's codes and phones."""
        if not transcript or not transcript.strip():
            raise AudiogenError("a voice prompt needs a transcript: what is said in it, word for word")
        heard = Recording.of(recording, sample_rate or self.sample_rate, PROMPT_SECONDS)
        timings = heard.timings(self.aligner, self.frontend.phones(transcript))
        return coded(heard, timings, self.codec, self.frontend.inventory, self.model.config.merge)

    def _start(self, task: Task, preset: Tensor, options: SpeakOptions) -> SpeechState:
        phones = torch.tensor(self.frontend.inventory.encode(task.line.phones))
        utterance = Utterance(phones, task.prompt, preset if preset.any() else None)
        generator = seeded(task.seed)
        return self.model.init_state([utterance], options.generate(), generator, self._primed(task.prompt))

    @torch.inference_mode()
    def _chunks(self, tasks: Iterator[Task], options: SpeakOptions) -> Iterator[Tensor]:
        """The wave [1, n] of one chunk after the other."""
        decode, fine = StreamDecoder(self.codec), None
        for state, outline in ahead(self._outlines(tasks, options)):
            tokens, fine = self.model.fill(outline, state.fine if fine is None else fine)
            fine = None if state.done else fine
            yield decode(tokens.codes[0])
        yield decode.rest()

    @torch.inference_mode()
    def _outlines(self, tasks: Iterator[Task], options: SpeakOptions) -> Iterator[tuple[SpeechState, Outline]]:
        """A line's state after its next chunks, with `fine` as at its start, and those chunks."""
        drawing, steps = options.generate(), chain(STREAMED_CHUNKS, repeat(STREAMED_CHUNKS[-1]))
        for task in tasks:
            state = self.begin(task, options)
            while not state.done:
                outline, state = self.model.outline(state, drawing, next(steps))
                yield state, outline

    @torch.inference_mode()
    def _say(
        self,
        tasks: Iterator[Task],
        options: SpeakOptions,
        decode: StreamDecoder,
        readings: int = 1,
        judge: PhoneJudge | None = None,
    ) -> Iterator[Speech]:
        """One line's speech after the other, the best of its readings."""
        said, frames, read = None, 0, ahead(self._together(tasks, options))
        while candidates := list(islice(read, readings)):
            line, codes = self._best(candidates, judge)
            if said is not None:
                yield said
            said = Speech(decode(codes), self.sample_rate, codes, self._timings(line, frames), [line])
            frames += codes.shape[1]
        if said is None:
            raise AudiogenError("there are no lines to say; give at least one")
        yield replace(said, wave=torch.cat([said.wave, decode.rest()], -1))

    @torch.inference_mode()
    def _together(self, tasks: Iterator[Task], options: SpeakOptions) -> Iterator[tuple[Line, Tensor]]:
        """Lines as they were timed, with their codes [K, T], in order; several are spoken at a time."""
        batch, tasks = SpeechBatch(self.model, options.generate()), iter(tasks)
        under_way: dict[int, tuple[Task, list[Spoken]]] = {}
        while True:
            for task in islice(tasks, TOGETHER - len(batch)):
                under_way[batch.join(self.begin(task, options))] = task, []
            if not under_way:
                return
            for session, spoken in batch.step().items():
                under_way[session][1].append(spoken)
            while under_way and (first := next(iter(under_way))) not in batch:
                task, parts = under_way.pop(first)
                yield self._timed(task.line, parts[-1].durations), torch.cat([part.codes for part in parts], 1)

    def _best(self, candidates: Sequence[tuple[Line, Tensor]], judge: PhoneJudge | None) -> tuple[Line, Tensor]:
        """The line, timed, and the codes that fit it best."""
        if judge is None or len(candidates) == 1:
            return candidates[0]

        def misfit(candidate: tuple[Line, Tensor]) -> float:
            line, codes = candidate
            decode = StreamDecoder(self.codec)
            return judge.misfit(line.phones, torch.cat([decode(codes), decode.rest()], -1), self.sample_rate)

        return min(candidates, key=misfit)

    def _timed(self, line: Line, counts: Tensor) -> Line:
        """The line with the seconds of `counts` merged frames, which are all 0 from a model without a pointer."""
        seconds = tuple(count / self.frame_rate for count in counts.tolist())
        return replace(line, seconds=seconds) if counts.any() else line

    def _timings(self, line: Line, frames: int) -> list[TimedPhone]:
        """The phones of a timed line that begins at frame `frames`."""
        if None in line.seconds:
            return []
        ends = [frames / float(self.codec.spec.frame_rate) + seconds for seconds in accumulate(line.seconds, initial=0)]
        return [(phone, *bounds) for phone, bounds in zip(line.phones, pairwise(ends), strict=True)]


def reading_seed(seed: int, line: int, reading: int) -> int:
    """The seed of one of several readings of a line, so that no line's depends on another's."""
    return Random(f"{seed} {line} {reading}").getrandbits(63)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; while one is used, the next is made in another thread."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = worker.submit(next, items, None)
            yield item
