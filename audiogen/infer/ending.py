"""Where clips end that are made sample by sample: at the silence by which a model learnt to end them."""

import torch
from torch import Tensor


class Ending:
    """Notes of each of several clips whether and where it has ended, as their codes come in pieces of any length.

    Attributes:
        lengths: Samples of every clip so far, with its closing silence, [B].
    """

    def __init__(self, count: int, silence: int, tail: int) -> None:
        """Wait for ends.

        Args:
            count: How many clips, B.
            silence: The code of silence.
            tail: So many samples of it end a clip that was not silent before; 0 if clips do not end.
        """
        self._silence, self._tail, self._heard = silence, tail, 0
        self._last_sound = torch.full((count,), -1)
        self._ended = torch.zeros(count, dtype=torch.bool)
        self.lengths = torch.zeros(count, dtype=torch.long)

    @property
    def all(self) -> bool:
        """Whether every clip has ended."""
        return bool(self._ended.all())

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Take in the next codes [B, n].

        Returns:
            The codes with silence after ends, cut off where the last clip ended; which clips [B] had not ended before.
        """
        going, number = ~self._ended, torch.arange(self._heard, self._heard + codes.shape[1])
        sounding = torch.where(codes != self._silence, number, self._last_sound[:, None]).cummax(1).values
        ends = (sounding >= 0) & (number - sounding >= self._tail) & (self._tail > 0)
        kept = torch.where(ends.any(1), ends.int().argmax(1) + 1, codes.shape[1])
        self.lengths += torch.where(going, kept, 0)
        self._ended |= ends.any(1)
        self._last_sound, self._heard = sounding[:, -1], self._heard + codes.shape[1]
        inside = number < self.lengths[:, None]
        size = int(kept[going].max()) if self.all else codes.shape[1]
        return codes.where(inside, self._silence)[:, :size], going
