"""Recordings that models are scored on: clips of a corpus with what is said in them and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rich.progress import track
from torch import Tensor

from audiogen.data.corpora import load_cuts, read_wave
from audiogen.errors import AudiogenError

if TYPE_CHECKING:
    from lhotse import MonoCut

T = TypeVar("T")


@dataclass(frozen=True)
class Clip:
    """A recording: `wave` [1, N] at `sample_rate`, its words or caption, speaker and language, empty if unknown."""

    id: str
    wave: Tensor
    sample_rate: int
    text: str
    speaker: str
    language: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.wave.shape[-1] / self.sample_rate

    @property
    def is_speech(self) -> bool:
        """Whether someone speaks: sounds and music have captions, but neither language nor speaker."""
        return bool(self.language or self.speaker)

    @property
    def is_read_english(self) -> bool:
        """Whether its English words are known."""
        return bool(self.text) and self.language.split("-")[0] == "en"


def corpus_clips(
    corpora: str | Sequence[str],
    split: str,
    data_root: str | None = None,
    sample_rate: int | None = None,
    limit: int | None = None,
) -> list[Clip]:
    """The first `limit` clips of a split, at their own rate or at `sample_rate`.

    Raises:
        AudiogenError: See `audiogen.data.corpora.load_cuts`; also if `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise AudiogenError(f"limit={limit}: at least one clip is needed to score")
    return [read_clip(cut, sample_rate) for cut in list(load_cuts(corpora, data_root, split))[:limit]]


def read_clip(cut: MonoCut, sample_rate: int | None = None) -> Clip:
    """The clip of a cut, at its own rate or at `sample_rate`."""
    rate, said = sample_rate or cut.sampling_rate, cut.supervisions[0]
    labels = (said.text or "", said.speaker or "", said.language or "")
    return Clip(cut.id, read_wave(cut, rate)[None], rate, *labels)


def by_speaker(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """The clips of each speaker, in order."""
    speakers: dict[str, list[Clip]] = {}
    for clip in clips:
        speakers.setdefault(clip.speaker, []).append(clip)
    return speakers


def progress(items: Iterable[T], label: str) -> Iterator[T]:
    """The items, with a progress bar that goes when they are through."""
    yield from track(items, description=label, transient=True)
