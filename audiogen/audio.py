"""Sound files in and out: the only place that touches soundfile and soxr. Lengths are exact.

Waves are float32 tensors [C, N] between -1 and 1. What comes from outside is checked here once: format, channels,
rate, length and values.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.files import check_writable, whole

MAX_MINUTES = 60.0
MAX_CHANNELS = 2
SAMPLE_RATES = range(4_000, 192_001)
WRITTEN = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}


def check(path: str | Path, max_minutes: float = MAX_MINUTES) -> soundfile._SoundFileInfo:
    """What the header of a sound file says, if it is one we take.

    Raises:
        AudiogenError: If it is missing, empty, not sound, too long, or has too many channels or an odd rate.
    """
    path = Path(path)
    if not path.is_file():
        raise AudiogenError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudiogenError(f"{path} is empty; a WAV, FLAC, OGG or MP3 file is needed")
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise AudiogenError(f"{path} is not a sound file we can read (WAV, FLAC, OGG, MP3): {error}") from None
    if info.channels > MAX_CHANNELS:
        raise AudiogenError(f"{path} has {info.channels} channels; mix it down to mono or stereo first")
    if info.samplerate not in SAMPLE_RATES:
        raise AudiogenError(f"{path} has {info.samplerate} samples a second; 4,000 to 192,000 are supported")
    if info.frames == 0:
        raise AudiogenError(f"{path} holds no samples")
    if info.duration > max_minutes * 60:
        minutes = info.duration / 60
        raise AudiogenError(
            f"{path} is {minutes:.0f} minutes long; at most {max_minutes:g} are taken, so cut it into parts"
        )
    return info


def read(
    path: str | Path, sample_rate: int | None = None, mono: bool = True, max_minutes: float = MAX_MINUTES
) -> Tensor:
    """A whole sound file as float32 [C, N], at `sample_rate` if given, channels averaged if `mono`.

    Raises:
        AudiogenError: See `check`; also if the data is cut short or holds NaN or infinite samples.
    """
    info = check(path, max_minutes)
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudiogenError(f"{path} is damaged: {error}") from None
    if len(samples) == 0:
        raise AudiogenError(f"{path} is damaged: its header promises {info.frames} samples, none can be read")
    wave = torch.from_numpy(np.ascontiguousarray(samples.T))
    check_finite(wave, str(path))
    if mono:
        wave = wave.mean(0, keepdim=True)
    return wave if sample_rate is None else resample(wave, rate, sample_rate)


def check_finite(wave: Tensor, where: str) -> None:
    """Raise if any sample is NaN or infinite, naming the first."""
    bad = ~torch.isfinite(wave)
    if bad.any():
        first = int(bad.any(0).nonzero()[0])
        raise AudiogenError(f"{where}: sample {first} is not a finite number ({int(bad.sum())} such); export it again")


def resample(wave: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """`wave` [C, N] at another rate: round(N · target / source) samples."""
    if source_rate == target_rate:
        return wave
    resampled = soxr.resample(wave.numpy().T, source_rate, target_rate, quality="HQ")
    length = round(wave.shape[-1] * target_rate / source_rate)
    fitted = torch.zeros(wave.shape[0], length)
    copied = min(length, len(resampled))
    fitted[:, :copied] = torch.from_numpy(np.ascontiguousarray(resampled.T))[:, :copied]
    return fitted


def at_level(wave: Tensor, decibels: float = -23.0) -> Tensor:
    """`wave` [C, N] scaled to a root mean square of `decibels` below full scale, or less where it would clip."""
    rms, peak = wave.square().mean().sqrt(), wave.abs().max()
    return wave * torch.minimum(10 ** (decibels / 20) / rms.clamp(min=1e-5), 0.95 / peak.clamp(min=1e-5))


def blocks(
    path: str | Path, sample_rate: int, block_seconds: float, max_minutes: float = MAX_MINUTES
) -> Iterator[Tensor]:
    """A sound file as successive mono blocks [1, n] at `sample_rate`: constant memory, resampled in a stream."""
    rate = check(path, max_minutes).samplerate
    return resampled(_mono_blocks(path, max(1, round(block_seconds * rate))), rate, sample_rate)


def resampled(blocks: Iterable[Tensor], source_rate: int, target_rate: int) -> Iterator[Tensor]:
    """Successive mono blocks [1, n] of one sound at another rate; what a resampler holds back comes at the end."""
    resampler = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in chain(blocks, [None]):
        samples = np.zeros(0, dtype=np.float32) if block is None else block[0].numpy()
        out = resampler.resample_chunk(samples, last=block is None)
        if len(out):
            yield torch.from_numpy(out.copy())[None]


def _mono_blocks(path: str | Path, size: int) -> Iterator[Tensor]:
    """Mono blocks [1, n] of at most `size` samples, at the file's own rate."""
    with soundfile.SoundFile(str(path)) as file:
        while True:
            try:
                block = file.read(size, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                raise AudiogenError(f"{path} is damaged: {error}") from None
            if len(block) == 0:
                return
            mono = torch.from_numpy(np.ascontiguousarray(block.mean(1)))[None]
            check_finite(mono, str(path))
            yield mono


def check_target(path: str | Path) -> Path:
    """`path`, if a sound file can be written there.

    Raises:
        AudiogenError: If its ending is none we write, or see `files.check_writable`.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise AudiogenError(f"cannot write {path.name!r}: the name must end in {', '.join(WRITTEN)}")
    return check_writable(path)


def write(path: str | Path, wave: Tensor, sample_rate: int, subtype: str | None = None) -> None:
    """Write `wave` [C, N] or [N] in the format of the file's ending (wav, flac, ogg), whole or not at all."""
    path = check_target(path)
    samples = wave.detach().cpu().float().clamp(-1, 1).reshape(-1, wave.shape[-1]).T.numpy()
    with whole(path) as staging:
        soundfile.write(str(staging), samples, sample_rate, subtype=subtype, format=WRITTEN[path.suffix.lower()])


@contextmanager
def writer(path: str | Path, sample_rate: int, channels: int = 1) -> Iterator[Callable[[Tensor], None]]:
    """A function that appends a wave [C, n] to the sound file `path`, which is written whole or not at all."""
    path = check_target(path)
    with whole(path) as staging:
        with soundfile.SoundFile(str(staging), "w", sample_rate, channels, format=WRITTEN[path.suffix.lower()]) as file:
            yield lambda wave: file.write(wave.detach().cpu().float().clamp(-1, 1).T.numpy())


def to_bytes(
    wave: Tensor, sample_rate: int, format: str, subtype: str, compression_level: float | None = None
) -> bytes:
    """`wave` [C, N] as a sound file in memory, in libsndfile's names, e.g. `"OGG"`, `"VORBIS"`."""
    file = io.BytesIO()
    samples = wave.detach().cpu().float().clamp(-1, 1).T.numpy()
    soundfile.write(file, samples, sample_rate, subtype, format=format, compression_level=compression_level)
    return file.getvalue()


def from_bytes(data: bytes) -> tuple[Tensor, int]:
    """The wave [C, N] and sample rate of a sound file in memory that `to_bytes` made."""
    samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return torch.from_numpy(np.ascontiguousarray(samples.T)), sample_rate
