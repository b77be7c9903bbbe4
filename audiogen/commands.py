"""What each command of the command line does with its options; see `cli.py` for what they are."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from audiogen.infer.speak import Speaker

from audiogen import api, audio
from audiogen.checkpoint import Bundle, save_bundle
from audiogen.errors import AudiogenError, unknown_name
from audiogen.extras import require
from audiogen.files import check_writable, write_json
from audiogen.infer.endpoint import EndpointRules
from audiogen.infer.listen import Listener, ListenOptions, Partial, Transcript
from audiogen.infer.wavpipe import read_live
from audiogen.metrics.tables import Table as MeasuredTable

STREAM_SECONDS = 0.32
PIPED_SECONDS = 0.1
HOT_BEAM = 8
UNBROKEN = 240
BENCHES = ("codec", "say", "transcribe")


def transcribe(options: argparse.Namespace) -> None:
    """Write down what is said in files: one line a file, or the text as it comes."""
    if "-" in options.files and not (options.stream and options.files == ["-"]):
        raise AudiogenError("- hears standard input as it comes, alone: audiogen transcribe --stream -")
    for path in options.files:
        if path != "-":
            audio.check(path)
    if options.json is not None:
        check_writable(options.json)
    listener = api.load(options.model, "recognizer", _listen_options(options))
    if options.files == ["-"]:
        results = _hear_pipe(listener, options.rate)
        if options.json is not None:
            write_json(options.json, {"results": results})
        return
    hear = _hear_aloud if options.stream else Listener.transcribe
    results = []
    for path in _with_progress(options.files, "transcribing"):
        transcript = hear(listener, path)
        results.append({"file": path, "text": transcript.text, "words": _words(transcript)})
        if not options.stream:
            print(transcript.text if len(options.files) == 1 else f"{path}\t{transcript.text}", flush=True)
    if options.json is not None:
        write_json(options.json, {"results": results})


def encode(options: argparse.Namespace) -> None:
    """Turn a sound file into a file of codes."""
    codec, source, target = api.load(options.model, "codec"), _source(options.source), _target(options.target)
    coded = codec.encode_file(source, target, options.codebooks)
    kbps = coded.bits_per_second / 1000
    print(
        f"{options.target}: {coded.seconds:.1f} s in {coded.bytes:,} bytes, {kbps:.2f} kbit/s, "
        f"{coded.codebooks} codebooks",
        file=sys.stderr,
    )


def decode(options: argparse.Namespace) -> None:
    """Turn a file of codes back into a sound file."""
    codec, source, target = api.load(options.model, "codec"), _source(options.source), _target(options.target)
    print(f"{options.target}: {codec.decode_file(source, target):.1f} s", file=sys.stderr)


def models(options: argparse.Namespace) -> None:
    """List the models there are."""
    table = Table("name", "kind", "size", "languages", "licence", box=None, pad_edge=False, header_style="bold")
    for info in api.list_models():
        table.add_row(info.name, info.kind, f"{info.size / 2**20:.1f} MiB", ", ".join(info.languages), info.licence)
    _console().print(table)


def import_encodec(options: argparse.Namespace) -> None:
    """Write a published EnCodec as a bundle."""
    from audiogen.importers.encodec import read

    _import(options.target, lambda: read(options.source, options.codebooks))


def import_fastconformer(options: argparse.Namespace) -> None:
    """Write a published FastConformer as a bundle."""
    from audiogen.importers.fastconformer import read

    _import(options.target, lambda: read(options.source))


def import_sq_codec(options: argparse.Namespace) -> None:
    """Write a published SQ-Codec as a bundle."""
    from audiogen.importers.sq_codec import read

    _import(options.target, lambda: read(options.source, options.settings, options.levels))


def import_musicgen(options: argparse.Namespace) -> None:
    """Write a published MusicGen or MAGNeT and its EnCodec as two bundles, one beside the other."""
    from audiogen.importers.musicgen import read

    codec = f"{options.target.rstrip('/')}-codec"
    for folder in (options.target, codec):
        _check_new(folder)
    bundle, coded = read(options.source, options.codec)
    bundle.codec["bundle"] = Path(codec).name
    _import(codec, lambda: coded)
    _import(options.target, lambda: bundle)


def import_sashimi(options: argparse.Namespace) -> None:
    """Write a published SaShiMi as a bundle."""
    from audiogen.importers.sashimi import read

    _import(options.target, lambda: read(options.source, options.rate, options.law))


def demo(options: argparse.Namespace) -> None:
    """Speak, hear it back, leave the files and print the figures."""
    one_thread_a_worker()
    from audiogen.demo import run_demo

    speaker, listener = _pair(options)
    run_demo(speaker, listener, options.text, Path(options.out))


def serve(options: argparse.Namespace) -> None:
    """Open the page and serve until interrupted."""
    one_thread_a_worker()
    for module in ("uvicorn", "fastapi", "gradio"):
        require(module, "serve")
    from audiogen.serve.app import serve as serve_page

    generator = None if options.waveform is None else api.load(options.waveform, "waveform")
    sound = None if options.sound is None else api.load(options.sound, "sound")
    serve_page(*_pair(options), generator, sound, options.host, options.port, os.environ.get("AUDIOGEN_AUTH"))


def run(options: argparse.Namespace) -> None:
    """Run a recipe."""
    require("lhotse", "train")
    from audiogen.recipes.run import run as run_recipe

    run_recipe(options.overrides)


def bench(options: argparse.Namespace) -> None:
    """Measure speed."""
    threads = {} if options.threads is None else {"threads": options.threads}
    voice, recognizer = options.voice_model, options.recognizer
    measures = {
        "codec": lambda: _part("bench.codec").bench_codec(options.codec, **threads),
        "encodec": lambda: _part("bench.encodec").bench_encodec(**threads),
        "say": lambda: _part("bench.say").bench_say(voice, **threads),
        "transcribe": lambda: _part("bench.transcribe").bench_transcribe(recognizer, voice, **threads),
        "encoder": lambda: _part("bench.encoder").bench_encoder(recognizer, **threads),
        "magnet": lambda: _part("bench.sound").bench_magnet(**threads),
        "mamba": lambda: _part("bench.mamba").bench_mamba(**threads),
        "sashimi": lambda: _part("bench.waveform").bench_sashimi(**threads),
    }
    if options.threads is not None and options.threads < 1:
        raise AudiogenError(f"--threads {options.threads}: at least 1 is needed")
    for what in options.what:
        if what not in measures:
            raise unknown_name("benchmark", what, measures)
    _measure([measures[what] for what in options.what or BENCHES], options.json)


def score(options: argparse.Namespace) -> None:
    """Measure quality."""
    given = {"data_root": options.data_root, "limit": options.limit}
    corpus = {} if options.corpus is None else {"corpus": options.corpus[0]}
    corpora = {} if options.corpus is None else {"corpora": options.corpus}
    voices, codecs = [*options.beside, options.voice_model], [options.codec, *options.beside]
    measures = {
        "codec": lambda: (
            _part("score.robustness").score_robustness(codecs, **corpora, **given)
            if options.robustness
            else _part("score.codec").score_codec(codecs, **corpora, **given)
        ),
        "transcribe": lambda: _part("score.transcribe").score_transcribe(
            options.recognizer, **corpora, **given, every_way=options.every_way
        ),
        "say": lambda: _part("score.say").score_say(
            _sentences(options), voices, recognizer=options.recognizer, int8=options.int8, **corpus, **given
        ),
        "hard": lambda: _part("score.hard").score_hard(
            _sentences(options), voices, options.recognizer, range(options.seeds), options.top_p
        ),
        "prosody": lambda: _part("score.prosody").score_prosody(options.voice_model, **corpus, **given),
        "prompts": lambda: _part("score.say").score_prompts(
            _sentences(options), options.voice_model, data_root=options.data_root, **corpus
        ),
    }
    if options.what not in measures:
        raise unknown_name("score", options.what, measures)
    _measure([measures[options.what]], options.json)


def _source(name: str) -> str | BinaryIO:
    """A file's name, or standard input for `-`."""
    return sys.stdin.buffer if name == "-" else name


def _target(name: str) -> str | BinaryIO:
    """A file's name, or standard output for `-`, unless that is a terminal."""
    if name == "-" and sys.stdout.isatty():
        raise AudiogenError("bytes are not for a terminal; name a file, or pipe them on: … - | …")
    return sys.stdout.buffer if name == "-" else name


def _import(target: str, read: Callable[[], Bundle]) -> None:
    """Save what `read` gives as a new folder."""
    _check_new(target)
    bundle = read()
    save_bundle(Path(target), bundle)
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
    print(f"{target}: {bundle.kind} {bundle.name}, {parameters:,} parameters", file=sys.stderr)


def _check_new(target: str) -> None:
    if Path(target).exists():
        raise AudiogenError(f"{target} exists already; name a new folder")


def _part(module: str) -> ModuleType:
    """A part of audiogen, imported when it is asked for."""
    return import_module(f"audiogen.{module}")


def one_thread_a_worker() -> None:
    """Keep torch from sharing out its work, which the speaker does, unless `OMP_NUM_THREADS` says otherwise.

    The models are small; threads that wait for each other beside a busy program take many times as long as one.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def _pair(options: argparse.Namespace) -> "tuple[Speaker, Listener]":
    return api.load(options.voice_model, "acoustic"), api.load(options.recognizer, "recognizer")


def _hear_aloud(listener: Listener, path: str) -> Partial:
    """Transcribe a file as it streams, showing the text so far: rewritten on a terminal, line after line elsewhere."""
    begin, end = ("\r\x1b[K", "") if sys.stdout.isatty() else ("", "\n")
    for partial in listener.stream(audio.blocks(path, listener.sample_rate, STREAM_SECONDS)):
        print(begin + partial.text, end=end, flush=True)
    if not end:
        print()
    return partial


def _hear_pipe(listener: Listener, raw_rate: int) -> list[dict[str, Any]]:
    """Transcribe standard input as it comes: a line an utterance, the last being rewritten on a terminal."""
    blocks = read_live(sys.stdin.buffer, "standard input", raw_rate, listener.sample_rate, PIPED_SECONDS)
    begin, results = "\r\x1b[K" if sys.stdout.isatty() else "", []
    for partial in listener.stream((block[0] for block in blocks), EndpointRules()):
        if partial.is_final and partial.text:
            print(begin + partial.text, flush=True)
            results.append({"file": "-", "text": partial.text, "words": _words(partial)})
        elif begin and not partial.is_final:
            print(begin + partial.text, end="", flush=True)
    return results


def _listen_options(options: argparse.Namespace) -> ListenOptions:
    """How to listen; words to listen for need a search, if the recogniser is one of characters or pieces."""
    hot = options.hot_words or []
    return ListenOptions(lookahead=options.lookahead, hot_words=hot, label_beam=HOT_BEAM if hot else 1)


def _with_progress(items: list[str], what: str) -> Iterator[str]:
    """`items` with a bar on standard error, where there are several and someone is watching."""
    columns = [TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=len(items) < 2 or not console.is_terminal) as bar:
        yield from bar.track(items)


def _words(transcript: Transcript | Partial) -> list[dict[str, Any]]:
    return [{"word": w, "start": start, "end": end, "confidence": sure} for w, start, end, sure in transcript.words]


def sound_rows(what: str, seconds: float, taken: float, first: float) -> list[dict[str, Any]]:
    """The figures of `seconds` of sound that took `taken` seconds to make, the first of it `first`."""
    return [
        {"name": what, "value": round(seconds, 3), "unit": "s"},
        {"name": "time taken", "value": round(taken, 3), "unit": "s"},
        {"name": "real-time factor", "value": round(taken / seconds, 4), "unit": "x"},
        {"name": "first audio", "value": round(1000 * first, 1), "unit": "ms"},
    ]


def _measure(measures: Iterable[Callable[[], MeasuredTable]], json_path: str | None) -> None:
    """Make the tables one after the other, print each, and write the figures of all."""
    if json_path is not None:
        check_writable(json_path)
    rows = []
    for measure in measures:
        table = measure()
        rows += table.figures()
        _print_table(table)
    if json_path is not None:
        write_json(json_path, {"rows": rows})


def _print_table(table: MeasuredTable) -> None:
    console = _console()
    shown = Table(*table.headings(), box=None, pad_edge=False, header_style="dim")
    for row in table.rows:
        shown.add_row(*table.cells(row))
    console.print(f"[bold]{escape(table.title)}[/]")
    console.print(shown)
    console.print(f"{escape(table.note)}\n", style="dim")


def _console() -> Console:
    """A console that breaks no line of a table that goes into a file."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)


def _sentences(options: argparse.Namespace) -> list[str]:
    """The sentences of `--sentences`, a line each."""
    if options.sentences is None:
        raise AudiogenError("--sentences FILE is needed: what to say, a sentence a line")
    try:
        text = Path(options.sentences).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AudiogenError(f"cannot read the sentences in {options.sentences}: {error}") from None
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if not sentences:
        raise AudiogenError(f"{options.sentences} holds no sentence")
    return sentences[: options.limit]
