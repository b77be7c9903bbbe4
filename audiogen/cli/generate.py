"""`audiogen generate`: sound that is not speech, from a caption or sample by sample."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import audiogen
from audiogen.cli.common import Making, refuse_terminal
from audiogen.cli.parser import DEFAULT_WAVEFORM, add_json, describe, group, new_command
from audiogen.errors import AudiogenError
from audiogen.files import check_writable, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from audiogen.infer.sound import SoundGenerator
    from audiogen.infer.waveform import WaveformGenerator


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen generate`."""
    kinds = group(parser)
    _add_audio(kinds)
    _add_waveform(kinds)


def _add_audio(kinds: Any) -> None:
    parser = new_command(kinds, "audio", "make sound or music from a caption")
    describe(
        parser,
        generate_audio,
        """
        audiogen generate audio "a slow waltz in D minor" --model exp/text_to_music/train/bundle --out waltz.wav
        audiogen generate audio "a dog barking" --model my-sounds --seconds 3 --steps 10 5
        audiogen generate audio "a lively tune" --model my-music --prompt start.wav --seconds 20 --out more.flac
        audiogen generate audio "a drum roll" --model my-magnet --prompt verse.wav --until chorus.wav --seconds 9
        audiogen generate audio "a calm piece" --model my-magnet --rescorer my-musicgen
        audiogen generate audio "rain" --model my-music --stream | aplay -t raw -f S16_LE -r 24000
        """,
    )
    parser.add_argument("caption", help="what is to be heard")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a model of sound, by name or folder: trained or imported"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="its length (default: 10)")
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: generated.wav)")
    parser.add_argument("--prompt", metavar="FILE", help="go on from this recording, which counts as part of the sound")
    parser.add_argument(
        "--until", metavar="FILE", help="MAGNeT: lead to this recording, which counts as part of it too"
    )
    parser.add_argument(
        "--steps", type=int, nargs="+", metavar="N", help="MAGNeT: steps of each codebook; fewer is faster"
    )
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="how far to lean towards the caption; 1 is no further than learnt"
    )
    parser.add_argument("--int8", action="store_true", help="8-bit weights: faster, less exact")
    parser.add_argument("--rescorer", metavar="NAME", help="a MusicGen that helps a MAGNeT judge what it has made")
    parser.add_argument("--stream", action="store_true", help="raw 16-bit sound to standard output as it is made")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another sound (default: 0)")
    add_json(parser)


def generate_audio(options: argparse.Namespace) -> None:
    """Make sound from a caption, into a file or to standard output as it is made."""
    import torch

    from audiogen import audio

    out = options.out or (None if options.stream else "generated.wav")
    _check(options, out)
    generator = audiogen.load(options.model, "sound")
    if options.rescorer is not None:
        generator.take_along(audiogen.load(options.rescorer, "sound"))
    if options.int8:
        generator.to_int8()
    making = Making(generator.sample_rate)
    chunks = list(making.follow(_sound(generator, options), options.stream))
    if out is not None:
        audio.write(out, torch.cat(chunks, dim=-1), generator.sample_rate)
        print(f"{out}: {making.seconds:.1f} s of sound in {making.taken:.1f} s", file=sys.stderr)
    if options.json is not None:
        write_json(options.json, {"rows": making.rows("sound")})


def _sound(generator: "SoundGenerator", options: argparse.Namespace) -> "Iterator[Tensor]":
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


def _add_waveform(kinds: Any) -> None:
    parser = new_command(kinds, "waveform", "make sound sample by sample")
    describe(
        parser,
        generate_waveform,
        """
        audiogen generate waveform --label seven --out seven.wav
        audiogen generate waveform --label three --count 5 --reject
        audiogen generate waveform --label six --stream | aplay -t raw -f S16_LE -r 8000
        audiogen generate waveform --model my-sonatas --prompt start.wav --seconds 20 --out more.flac
        """,
    )
    parser.add_argument("--label", metavar="CLASS", help="what it should be, for a model of classes")
    parser.add_argument("--out", metavar="FILE", help="a .wav, .flac or .ogg file (default: generated.wav)")
    parser.add_argument(
        "--model", default=DEFAULT_WAVEFORM, metavar="NAME", help="a waveform model (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="its length, or most, if it ends by itself (default: 2)"
    )
    parser.add_argument("--prompt", metavar="FILE", help="go on from this recording; FILE and what follows are written")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="make N, into FILE-1, FILE-2, … (default: 1)")
    parser.add_argument(
        "--reject",
        action="store_true",
        help="make more and keep the clearest half, or without classes all but the least and most likely",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="below 1 for less chance (default: 1)"
    )
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="keep the likeliest share P of each draw")
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="how far to lean towards the class; 1 is no further than learnt"
    )
    parser.add_argument("--bf16", action="store_true", help="16-bit weights: faster, less exact")
    parser.add_argument("--stream", action="store_true", help="raw 16-bit mono sound to standard output as it is made")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another sound (default: 0)")
    add_json(parser)


def generate_waveform(options: argparse.Namespace) -> None:
    """Make sounds sample by sample, into files, or one to standard output as it is made."""
    if options.stream and (options.count != 1 or options.reject or options.out):
        raise AudiogenError("--stream is for one sound as it is made; --count, --reject and --out are for files")
    out = None if options.stream else Path(options.out or "generated.wav")
    _check(options, out)
    generator = audiogen.load(options.model, "waveform")
    if options.bf16:
        generator.to_bf16()
    prompt = _recording(options.prompt, generator.sample_rate)
    making = Making(generator.sample_rate)
    clips = list(making.follow(_waveforms(generator, options, prompt), options.stream))
    if out is not None:
        _write(out, clips, prompt, generator.sample_rate)
    if options.json is not None:
        write_json(options.json, {"rows": making.rows("sound")})


def _waveforms(
    generator: "WaveformGenerator", options: argparse.Namespace, prompt: "Tensor | None"
) -> "Iterator[Tensor]":
    """Pieces of one sound in a stream, or else whole sounds, [1, n] each."""
    asked = {"label": options.label, "prompt": prompt, "seed": options.seed}
    asked |= {"temperature": options.temperature, "top_p": options.top_p, "guidance": options.guidance}
    if options.stream:
        return generator.stream(options.seconds, **asked)
    return iter(generator.generate(options.seconds, options.count, reject=options.reject, **asked).clips())


def _write(out: Path, clips: "Sequence[Tensor]", prompt: "Tensor | None", sample_rate: int) -> None:
    """Each clip after its prompt into a file, numbered if there are several."""
    import torch

    from audiogen import audio

    for number, clip in enumerate(clips, start=1):
        path = out if len(clips) == 1 else out.with_stem(f"{out.stem}-{number}")
        audio.write(path, clip if prompt is None else torch.cat([prompt, clip], -1), sample_rate)
        print(f"{path}: {clip.shape[-1] / sample_rate:.2f} s", file=sys.stderr)


def _check(options: argparse.Namespace, out: str | Path | None) -> None:
    """Find what would go wrong at the end before work begins."""
    from audiogen import audio

    if options.stream:
        refuse_terminal()
    if out is not None:
        audio.check_target(out)
    if options.json is not None:
        check_writable(options.json)


def _recording(path: str | None, sample_rate: int) -> "Tensor | None":
    """A recording [1, N] to go on from or to lead to, if there is one."""
    from audiogen import audio

    return None if path is None else audio.read(path, sample_rate)
