"""Recordings that models are scored on: clips of a corpus with what is said in them and by whom."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.progress import track
from torch import Tensor

from audiogen.data.corpora import load_cuts, read_wave
from audiogen.errors import AudiogenError

T = TypeVar("T")


@dataclass(frozen=True)
class Clip:
    """A recording: `wave` [1, N] at `sample_rate`, its transcript (empty if there is none) and its speaker."""

    id: str
    wave: Tensor
    sample_rate: int
    text: str
    speaker: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.wave.shape[-1] / self.sample_rate


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
    clips = []
    for cut in list(load_cuts(corpora, data_root, split))[:limit]:
        rate = sample_rate or cut.sampling_rate
        supervision = cut.supervisions[0]
        clips.append(Clip(cut.id, read_wave(cut, rate)[None], rate, supervision.text or "", supervision.speaker or ""))
    return clips


def by_speaker(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """The clips of each speaker, in order."""
    speakers: dict[str, list[Clip]] = {}
    for clip in clips:
        speakers.setdefault(clip.speaker, []).append(clip)
    return speakers


def progress(items: Iterable[T], label: str) -> Iterator[T]:
    """The items, with a progress bar that goes when they are through."""
    yield from track(items, description=label, transient=True)
