"""What `audiogen say` and `audiogen edit` do with their options; see `cli.py` for what they are."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import torch

from audiogen import api, audio
from audiogen.checkpoint import load_bundle
from audiogen.cli import DEFAULT_RECOGNIZER
from audiogen.commands import one_thread_a_worker, sound_rows
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, write_json
from audiogen.infer.edit import edit as edit_recording
from audiogen.infer.judge import PhoneJudge
from audiogen.infer.script import Line, read_lines, write_lines
from audiogen.infer.speak import Speaker
from audiogen.infer.speech import SpeakOptions, Speech


def say(options: argparse.Namespace) -> None:
    """Speak a text into a file, or to standard output as it is made."""
    _check(options)
    out = options.out or (None if options.stream else "speech.wav")
    if out is not None:
        audio.check_target(out)
    for target in filter(None, (options.json, options.save_lines)):
        check_writable(target)
    one_thread_a_worker()
    speaker = api.load(options.model, "acoustic")
    if options.int8:
        speaker.to_int8()
    text = _what_to_say(options, speaker)
    begun, first, samples = time.perf_counter(), None, 0
    with audio.writer(out, speaker.sample_rate) if out is not None else nullcontext() as write:
        for wave in _said(options, speaker, text):
            first = first or time.perf_counter() - begun
            samples += wave.shape[-1]
            if options.stream:
                sys.stdout.buffer.write(audio.to_bytes(wave, speaker.sample_rate, "RAW", "PCM_16"))
                sys.stdout.buffer.flush()
            if write is not None:
                write(wave)
    taken, seconds = time.perf_counter() - begun, samples / speaker.sample_rate
    if out is not None:
        print(f"{out}: {seconds:.1f} s of speech in {taken:.1f} s", file=sys.stderr)
    if options.json is not None:
        write_json(options.json, {"rows": sound_rows("speech", seconds, taken, first)})


def edit(options: argparse.Namespace) -> None:
    """Change words in a recording."""
    audio.check_target(options.out)
    audio.check(options.recording)
    one_thread_a_worker()
    speaker = api.load(options.model, "acoustic")
    texts, judge = (options.transcript, options.to), _judge(options)
    edited = edit_recording(
        speaker, options.recording, *texts, seed=options.seed, readings=options.best_of, judge=judge
    )
    audio.write(options.out, edited.wave, edited.sample_rate)
    new = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in edited.new)
    print(f"{options.out}: new from {new}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    """Refuse options of `say` that do not go together."""
    if (options.prompt is None) != (options.transcript is None):
        raise AudiogenError("--prompt and --transcript go together: a recording, and what is said in it")
    if options.prompt is not None and options.voice is not None:
        raise AudiogenError("give --voice or --prompt, not both")
    if options.stream and sys.stdout.isatty():
        raise AudiogenError(
            "--stream writes raw sound; pipe it to a player, as in: … | aplay -t raw -f S16_LE -r 24000"
        )
    if (options.text is None) == (options.lines is None):
        raise AudiogenError("say what to say: a text, or --lines FILE, and not both")
    if options.go_on and (options.prompt is None or options.stream or options.best_of > 1):
        raise AudiogenError("--go-on goes on from --prompt, and neither streams nor reads several times")
    if options.timing is not None and options.lines is not None:
        raise AudiogenError("give --timing or --lines, not both: lines have their timing already")
    if options.stream and (options.best_of > 1 or options.save_lines is not None):
        raise AudiogenError("--stream speaks before a sentence is whole, so --best-of and --save-lines need a file")


def _what_to_say(options: argparse.Namespace, speaker: Speaker) -> str | list[Line]:
    """The text, or lines with what durations were given."""
    if options.lines is not None:
        return read_lines(options.lines)
    text = sys.stdin.read() if options.text == "-" else options.text
    return text if options.timing is None else speaker.timed_like(options.timing, text)


def _said(options: argparse.Namespace, speaker: Speaker, text: str | list[Line]) -> Iterator[torch.Tensor]:
    """The waves of what `say` says: chunk by chunk in a stream, else sentence by sentence."""
    how, prompt, seed = _how(options, speaker), (options.prompt, options.transcript), options.seed
    if options.go_on:
        spoken: Iterable[Speech] = [speaker.continue_recording(*prompt, text, how, seed)]
    else:
        voice = options.voice if options.prompt is None else speaker.voice_from_recording(*prompt)
        if options.stream:
            yield from speaker.stream(text, voice, how, seed)
            return
        spoken = speaker.sentences(text, voice, how, seed, options.best_of, _judge(options))
    lines = []
    for speech in spoken:
        yield speech.wave
        lines += speech.lines
    if options.save_lines is not None:
        write_lines(options.save_lines, lines)


def _judge(options: argparse.Namespace) -> PhoneJudge | None:
    """Who chooses where there is a choice."""
    if options.best_of < 1:
        raise AudiogenError(f"--best-of {options.best_of}: at least 1 is needed")
    return PhoneJudge(load_bundle(DEFAULT_RECOGNIZER, "recognizer")) if options.best_of > 1 else None


def _how(options: argparse.Namespace, speaker: Speaker) -> SpeakOptions:
    """The options of `say` that say how to speak."""
    given = {"temperature": options.temperature, "top_p": options.top_p, "pause": options.pause}
    if options.longest_phone is not None:
        given["max_dwell"] = round(options.longest_phone * speaker.frame_rate)
    return SpeakOptions(speed=options.speed, **{name: value for name, value in given.items() if value is not None})
