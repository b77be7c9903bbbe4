"""Forced alignment: when each phone of a recording was said, by a recogniser of phones with 20 ms label frames.

The aligner is trained with the blank as silence, so a pause may come between any two phones without being written:
short blanks go to the phones around them, longer ones are pauses.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.text.phones import SILENCE, PhoneInventory

SHORTEST_PAUSE = 0.08
LONGEST_PHONE = 1.0
LOWEST_SCORE = -3.0

Timing = tuple[str, float, float]


@torch.inference_mode()
def align(bundle: Bundle, wave: Tensor, phones: Sequence[str]) -> list[Timing]:
    """The phones of a recording with their times, pauses as `sil`, from 0 to the recording's end without gaps.

    Args:
        bundle: A recogniser of phones, e.g. `aligner-en`.
        wave: [N] at the bundle's sample rate.
        phones: What is said, in symbols of the bundle's inventory; `sil` among them is ignored, pauses are heard.

    Returns:
        (symbol, start_s, end_s), seconds.

    Raises:
        AudiogenError: If the bundle knows no phones, or the recording cannot hold them: it is too short, a phone
            lasts over a second, or they fit the sound too badly. Such a clip's text is most likely wrong.
    """
    if "inventory" not in bundle.assets:
        raise AudiogenError(f"{bundle.folder or bundle.name} hears no phones; alignment needs a recogniser of phones")
    spoken = [phone for phone in phones if phone != SILENCE]
    labels = PhoneInventory.from_dict(bundle.assets["inventory"]).encode(spoken)
    model = bundle.model
    log_probs, _ = model.log_probs(wave[None], lookahead=max(model.config.lookaheads))
    repeats = sum(a == b for a, b in pairwise(labels))
    if not labels or log_probs.shape[1] < len(labels) + repeats:
        seconds = len(wave) / model.config.sample_rate
        raise AudiogenError(f"{len(labels)} phones do not fit into {seconds:.2f} s of sound")
    functional = require("torchaudio.functional", "train")
    path, scores = functional.forced_align(log_probs, torch.tensor([labels]), blank=model.blank)
    if scores.mean() < LOWEST_SCORE:
        raise AudiogenError(f"the phones do not fit the sound: log-probability {scores.mean():.1f} a frame")
    runs = _runs(path[0].tolist(), model.blank)
    bounds = _bounds(runs, round(SHORTEST_PAUSE / model.label_seconds))
    return _timings(bounds, spoken, model.label_seconds, len(wave) / model.config.sample_rate)


def _runs(path: list[int], blank: int) -> list[tuple[int, int]]:
    """First frame and end of each label's run along an alignment path."""
    runs: list[tuple[int, int]] = []
    previous = blank
    for frame, label in enumerate(path):
        if label != blank and label == previous:
            runs[-1] = (runs[-1][0], frame + 1)
        elif label != blank:
            runs.append((frame, frame + 1))
        previous = label
    return runs


def _bounds(runs: list[tuple[int, int]], shortest_pause: int) -> list[tuple[int, int]]:
    """Runs with the blanks between them shared out where they are too short for a pause."""
    bounds = [list(run) for run in runs]
    for left, right in pairwise(bounds):
        gap = right[0] - left[1]
        if gap < shortest_pause:
            left[1] += gap - gap // 2
            right[0] = left[1]
    return [(start, end) for start, end in bounds]


def _timings(bounds: list[tuple[int, int]], phones: Sequence[str], frame: float, duration: float) -> list[Timing]:
    """Bounds in frames as timings in seconds, pauses in between, silence up to both ends."""
    timings: list[Timing] = []
    position = 0.0
    for (first, last), phone in zip(bounds, phones, strict=True):
        start, end = round(first * frame, 3), min(round(last * frame, 3), duration)
        if end - start > LONGEST_PHONE:
            raise AudiogenError(f"{phone!r} would last from {start:.2f} to {end:.2f} s; the phones do not fit")
        if start > position:
            timings.append((SILENCE, position, start))
        timings.append((phone, start, end))
        position = end
    if position < duration:
        timings.append((SILENCE, position, duration))
    return timings
