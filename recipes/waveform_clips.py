"""What recipes of waveforms generate: groups of clips made together, the files of each, and how fast they came."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from audiogen import audio
from audiogen.metrics.tables import Row

CLIPS = "clips.jsonl"
AT_ONCE = 20  # clips generated together


class Group(NamedTuple):
    """Clips to make together: how many, of which class if any, and by a seed that is no other group's."""

    key: str
    label: str | None
    count: int
    seed: int


def groups(labels: Sequence[str], clips: int) -> list[Group]:
    """The groups of `clips` of every class, or of as many in all where there are none."""
    return [
        Group(f"{label or 'clip'}-{first:04d}", label, min(AT_ONCE, clips - first), place * clips + first)
        for place, label in enumerate(labels or [None])
        for first in range(0, clips, AT_ONCE)
    ]


def write_clips(folder: Path, stem: str, waves: Iterable[Tensor], sample_rate: int) -> list[str]:
    """Write clips [1, n] into `folder` as `<stem>-<number>.wav`; returns these names."""
    files = []
    for number, wave in enumerate(waves):
        files.append(f"{stem}-{number:02d}.wav")
        audio.write(folder / files[-1], wave, sample_rate, "PCM_16")
    return files


def samples_per_second(made: Sequence[Row]) -> float:
    """How fast groups came, by the `samples` and `took_s` of each."""
    return sum(row["samples"] for row in made) / sum(row["took_s"] for row in made)
