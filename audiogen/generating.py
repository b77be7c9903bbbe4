"""What `audiogen generate` does with its options; see `cli.py` for what they are."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from audiogen import api, audio
from audiogen.commands import sound_rows
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, write_json
from audiogen.infer.sound import SoundGenerator
from audiogen.infer.waveform import WaveformGenerator


def generate_audio(options: argparse.Namespace) -> None:
    """Make sound from a caption, into a file or to standard output as it is made."""
    out = options.out or (None if options.stream else "generated.wav")
    _check(options, out)
    generator = api.load(options.model, "sound")
    if options.rescorer is not None:
        generator.take_along(api.load(options.rescorer, "sound"))
    if options.int8:
        generator.to_int8()
    begun, first, chunks = time.perf_counter(), None, []
    for chunk in _sound(generator, options):
        first = first or time.perf_counter() - begun
        chunks.append(chunk)
        if options.stream:
            _play(chunk, generator.sample_rate)
    taken, wave = time.perf_counter() - begun, torch.cat(chunks, dim=-1)
    seconds = wave.shape[-1] / generator.sample_rate
    if out is not None:
        audio.write(out, wave, generator.sample_rate)
        print(f"{out}: {seconds:.1f} s of sound in {taken:.1f} s", file=sys.stderr)
    if options.json is not None:
        write_json(options.json, {"rows": sound_rows("sound", seconds, taken, first)})


def _sound(generator: SoundGenerator, options: argparse.Namespace) -> Iterator[Tensor]:
    """Pieces [C, n] of the sound; what leads to another recording comes whole."""
    drawing, rate = generator.options.changed(options.steps, options.guidance), generator.sample_rate
    prompt = _recording(options.prompt, rate)
    if options.until is None:
        yield from generator.stream(options.caption, options.seconds, drawing, options.seed, prompt)
        return
    until = _recording(options.until, rate)
    given = sum(wave.shape[-1] for wave in (prompt, until) if wave is not None) / rate
    if options.seconds <= given:
        raise AudiogenError(f"--prompt and --until last {given:.2f} s together; ask for more --seconds than that")
    yield generator.infill(options.caption, prompt, options.seconds - given, until, drawing, options.seed)


def generate_waveform(options: argparse.Namespace) -> None:
    """Make sounds sample by sample, into files, or one to standard output as it is made."""
    if options.stream and (options.count != 1 or options.reject or options.out):
        raise AudiogenError("--stream is for one sound as it is made; --count, --reject and --out are for files")
    out = None if options.stream else Path(options.out or "generated.wav")
    _check(options, out)
    generator = api.load(options.model, "waveform")
    prompt = _recording(options.prompt, generator.sample_rate)
    begun, first, clips = time.perf_counter(), None, []
    for clip in _waveforms(generator, options, prompt):
        first = first or time.perf_counter() - begun
        clips.append(clip)
        if options.stream:
            _play(clip, generator.sample_rate)
    taken, seconds = time.perf_counter() - begun, sum(clip.shape[-1] for clip in clips) / generator.sample_rate
    if out is not None:
        _write(out, clips, prompt, generator.sample_rate)
    if options.json is not None:
        write_json(options.json, {"rows": sound_rows("sound", seconds, taken, first)})


def _waveforms(generator: WaveformGenerator, options: argparse.Namespace, prompt: Tensor | None) -> Iterator[Tensor]:
    """Pieces of one sound in a stream, or else whole sounds, [1, n] each."""
    asked = {"label": options.label, "prompt": prompt, "seed": options.seed}
    asked |= {"temperature": options.temperature, "top_p": options.top_p}
    if options.stream:
        return generator.stream(options.seconds, **asked)
    return iter(generator.generate(options.seconds, options.count, reject=options.reject, **asked).clips())


def _write(out: Path, clips: Iterable[Tensor], prompt: Tensor | None, sample_rate: int) -> None:
    """Each clip after its prompt into a file, numbered if there are several."""
    clips = list(clips)
    for number, clip in enumerate(clips, start=1):
        path = out if len(clips) == 1 else out.with_stem(f"{out.stem}-{number}")
        audio.write(path, clip if prompt is None else torch.cat([prompt, clip], -1), sample_rate)
        print(f"{path}: {clip.shape[-1] / sample_rate:.2f} s", file=sys.stderr)


def _check(options: argparse.Namespace, out: str | Path | None) -> None:
    """Find what would go wrong at the end before work begins."""
    if options.stream and sys.stdout.isatty():
        raise AudiogenError(
            "--stream writes raw sound; pipe it to a player, as in: … | aplay -t raw -f S16_LE -r 24000"
        )
    if out is not None:
        audio.check_target(out)
    if options.json is not None:
        check_writable(options.json)


def _recording(path: str | None, sample_rate: int) -> Tensor | None:
    """A recording [1, N] to go on from or to lead to, if there is one."""
    return None if path is None else audio.read(path, sample_rate)


def _play(chunk: Tensor, sample_rate: int) -> None:
    """A piece of sound [1, n] to standard output, 16 bits a sample, at once."""
    sys.stdout.buffer.write(audio.to_bytes(chunk, sample_rate, "RAW", "PCM_16"))
    sys.stdout.buffer.flush()
