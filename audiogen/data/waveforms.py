"""Batches for models that write sound sample by sample: clips as codes, each with the silence it ends in.

Models use the fields of a batch and do not import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from audiogen.data.corpora import read_wave

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut


@dataclass
class WaveformBatch:
    """Codes int64 [B, T], how many of each row are sound, `lengths` [B], and for a model of classes `labels` [B]."""

    codes: Tensor
    lengths: Tensor
    labels: Tensor | None = None


class WaveformCollate:
    """Makes a `WaveformBatch` of cuts."""

    def __init__(
        self,
        codes_of: Callable[[Tensor], Tensor],
        sample_rate: int,
        tail_seconds: float = 0.0,
        labels: Sequence[str] = (),
    ) -> None:
        """Choose how sound becomes codes.

        Args:
            codes_of: Codes int64 [N] of a wave [N].
            sample_rate: Rate of the waves.
            tail_seconds: Silence that follows every clip, so that a model learns where sound ends.
            labels: Classes; the `label` of a clip is one of them. Empty for a model without.
        """
        self._codes_of, self._sample_rate, self._labels = codes_of, sample_rate, list(labels)
        self._tail = round(tail_seconds * sample_rate)

    def __call__(self, cuts: CutSet, generator: torch.Generator) -> WaveformBatch:
        """The batch of some cuts; rows are padded to the longest."""
        codes = [self._codes(cut) for cut in cuts]
        labels = [self._labels.index(cut.custom["label"]) for cut in cuts] if self._labels else None
        return WaveformBatch(
            pad_sequence(codes, batch_first=True),
            torch.tensor([len(row) for row in codes]),
            None if labels is None else torch.tensor(labels),
        )

    def _codes(self, cut: MonoCut) -> Tensor:
        return self._codes_of(pad(read_wave(cut, self._sample_rate), (0, self._tail)))
