"""Spans of frames to mask: how many, which at random in training, and which again while decoding (MAGNeT §3.2).

In training, u spans of l frames begin at random frames and may overlap. While decoding, a cosine says what share is
still to be masked before each step, and the spans that were said with the least confidence are masked again: spans of a
fixed grid (`grid`), or any stretch of l frames (`free`).

Source: MAGNeT, arXiv 2401.04577 §3.2, 3.4, and the public code, whose arithmetic in float32 decides some counts.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen.errors import AudiogenError, unknown_name

ARRANGEMENTS, SCORINGS = ("grid", "free"), ("max", "prod")
SETTLED = -1e4  # the badness of a frame that is not to be masked again


def expected_rates(frames: int, span: int) -> Tensor:
    """The share of frames that u random spans are expected to mask, for u = 0 … frames: 1 − C(T−l, u) / C(T, u)."""
    starts = torch.arange(frames, dtype=torch.float64)
    free = ((frames - span - starts).clamp(min=0) / (frames - starts)).cumprod(0)
    return torch.cat([torch.zeros(1, dtype=torch.float64), 1 - free])


@lru_cache
def start_table(frames: int, span: int) -> Tensor:
    """How many spans to begin, at least 1, for a share of 0, 1, … 100 % of the frames: int64 [101]."""
    percents = torch.arange(101, dtype=torch.float64) / 100
    return torch.searchsorted(expected_rates(frames, span), percents).clamp(1, frames)


def random_spans(rates: Tensor, frames: int, span: int, generator: torch.Generator | None = None) -> Tensor:
    """Masks, bool [B, T], of random spans that cover the shares `rates` [B] on average."""
    count = start_table(frames, span)[(100 * rates).round().long().cpu()]
    rank = torch.rand(len(rates), frames, generator=generator).argsort(1).argsort(1)
    begun = (rank < count[:, None]).float()
    return F.max_pool1d(F.pad(begun, (span - 1, 0)), span, 1).bool()


def cosine_schedule(steps: int) -> Tensor:
    """The share that is masked before each of `steps` steps, float32 [steps]: all before the first, then down to 0."""
    return torch.cos(math.pi / 2 * torch.linspace(0, 1, steps)).clamp(min=0)


@dataclass(frozen=True)
class SpanRule:
    """Which frames to say again.

    Attributes:
        span: Frames of a span.
        arrangement: `grid` masks spans of a fixed grid, `free` any stretch of frames (`stride1` in the public code).
        scoring: `max` judges a span by its best frame, `prod` by the product of its probabilities.
    """

    span: int = 3
    arrangement: str = "grid"
    scoring: str = "max"

    def __post_init__(self) -> None:
        if self.span < 1:
            raise AudiogenError(f"a span of {self.span} frames; at least 1 is needed")
        if self.arrangement not in ARRANGEMENTS:
            raise unknown_name("arrangement of spans", self.arrangement, ARRANGEMENTS)
        if self.scoring not in SCORINGS:
            raise unknown_name("scoring of spans", self.scoring, SCORINGS)

    def remask(self, probabilities: Tensor, masked: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        """The mask of the next step, bool [B, T].

        Args:
            probabilities: Of the codes that were said [B, T].
            masked: The frames that were said in this step, bool [B, T]; only those are masked again.
            wanted: The frames that are to be made at all, bool [B, T].
            share: What share to mask, a scalar of `cosine_schedule`; one span or frame at least.
        """
        neutral = float("inf") if self.scoring == "max" else 0.0
        badness = 1 - probabilities if self.scoring == "max" else -probabilities.clamp(min=1e-30).log()
        badness = badness.masked_fill(~masked, SETTLED).masked_fill(~wanted, neutral)
        windows = self._windows(badness, neutral)
        spans = windows.amin(2) if self.scoring == "max" else windows.sum(2)
        if self.arrangement == "grid":
            return self._worst_of_grid(spans, masked, wanted, share)
        return self._worst_stretches(spans, masked, wanted, share)

    def _worst_of_grid(self, spans: Tensor, masked: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        total = self._windows(wanted, False).any(2).sum(1)
        rank = _ranks(spans.masked_fill(~self._windows(masked, False).any(2), float("-inf")))
        chosen = rank < _count(share, total)[:, None]
        return chosen.repeat_interleave(self.span, 1)[:, : masked.shape[1]] & masked

    def _worst_stretches(self, spans: Tensor, masked: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        """Of the stretches in the order of badness so many that together they reach the share."""
        last = spans.shape[1]
        rank = F.pad(_ranks(spans).float(), (self.span - 1, self.span - 1), value=last)
        first = -F.max_pool1d(-rank, self.span, 1)[:, : masked.shape[1]]  # of the stretches over a frame, the worst
        first = first.masked_fill(~masked, last)
        target = _count(share, wanted.sum(1)).minimum(masked.sum(1)).clamp(min=1)
        limit = first.sort(1).values.gather(1, target[:, None] - 1)
        return (first <= limit) & masked

    def _windows(self, x: Tensor, fill: float) -> Tensor:
        """Frames x [B, T] as spans [B, n, l]: those of the grid, the last one filled up, or all stretches."""
        short = max(self.span - x.shape[1], -x.shape[1] % self.span if self.arrangement == "grid" else 0)
        stride = self.span if self.arrangement == "grid" else 1
        return F.pad(x, (0, short), value=fill).unfold(1, self.span, stride)


def _count(share: Tensor, total: Tensor) -> Tensor:
    """How many of `total` [B] are masked at a share of the schedule, in its float32 as in the public code."""
    return (share * total).floor().long().clamp(min=1)


def _ranks(badness: Tensor) -> Tensor:
    """The place [B, n] of each of [B, n] in the order of badness, the worst being 0; the earlier of equals first."""
    return badness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
