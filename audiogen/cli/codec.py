"""`audiogen codec`: sound to codes and back."""

import argparse
import sys
from typing import BinaryIO

import audiogen
from audiogen.cli.parser import DEFAULT_CODEC, describe, group, new_command
from audiogen.errors import AudiogenError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen codec`."""
    directions = group(parser)
    encoding = new_command(directions, "encode", "encode a sound file")
    describe(
        encoding,
        encode,
        """
        audiogen codec encode speech.wav speech.agc
        audiogen codec encode speech.wav speech.agc --codebooks 2
        cat speech.wav | audiogen codec encode - - | audiogen codec decode - - > back.wav
        """,
    )
    encoding.add_argument("source", metavar="SOUND", help="a WAV, FLAC, OGG or MP3 file; - is WAV on standard input")
    encoding.add_argument("target", metavar="CODES", help="the .agc file to write; - is standard output")
    encoding.add_argument(
        "--codebooks", type=int, metavar="K", help="keep the first K codebooks only: smaller, rougher (default: all)"
    )
    decoding = new_command(directions, "decode", "decode a file of codes")
    describe(decoding, decode, "audiogen codec decode speech.agc back.wav")
    decoding.add_argument("source", metavar="CODES", help="a .agc file; - is standard input")
    decoding.add_argument("target", metavar="SOUND", help="the .wav, .flac or .ogg file to write; - is standard output")
    for direction in (encoding, decoding):
        direction.add_argument("--model", default=DEFAULT_CODEC, metavar="NAME", help="a codec (default: %(default)s)")


def encode(options: argparse.Namespace) -> None:
    """Turn a sound file into a file of codes."""
    codec, source, target = audiogen.load(options.model, "codec"), _source(options.source), _target(options.target)
    coded = codec.encode_file(source, target, options.codebooks)
    kbps = coded.bits_per_second / 1000
    print(
        f"{options.target}: {coded.seconds:.1f} s in {coded.bytes:,} bytes, {kbps:.2f} kbit/s, "
        f"{coded.codebooks} codebooks",
        file=sys.stderr,
    )


def decode(options: argparse.Namespace) -> None:
    """Turn a file of codes back into a sound file."""
    codec, source, target = audiogen.load(options.model, "codec"), _source(options.source), _target(options.target)
    print(f"{options.target}: {codec.decode_file(source, target):.1f} s", file=sys.stderr)


def _source(name: str) -> str | BinaryIO:
    """A file's name, or standard input for `-`."""
    return sys.stdin.buffer if name == "-" else name


def _target(name: str) -> str | BinaryIO:
    """A file's name, or standard output for `-`, unless that is a terminal."""
    if name == "-" and sys.stdout.isatty():
        raise AudiogenError("bytes are not for a terminal; name a file, or pipe them on: … - | …")
    return sys.stdout.buffer if name == "-" else name
