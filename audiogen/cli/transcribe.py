"""`audiogen transcribe`: what is said in files, or as it comes."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import audiogen
from audiogen.cli.parser import DEFAULT_RECOGNIZER, add_json, describe
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, write_json

if TYPE_CHECKING:
    from audiogen.infer.listen import Listener, ListenOptions, Partial, Transcript

STREAM_SECONDS = 0.32
PIPED_SECONDS = 0.1
HOT_BEAM = 8


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen transcribe`."""
    describe(
        parser,
        transcribe,
        """
        audiogen transcribe kettle.wav
        audiogen transcribe kettle.wav --stream
        audiogen transcribe recordings/*.flac --json transcripts.json
        audiogen transcribe meeting.wav --hot-words kathleen lighthouse
        arecord -q -t raw -f S16_LE -r 16000 | audiogen transcribe --stream -
        """,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a WAV, FLAC, OGG or MP3 file; - with --stream hears WAV or raw 16-bit mono sound from standard input",
    )
    parser.add_argument(
        "--model", default=DEFAULT_RECOGNIZER, metavar="NAME", help="a recogniser (default: %(default)s)"
    )
    parser.add_argument("--stream", action="store_true", help="show the text while the sound is being heard")
    parser.add_argument(
        "--rate", type=int, default=16_000, metavar="HZ", help="of raw sound from standard input (default: %(default)s)"
    )
    parser.add_argument(
        "--lookahead", type=int, metavar="N", help="wait for N frames of 80 ms; the fewer, the sooner and the rougher"
    )
    parser.add_argument("--hot-words", nargs="+", metavar="WORD", help="words to listen for above others")
    add_json(parser, '{"results": [{"file", "text", "words"}]}')


def transcribe(options: argparse.Namespace) -> None:
    """Write down what is said in files: one line a file, or the text as it comes."""
    from audiogen import audio

    if "-" in options.files and not (options.stream and options.files == ["-"]):
        raise AudiogenError("- hears standard input as it comes, alone: audiogen transcribe --stream -")
    for path in options.files:
        if path != "-":
            audio.check(path)
    if options.json is not None:
        check_writable(options.json)
    listener = audiogen.load(options.model, "recognizer", _listen_options(options))
    if options.files == ["-"]:
        results = _hear_pipe(listener, options.rate)
        if options.json is not None:
            write_json(options.json, {"results": results})
        return
    results = []
    for path in _with_progress(options.files, "transcribing"):
        transcript = _hear_aloud(listener, path) if options.stream else listener.transcribe(path)
        results.append({"file": path, "text": transcript.text, "words": _words(transcript)})
        if not options.stream:
            print(transcript.text if len(options.files) == 1 else f"{path}\t{transcript.text}", flush=True)
    if options.json is not None:
        write_json(options.json, {"results": results})


def _hear_aloud(listener: "Listener", path: str) -> "Partial":
    """Transcribe a file as it streams, showing the text so far: rewritten on a terminal, line after line elsewhere."""
    from audiogen import audio

    begin, end = ("\r\x1b[K", "") if sys.stdout.isatty() else ("", "\n")
    for partial in listener.stream(audio.blocks(path, listener.sample_rate, STREAM_SECONDS)):
        print(begin + partial.text, end=end, flush=True)
    if not end:
        print()
    return partial


def _hear_pipe(listener: "Listener", raw_rate: int) -> list[dict[str, Any]]:
    """Transcribe standard input as it comes: a line an utterance, the last being rewritten on a terminal."""
    from audiogen.infer.endpoint import EndpointRules
    from audiogen.infer.wavpipe import read_live

    blocks = read_live(sys.stdin.buffer, "standard input", raw_rate, listener.sample_rate, PIPED_SECONDS)
    begin, results = "\r\x1b[K" if sys.stdout.isatty() else "", []
    for partial in listener.stream((block[0] for block in blocks), EndpointRules()):
        if partial.is_final and partial.text:
            print(begin + partial.text, flush=True)
            results.append({"file": "-", "text": partial.text, "words": _words(partial)})
        elif begin and not partial.is_final:
            print(begin + partial.text, end="", flush=True)
    return results


def _listen_options(options: argparse.Namespace) -> "ListenOptions":
    """How to listen; words to listen for need a search, if the recogniser is one of characters or pieces."""
    from audiogen.infer.listen import ListenOptions

    hot = options.hot_words or []
    return ListenOptions(lookahead=options.lookahead, hot_words=hot, label_beam=HOT_BEAM if hot else 1)


def _with_progress(items: list[str], what: str) -> Iterator[str]:
    """`items` with a bar on standard error, where there are several and someone is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=len(items) < 2 or not console.is_terminal) as bar:
        yield from bar.track(items)


def _words(transcript: "Transcript | Partial") -> list[dict[str, Any]]:
    return [{"word": w, "start": start, "end": end, "confidence": sure} for w, start, end, sure in transcript.words]
