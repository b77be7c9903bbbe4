"""Random segments of sound for codec training, cut from a cache of decoded clips.

Everything is decoded once into 16-bit samples that are mapped into memory; a batch then costs no more than a copy.
The cache keeps named groups of clips (speech, music, …) apart, so that a stream can weigh them. For each group there
are `<group>.pcm`, the samples of its clips end to end, and `<group>.jsonl`, the id and length of each clip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from audiogen.data.corpora import read_wave
from audiogen.data.journal import read_journal
from audiogen.errors import AudiogenError, unknown_name
from audiogen.files import write_json

if TYPE_CHECKING:
    from lhotse import MonoCut

_HEADER, _SAMPLES, _CLIPS, _PARTIAL = "cache.json", ".pcm", ".jsonl", ".partial"
_FULL_SCALE = 32767
_PEAK = 0.99


@dataclass(frozen=True)
class Clips:
    """One group of a cache: `samples` int16 of all clips end to end, and where each starts and how long it is."""

    ids: list[str]
    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def segment(self, clip: int, offset: int, length: int) -> np.ndarray:
        """`length` samples int16 of a clip from `offset` on; what lies outside the clip is silence."""
        segment = np.zeros(length, np.int16)
        first, last = max(offset, 0), min(offset + length, int(self.lengths[clip]))
        start = int(self.starts[clip])
        segment[first - offset : last - offset] = self.samples[start + first : start + last]
        return segment


@dataclass(frozen=True)
class SegmentCache:
    """Decoded clips at `sample_rate` in named groups."""

    sample_rate: int
    groups: dict[str, Clips]

    @classmethod
    def open(cls, folder: Path) -> SegmentCache:
        """Map a finished cache into memory.

        Raises:
            AudiogenError: If there is none in `folder`.
        """
        header = _read_header(folder)
        if header is None:
            raise AudiogenError(f"{folder} holds no cache of decoded sound; build_cache makes one")
        names = sorted(path.stem for path in folder.glob(f"*{_CLIPS}"))
        return cls(header["sample_rate"], {name: _open_group(folder, name) for name in names})

    def hours(self, group: str) -> float:
        """How much sound a group holds."""
        return float(self.groups[group].lengths.sum()) / self.sample_rate / 3600


def build_cache(folder: Path, groups: Mapping[str, Iterable[MonoCut]], sample_rate: int) -> SegmentCache:
    """Decode the cuts of each group into `folder`, or go on where an earlier call was stopped.

    Args:
        folder: Where the cache goes.
        groups: Group name → cuts.
        sample_rate: Rate of the cached samples; other rates are resampled.

    Raises:
        AudiogenError: If a sound file cannot be read or `folder` holds a cache of other clips or another rate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = _read_header(folder)
    if header is None:
        write_json(folder / _HEADER, {"sample_rate": sample_rate})
    elif header["sample_rate"] != sample_rate:
        raise AudiogenError(
            f"{folder} holds sound at {header['sample_rate']} Hz, not {sample_rate}; choose another folder"
        )
    for name, cuts in groups.items():
        _decode_group(folder, name, list(cuts), sample_rate)
    return SegmentCache.open(folder)


class SegmentStream:
    """Batches of random segments, each a function of the seed and the step alone."""

    def __init__(
        self,
        cache: SegmentCache,
        batch_size: int,
        seconds: float,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        gain_db: tuple[float, float] = (-12.0, 12.0),
    ) -> None:
        """Set up the stream.

        Args:
            cache: Where the sound comes from.
            batch_size: Segments a batch, B.
            seconds: Length of a segment.
            seed: Decides every draw.
            weights: Group → relative share of the segments; without it each group's share is its duration. A group
                that is not named is not used.
            gain_db: Bounds of the random change of level, decibels; a segment is never brought to clip.

        Raises:
            AudiogenError: If a weight names a group that the cache lacks, or none is positive.
        """
        weights = {name: cache.hours(name) for name in cache.groups} if weights is None else weights
        for name in weights:
            if name not in cache.groups:
                raise unknown_name("group of the sound cache", name, cache.groups)
        shares = np.array(list(weights.values()), float)
        if not (shares >= 0).all() or not shares.sum() > 0:
            raise AudiogenError(f"the weights {dict(weights)} must be positive numbers")
        self._groups = [cache.groups[name] for name in weights]
        self._shares = shares / shares.sum()
        self._batch_size, self._seed, self._gain_db = batch_size, seed, gain_db
        self._length = round(seconds * cache.sample_rate)

    def batches(self, start: int = 0) -> Iterator[Tensor]:
        """Batches float32 [B, 1, N] from step `start` on, without end."""
        step = start
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Tensor:
        """The batch float32 [B, 1, N] of one step."""
        random = np.random.default_rng([self._seed, step])
        groups = random.choice(len(self._groups), size=self._batch_size, p=self._shares)
        return torch.stack([self._segment(self._groups[group], random) for group in groups])[:, None]

    def _segment(self, clips: Clips, random: np.random.Generator) -> Tensor:
        """A segment [N] from anywhere in the group: long clips are drawn more often, short ones lie in silence."""
        position = random.integers(len(clips.samples))
        clip = int(np.searchsorted(clips.starts, position, side="right")) - 1
        spare = int(clips.lengths[clip]) - self._length
        offset = int(random.integers(min(spare, 0), max(spare, 0) + 1))
        segment = clips.segment(clip, offset, self._length).astype(np.float32) / _FULL_SCALE
        gain = 10 ** (random.uniform(*self._gain_db) / 20)
        return torch.from_numpy(segment * min(gain, _PEAK / max(float(np.abs(segment).max()), 1e-4)))


def _decode_group(folder: Path, name: str, cuts: list[MonoCut], sample_rate: int) -> None:
    """Write one group. Samples go down before the line that counts them, so a line promises whole samples."""
    ids = [cut.id for cut in cuts]
    if (folder / f"{name}{_CLIPS}").exists():
        _check_same(folder, name, _open_group(folder, name).ids, ids)
        return
    samples_path, clips_path = (folder / f"{name}{suffix}{_PARTIAL}" for suffix in (_SAMPLES, _CLIPS))
    done = read_journal(clips_path)
    _check_same(folder, name, [clip["id"] for clip in done], ids[: len(done)])
    samples_path.touch()
    os.truncate(samples_path, 2 * sum(clip["length"] for clip in done))
    with open(samples_path, "ab") as samples, open(clips_path, "a", encoding="utf-8") as clips:
        todo = cuts[len(done) :]
        for cut in track(todo, f"decoding {name}", console=Console(stderr=True), disable=not todo):
            wave = read_wave(cut, sample_rate)
            samples.write((wave.clamp(-1, 1) * _FULL_SCALE).round().to(torch.int16).numpy().tobytes())
            samples.flush()
            clips.write(json.dumps({"id": cut.id, "length": len(wave)}) + "\n")
            clips.flush()
    samples_path.rename(folder / f"{name}{_SAMPLES}")
    clips_path.rename(folder / f"{name}{_CLIPS}")


def _open_group(folder: Path, name: str) -> Clips:
    clips = read_journal(folder / f"{name}{_CLIPS}")
    lengths = np.array([clip["length"] for clip in clips], np.int64)
    samples = np.memmap(folder / f"{name}{_SAMPLES}", np.int16, mode="r", shape=(int(lengths.sum()),))
    return Clips([clip["id"] for clip in clips], samples, np.cumsum(lengths) - lengths, lengths)


def _check_same(folder: Path, name: str, found: list[str], wanted: list[str]) -> None:
    if found != wanted:
        raise AudiogenError(f"{folder} holds other clips in group {name!r} than asked for; choose another folder")


def _read_header(folder: Path) -> dict | None:
    path = folder / _HEADER
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
