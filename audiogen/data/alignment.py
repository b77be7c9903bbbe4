"""From phone timings to numbers of frames: tiling, checking, rounding.

A timing is (symbol, start_s, end_s). Rules and thresholds follow what is known to go wrong with forced alignments:
truncated times drift, frame counts differ by one, and a transcript shorter than its sound gives one word of minutes.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.text.phones import SILENCE, PhoneInventory

if TYPE_CHECKING:
    from lhotse import MonoCut

Timing = tuple[str, float, float]

LONGEST_PHONE = 1.0
LONGEST_PAUSE = 3.0
PHONES_A_SECOND = (3.0, 30.0)
UNKNOWN_WORD = "spn"
_SLACK = 0.02


def phone_timings(cut: "MonoCut") -> list[Timing]:
    """The phones of a cut, from its start to its end without gaps.

    Raises:
        AudiogenError: If it has none, or they overlap or leave the cut.
    """
    items = (cut.supervisions[0].alignment or {}).get("phone") if cut.supervisions else None
    if not items:
        raise AudiogenError(f"the clip {cut.id} has no phone timings; align its corpus first")
    try:
        return tiled([(item.symbol, item.start, item.end) for item in items], cut.duration)
    except AudiogenError as error:
        raise AudiogenError(f"the clip {cut.id}: {error}") from None


def tiled(timings: Sequence[Timing], duration: float) -> list[Timing]:
    """The timings made to tile 0 to `duration`: silence first, last and in gaps, neighbouring silences joined.

    Gaps of up to 20 ms go to the phone after them.

    Raises:
        AudiogenError: If phones overlap or end after `duration` by more than 20 ms.
    """
    tiles: list[Timing] = [(SILENCE, 0.0, 0.0)]
    for symbol, start, end in timings:
        before = tiles[-1][2]
        if start < before - _SLACK or end > duration + _SLACK:
            raise AudiogenError(
                f"{symbol!r} from {start:.3f} to {end:.3f} s overlaps or leaves {duration:.3f} s of sound"
            )
        end = min(max(end, before), duration)
        if symbol == SILENCE:
            _extend_silence(tiles, end)
        else:
            if start > before + _SLACK:
                _extend_silence(tiles, start)
            tiles.append((symbol, tiles[-1][2], end))
    _extend_silence(tiles, duration)
    if tiles[-1][0] != SILENCE:
        tiles.append((SILENCE, duration, duration))
    return tiles


def objection(timings: Sequence[Timing]) -> str | None:
    """Why timings should not be learnt from, or None if they look right."""
    spoken = [timing for timing in timings if timing[0] != SILENCE]
    if not spoken:
        return "no phone is spoken"
    if any(symbol == UNKNOWN_WORD for symbol, _, _ in spoken):
        return "a word was unknown to the aligner"
    longest = max(spoken, key=_duration)
    if _duration(longest) > LONGEST_PHONE:
        return f"{longest[0]!r} lasts {_duration(longest):.1f} s"
    pause = max((_duration(timing) for timing in timings if timing[0] == SILENCE), default=0.0)
    if pause > LONGEST_PAUSE:
        return f"a pause lasts {pause:.1f} s"
    rate = len(spoken) / max(sum(map(_duration, spoken)), 1e-3)
    if not PHONES_A_SECOND[0] <= rate <= PHONES_A_SECOND[1]:
        return f"{rate:.1f} phones a second"
    return None


def durations(timings: Sequence[Timing], num_frames: int, frame_rate: float) -> list[int]:
    """Frames of each phone: they sum to `num_frames`, and each phone has one at least.

    Boundaries, not durations, are rounded, so errors do not add up. A phone that gets no frame takes one from the
    nearest phone that can spare it, the longer of two.

    Args:
        timings: Phones that tile the sound.
        num_frames: Frames of the sound.
        frame_rate: Frames a second.

    Raises:
        AudiogenError: If there are more phones than frames.
    """
    if len(timings) > num_frames:
        raise AudiogenError(f"{len(timings)} phones do not fit into {num_frames} frames")
    counts, before = [], 0
    for _, _, end in timings:
        bound = min(max(math.floor(end * frame_rate + 0.5), before), num_frames)
        counts.append(bound - before)
        before = bound
    counts[-1] += num_frames - before
    for index in range(len(counts)):
        if counts[index] == 0:
            donors = (donor for donor, count in enumerate(counts) if count > 1)
            donor = min(donors, key=lambda donor: (abs(donor - index), -counts[donor]))
            counts[donor] -= 1
            counts[index] = 1
    return counts


def frame_labels(timings: Sequence[Timing], num_frames: int, frame_rate: float, inventory: PhoneInventory) -> Tensor:
    """The phone at the middle of each frame, int64 [T].

    Silence is `len(inventory)`, the blank of a phone recogniser; −1 stands where nothing known is.
    """
    labels = torch.full((num_frames,), -1)
    for symbol, start, end in timings:
        first, last = (min(max(math.ceil(second * frame_rate - 0.5), 0), num_frames) for second in (start, end))
        if symbol == SILENCE:
            labels[first:last] = len(inventory)
        elif symbol in inventory:
            labels[first:last] = inventory.encode([symbol])[0]
    return labels


def _extend_silence(tiles: list[Timing], end: float) -> None:
    """Let silence go on to `end`, as a new tile where the last one is a phone."""
    symbol, start, before = tiles[-1]
    if symbol == SILENCE:
        tiles[-1] = (SILENCE, start, max(end, before))
    elif end > before:
        tiles.append((SILENCE, before, end))


def _duration(timing: Timing) -> float:
    return timing[2] - timing[1]
