"""Many utterances spoken together, one step of the model for all: on a CPU that costs little more than one alone.

Each has its own place in its text, its own prompt and its own chance, so what it says is what it says alone.
"""

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from audiogen.models.valle_r import GenerateOptions


@dataclass(frozen=True)
class Spoken:
    """What a session said in a step.

    Attributes:
        codes: [K, T], a chunk, or what was left.
        durations: Once it has ended, merged frames of each of its phones [L]; before, None.
    """

    codes: Tensor
    durations: Tensor | None


class SpeechBatch:
    """Sessions that are the rows of one state. They may join and leave between any two steps.

    A session that ends leaves its row to the next one that joins, and rows are given up where most are free.

    Args:
        model: Speaks by `outline`, `fill` and `durations`, as `VallER` does.
        options: How to draw, the same as in `init_state`.
    """

    def __init__(self, model: nn.Module, options: GenerateOptions) -> None:
        self._model, self._options = model, options
        self._state: Any = None
        self._rows: list[int | None] = []
        self._coming: list[Any] = []  # the states of the last rows, joined to the others once for all
        self._numbers = count()

    def __len__(self) -> int:
        """How many sessions there are."""
        return sum(session is not None for session in self._rows)

    def __contains__(self, session: int) -> bool:
        """Whether a session is still speaking."""
        return session in self._rows

    @torch.inference_mode()
    def join(self, state: Any) -> int:
        """Add the session of one row that `init_state` made, which is used up; returns its number."""
        number = next(self._numbers)
        if None in self._rows:
            row = self._rows.index(None)
            self._state, self._rows[row] = self._state.put(row, state), number
        else:
            self._coming.append(state)
            self._rows.append(number)
        return number

    @torch.inference_mode()
    def leave(self, session: int) -> None:
        """Take a session out before its end."""
        self._gather()
        row = self._rows.index(session)
        self._rows[row] = None
        self._state.ended[row] = True

    @torch.inference_mode()
    def step(self) -> dict[int, Spoken]:
        """Take every session a chunk on; those that end are told so and have left."""
        self._gather()
        self._close_ranks()
        if not self._rows:
            return {}
        outline, state = self._model.outline(self._state, self._options, chunks=1)
        tokens, fine = self._model.fill(outline, state.fine)
        self._state = replace(state, fine=fine)
        durations, done = self._model.durations(self._state), self._state.ended.tolist()
        spoken = {}
        for row, session in enumerate(self._rows):
            if session is not None:
                codes = tokens.codes[row, :, : int(tokens.lengths[row])]
                spoken[session] = Spoken(codes, durations[row] if done[row] else None)
                self._rows[row] = None if done[row] else session
        return spoken

    def _gather(self) -> None:
        """Make one state of all sessions, those that have come since the last step included."""
        if self._coming:
            states = [*([] if self._state is None else [self._state]), *self._coming]
            self._state, self._coming = type(states[0]).join(states), []

    def _close_ranks(self) -> None:
        """Give up the free rows where they are half of all or more."""
        taken = [row for row, session in enumerate(self._rows) if session is not None]
        if 2 * len(taken) <= len(self._rows):
            self._state = self._state.select(taken) if taken else None
            self._rows = [self._rows[row] for row in taken]
