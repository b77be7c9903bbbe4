"""Sound through pipes, where nothing can be sought and a header may not know the length: WAV, read and written as it
comes, and raw samples."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
SAMPLES = {(PCM, 16): "<i2", (PCM, 24): "<i4", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8"}
UNKNOWN_LENGTH = 0xFFFFFFFF
UNKNOWN_FROM = 0x7FFF0000  # programs that write into pipes put various large lengths, or 0
MOST_SKIPPED = 1 << 20


def read(file: BinaryIO, name: str, sample_rate: int, block_seconds: float) -> Iterator[Tensor]:
    """The sound of a WAV stream as mono blocks [1, n] at `sample_rate`.

    Args:
        file: The stream, from its first byte.
        name: What to call it in errors.
        sample_rate: In samples a second; resampled where it differs from the stream's.
        block_seconds: How much to wait for.

    Raises:
        AudiogenError: If it is not WAV of 16, 24 or 32 bits or floating point, is damaged or is too long.
    """
    kind, channels, rate, bits = _read_format(file, name)
    blocks = _blocks(file, name, SAMPLES[kind, bits], bits // 8, channels, rate, block_seconds)
    return audio.resampled(blocks, rate, sample_rate)


def read_live(file: BinaryIO, name: str, raw_rate: int, sample_rate: int, block_seconds: float) -> Iterator[Tensor]:
    """The sound of a pipe without end, WAV or raw 16-bit mono samples, as mono blocks [1, n] at `sample_rate`.

    Args:
        file: The pipe, from its first byte; buffered, so that it can be looked into.
        name: What to call it in errors.
        raw_rate: Samples a second of raw sound; WAV says its own.
        sample_rate: In samples a second; resampled where it differs.
        block_seconds: How much to wait for.
    """
    if file.peek(4)[:4] == b"RIFF":
        return read(file, name, sample_rate, block_seconds)
    if raw_rate not in audio.SAMPLE_RATES:
        raise AudiogenError(f"a rate of {raw_rate} Hz is not read; 4,000 to 192,000 are")
    return audio.resampled(_raw_blocks(file, max(1, round(block_seconds * raw_rate))), raw_rate, sample_rate)


def _raw_blocks(file: BinaryIO, size: int) -> Iterator[Tensor]:
    """Blocks [1, n] of raw 16-bit samples, until there are no more; half a sample at the end is none."""
    while data := file.read(2 * size):
        yield torch.from_numpy(_decoded(data[: len(data) // 2 * 2], "<i2", 2))[None]


def header(sample_rate: int, channels: int) -> bytes:
    """The head of a WAV stream of 16-bit samples, whose length is not known yet."""
    form = struct.pack("<HHIIHH", PCM, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16)
    unknown = struct.pack("<I", UNKNOWN_LENGTH)
    return b"RIFF" + unknown + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + unknown


def _read_format(file: BinaryIO, name: str) -> tuple[int, int, int, int]:
    """Sample kind, channels, rate and bits, with `file` left at the length of its samples."""
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise AudiogenError(f"{name} is not WAV, the one format that is read from a pipe")
    found, skipped = None, 0
    while (chunk := file.read(4)) != b"data":
        size = int.from_bytes(_exactly(file, 4, name), "little")
        skipped += size + size % 2
        if skipped > MOST_SKIPPED:
            raise AudiogenError(f"{name} is damaged: no samples in its first {MOST_SKIPPED:,} bytes")
        content = _exactly(file, size + size % 2, name)
        if chunk == b"fmt " and size >= 16:
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
            kind = int.from_bytes(content[24:26], "little") if kind == EXTENSIBLE else kind
            found = kind, channels, rate, bits
    if found is None:
        raise AudiogenError(f"{name} is damaged: it does not say what its samples are")
    kind, channels, rate, bits = found
    if (kind, bits) not in SAMPLES:
        raise AudiogenError(f"{name} has samples of kind {kind} and {bits} bits; 16, 24, 32 or floating point are read")
    if not 1 <= channels <= audio.MAX_CHANNELS or rate not in audio.SAMPLE_RATES:
        raise AudiogenError(f"{name} has {channels} channels at {rate} Hz; 1 or 2 at 4,000 to 192,000 are read")
    return found


def _blocks(
    file: BinaryIO, name: str, dtype: str, width: int, channels: int, rate: int, seconds: float
) -> Iterator[Tensor]:
    """Mono blocks [1, n] at the stream's own rate."""
    left = int.from_bytes(_exactly(file, 4, name), "little")
    unknown = left == 0 or left >= UNKNOWN_FROM
    frame, position = width * channels, 0
    while unknown or left > 0:
        wanted = frame * max(1, round(seconds * rate))
        data = file.read(wanted if unknown else min(wanted, left))
        if not data and unknown:
            return
        if not unknown and len(data) < min(wanted, left):
            raise AudiogenError(f"{name} is cut short: {left - len(data)} bytes of samples are missing")
        left -= 0 if unknown else len(data)
        position += len(data) // frame
        if position > audio.MAX_MINUTES * 60 * rate:
            raise AudiogenError(f"{name} is longer than {audio.MAX_MINUTES:g} minutes; cut it into parts")
        samples = _decoded(data[: len(data) // frame * frame], dtype, width).reshape(-1, channels)
        mono = torch.from_numpy(samples).mean(1)[None]
        audio.check_finite(mono, name)
        yield mono


def _decoded(data: bytes, dtype: str, width: int) -> np.ndarray:
    """Samples as float32 between −1 and 1."""
    if dtype.startswith("<f"):
        return np.frombuffer(data, dtype).astype(np.float32)
    if width == 3:  # into the upper bytes of four
        data = np.pad(np.frombuffer(data, np.uint8).reshape(-1, 3), ((0, 0), (1, 0))).tobytes()
    values = np.frombuffer(data, dtype)
    return (values / (np.iinfo(values.dtype).max + 1.0)).astype(np.float32)


def _exactly(file: BinaryIO, size: int, name: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise AudiogenError(f"{name} is cut short before its first sample")
    return data
