"""`audiogen say` and `audiogen edit`: a text spoken, and words changed in a recording."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import audiogen
from audiogen.cli.common import Making, load_judge, one_thread_a_worker, refuse_terminal
from audiogen.cli.parser import DEFAULT_VOICE, add_json, describe
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from audiogen.infer.script import Line
    from audiogen.infer.speak import Speaker
    from audiogen.infer.speech import SpeakOptions, Speech


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen say`."""
    describe(
        parser,
        say,
        """
        audiogen say "The kettle is on." --out kettle.wav
        audiogen say - --out chapter.flac < chapter.txt
        audiogen say "Straight to the speakers." --stream | aplay -t raw -f S16_LE -r 24000
        audiogen say "In another voice." --prompt me.wav --transcript "What I say in me dot wav."
        audiogen say "Wait [[sil:0.8]] for the [[təmˈeɪ:0.3toʊz]]."    # a pause of 0.8 s, phones, one of them of 0.3 s
        audiogen say "A quarter faster, with short pauses." --speed 1.25 --pause 0.15
        audiogen say "Just as I read it." --timing me_reading_it.wav --voice lj
        audiogen say "Seven boats came in." --save-lines boats.json && audiogen say --lines boats.json --voice lj
        audiogen say "Only the clearest of four readings." --best-of 4
        """,
    )
    parser.add_argument(
        "text", nargs="?", help="what to say, phones in double brackets; - reads it from standard input"
    )
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: speech.wav)")
    parser.add_argument("--voice", metavar="NAME", help="a voice of the model (default: its first)")
    parser.add_argument("--model", default=DEFAULT_VOICE, metavar="NAME", help="a voice model (default: %(default)s)")
    parser.add_argument("--prompt", metavar="FILE", help="speak like this recording, a few seconds of one speaker")
    parser.add_argument("--transcript", metavar="TEXT", help="what is said in --prompt, word for word")
    parser.add_argument(
        "--go-on", action="store_true", help="go on where --prompt ends, as if it had not ended; gives what is new"
    )
    parser.add_argument("--stream", action="store_true", help="raw 16-bit mono sound to standard output as it is made")
    parser.add_argument("--int8", action="store_true", help="8-bit weights: faster on CPUs with VNNI, less exact")
    rhythm = parser.add_argument_group("rhythm (models with a phone pointer)")
    rhythm.add_argument("--speed", type=float, default=1.0, metavar="X", help="1.25 is a quarter faster (default: 1)")
    rhythm.add_argument("--pause", type=float, metavar="SECONDS", help="pause so long at commas and after sentences")
    rhythm.add_argument(
        "--longest-phone", type=float, metavar="SECONDS", help="no phone or pause lasts longer (default: 0.32)"
    )
    rhythm.add_argument("--timing", metavar="FILE", help="a recording of the same text, to be followed phone by phone")
    rhythm.add_argument("--lines", metavar="FILE", help="instead of a text: phones and seconds, as --save-lines writes")
    rhythm.add_argument("--save-lines", metavar="FILE", help="write the phones and how long each was, as .json")
    choice = parser.add_argument_group("chance")
    choice.add_argument("--temperature", type=float, metavar="T", help="chance in the sound (default: 0.4; 0 is none)")
    choice.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest codes only (default: 0.9)")
    choice.add_argument(
        "--best-of", type=int, default=1, metavar="N", help="read each sentence N times, keep the clearest"
    )
    choice.add_argument("--seed", type=int, metavar="N", help="another number, another reading (default: 0)", default=0)
    add_json(parser)


def say(options: argparse.Namespace) -> None:
    """Speak a text into a file, or to standard output as it is made."""
    from audiogen import audio

    _check(options)
    out = options.out or (None if options.stream else "speech.wav")
    if out is not None:
        audio.check_target(out)
    for target in filter(None, (options.json, options.save_lines)):
        check_writable(target)
    one_thread_a_worker()
    speaker = audiogen.load(options.model, "acoustic")
    if options.int8:
        speaker.to_int8()
    text = _what_to_say(options, speaker)
    making = Making(speaker.sample_rate)
    with audio.writer(out, speaker.sample_rate) if out is not None else nullcontext() as write:
        for wave in making.follow(_said(options, speaker, text), options.stream):
            if write is not None:
                write(wave)
    if out is not None:
        print(f"{out}: {making.seconds:.1f} s of speech in {making.taken:.1f} s", file=sys.stderr)
    if options.json is not None:
        write_json(options.json, {"rows": making.rows("speech")})


def _check(options: argparse.Namespace) -> None:
    """Refuse options of `say` that do not go together."""
    if (options.prompt is None) != (options.transcript is None):
        raise AudiogenError("--prompt and --transcript go together: a recording, and what is said in it")
    if options.prompt is not None and options.voice is not None:
        raise AudiogenError("give --voice or --prompt, not both")
    if options.stream:
        refuse_terminal()
    if (options.text is None) == (options.lines is None):
        raise AudiogenError("say what to say: a text, or --lines FILE, and not both")
    if options.go_on and (options.prompt is None or options.stream or options.best_of > 1):
        raise AudiogenError("--go-on goes on from --prompt, and neither streams nor reads several times")
    if options.timing is not None and options.lines is not None:
        raise AudiogenError("give --timing or --lines, not both: lines have their timing already")
    if options.stream and (options.best_of > 1 or options.save_lines is not None):
        raise AudiogenError("--stream speaks before a sentence is whole, so --best-of and --save-lines need a file")


def _what_to_say(options: argparse.Namespace, speaker: "Speaker") -> "str | list[Line]":
    """The text, or lines with what durations were given."""
    from audiogen.infer.script import read_lines

    if options.lines is not None:
        return read_lines(options.lines)
    text = sys.stdin.read() if options.text == "-" else options.text
    return text if options.timing is None else speaker.timed_like(options.timing, text)


def _said(options: argparse.Namespace, speaker: "Speaker", text: "str | list[Line]") -> "Iterator[Tensor]":
    """The waves of what `say` says: chunk by chunk in a stream, else sentence by sentence."""
    from audiogen.infer.script import write_lines

    how, prompt, seed = _how(options, speaker), (options.prompt, options.transcript), options.seed
    if options.go_on:
        spoken: Iterable[Speech] = [speaker.continue_recording(*prompt, text, how, seed)]
    else:
        voice = options.voice if options.prompt is None else speaker.voice_from_recording(*prompt)
        if options.stream:
            yield from speaker.stream(text, voice, how, seed)
            return
        spoken = speaker.sentences(text, voice, how, seed, options.best_of, load_judge(options))
    lines = []
    for speech in spoken:
        yield speech.wave
        lines += speech.lines
    if options.save_lines is not None:
        write_lines(options.save_lines, lines)


def _how(options: argparse.Namespace, speaker: "Speaker") -> "SpeakOptions":
    """The options of `say` that say how to speak."""
    from audiogen.infer.speech import SpeakOptions

    given = {"temperature": options.temperature, "top_p": options.top_p, "pause": options.pause}
    if options.longest_phone is not None:
        given["max_dwell"] = round(options.longest_phone * speaker.frame_rate)
    return SpeakOptions(speed=options.speed, **{name: value for name, value in given.items() if value is not None})
