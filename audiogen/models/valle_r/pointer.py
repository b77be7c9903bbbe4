"""The path through the text: a pointer that stays at a phone or advances by one, or in plain VALL-E none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.valle_r.config import VallERConfig
from audiogen.models.valle_r.state import CoarseState
from audiogen.models.valle_r.utterance import GenerateOptions

SATED = 1 << 30  # a dwell that makes the pointer move on at once


class PhonePointer(nn.Module):
    """Leads the first codebook along the phones: at each frame stay or advance by one, from the first to the last.

    The chance to advance is the softmax of the phone head over this phone and the next (VALL-E R §3.2.2; the end symbol
    follows the last). Two equal phones in a row would tie, so there a binary head decides, trained on every boundary.
    """

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.lag = config.phone_lag
        self.phone_head = nn.Linear(config.dim, config.num_phones + 1)
        self.advance_head = nn.Linear(config.dim, 1)

    def losses(self, hidden: Tensor, phones: Tensor, fed: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """How well tokens [B, T, D] that are led by places `fed` [B, T + 1 or more] foretell the next place."""
        known = torch.arange(hidden.shape[1], device=frames.device) < frames[:, None] + 1 - self.lag
        following = F.pad(fed[:, 1:], (0, 1))[:, : hidden.shape[1]][known]
        rows = known.nonzero()[:, 0]
        advanced = (following != fed[:, : hidden.shape[1]][known]).float()
        hidden = hidden[known]
        return {
            "phone": F.cross_entropy(self.phone_head(hidden), phones[rows, following]),
            "advance": F.binary_cross_entropy_with_logits(self.advance_head(hidden)[:, 0], advanced),
        }

    def start(self, first: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Pointer and dwell before the first step: at the `first` phone [B], or about to move to it."""
        if self.lag == 1:
            return first, torch.zeros_like(first)
        return first - 1, torch.full_like(first, SATED)

    def move(
        self, hidden: Tensor, walks: Sequence["Walk"], options: GenerateOptions, uniforms: Sequence[float]
    ) -> None:
        """Stay or advance, knowing `hidden` [B, D], by a number in [0, 1) for each; past the last phone a row is done.

        Only the logits of a phone and of the one after it matter, so only they are computed.
        """
        pairs = torch.tensor([walk.phones[walk.place : walk.place + 2] for walk in walks], device=hidden.device)
        weight, bias = self.phone_head.weight[pairs], self.phone_head.bias[pairs]
        logits = torch.baddbmm(bias[:, :, None], weight, hidden[:, :, None])[:, :, 0].tolist()
        rows = zip(walks, logits, self.advance_head(hidden)[:, 0].tolist(), uniforms, strict=True)
        for walk, (here, after), tie, uniform in rows:
            tendency = tie if walk.at_tie else after - here
            chance = 0.5 + 0.5 * math.tanh(0.5 * tendency / (options.pointer_temperature or 1e-9))
            drawn = uniform if options.pointer_temperature else 0.5
            walk.move(drawn < chance and walk.dwell >= options.min_dwell)
            walk.done = walk.done or walk.pointer >= walk.end


class FreePath(nn.Module):
    """No pointer, as in plain VALL-E: a frame's place is its number, and the text is found by attention alone."""

    def __init__(self, config: VallERConfig):
        super().__init__()
        self.lag = config.phone_lag

    def losses(self, hidden: Tensor, phones: Tensor, fed: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Nothing to learn."""
        return {}

    def start(self, first: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Place and dwell before the first step after `frames` [B] of prompt."""
        return frames - 1 + self.lag, torch.zeros_like(frames)

    def move(
        self, hidden: Tensor, walks: Sequence["Walk"], options: GenerateOptions, uniforms: Sequence[float]
    ) -> None:
        """On to the next frame."""
        for walk in walks:
            walk.pointer += 1


@dataclass
class Walk:
    """A row of a `CoarseState` in plain numbers, for a while.

    The pointer takes a dozen small decisions a frame: as tensor operations they would take as long as the transformer.
    The fields are those of the state.
    """

    phones: list[int]
    end: int
    limits: list[int]
    forced: list[bool]
    pointer: int
    dwell: int
    remaining: int
    durations: list[int]
    done: bool

    @classmethod
    def read(cls, state: CoarseState) -> list["Walk"]:
        """The walks of all rows."""
        return [cls(*row) for row in zip(*(getattr(state, f.name).tolist() for f in fields(cls)), strict=True)]

    @staticmethod
    def write(walks: Sequence["Walk"], state: CoarseState) -> CoarseState:
        """The state with what has changed on the walks."""
        changed = ("pointer", "dwell", "remaining", "durations", "done")
        columns = {name: [getattr(walk, name) for walk in walks] for name in changed}
        return replace(state, **{name: torch.tensor(c, device=state.code.device) for name, c in columns.items()})

    @property
    def place(self) -> int:
        """The pointer, held within the text."""
        return min(max(self.pointer, 0), len(self.phones) - 2)

    @property
    def at_tie(self) -> bool:
        """Whether the next phone is the same as this one."""
        return self.phones[self.place] == self.phones[self.place + 1]

    def speak(self, ends: bool) -> bool:
        """Spend a frame where the pointer is, unless the row has ended or `ends` now; returns whether it was spent."""
        speaks = not (self.done or ends)
        self.done = not speaks or self.remaining <= 1
        self.dwell += speaks
        self.remaining -= speaks
        self.durations[self.place] += speaks
        return speaks

    def move(self, willing: bool) -> None:
        """Advance if `willing`; in any case where a phone has had its frames, and a preset path only there."""
        sated = self.dwell >= self.limits[self.place]
        if not self.done and (sated or (willing and not self.forced[self.place])):
            self.pointer += 1
            self.dwell = 0
