"""Batches of coded sound with captions. Models use the fields of a batch and do not import this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

Captions = Callable[[Sequence[str]], tuple[Tensor, Tensor]]


@dataclass
class SoundBatch:
    """Clips of one length with their captions.

    Attributes:
        codes: Int64 [B, K, T].
        text: What the caption encoder gives: ids [B, L, G] of words or features [B, L, F].
        text_mask: True where there is text, bool [B, L].
    """

    codes: Tensor
    text: Tensor
    text_mask: Tensor


class SoundCollate:
    """Makes a `SoundBatch` of cuts: a random stretch of each, as long as the shortest, so that nothing is padding.

    Args:
        codes_of: The codes of a cut, int64 [K, T].
        captions: What turns captions into numbers.
        window: Frames of a stretch at most.
    """

    def __init__(self, codes_of: Callable[[MonoCut], Tensor], captions: Captions, window: int) -> None:
        self._codes_of, self._captions, self._window = codes_of, captions, window

    def __call__(self, cuts: CutSet, generator: torch.Generator) -> SoundBatch:
        """The batch of some cuts."""
        clips = [self._codes_of(cut) for cut in cuts]
        size = min(self._window, *(clip.shape[1] for clip in clips))
        starts = [int(torch.randint(clip.shape[1] - size + 1, (), generator=generator)) for clip in clips]
        codes = torch.stack([clip[:, start : start + size] for clip, start in zip(clips, starts, strict=True)])
        return SoundBatch(codes.long(), *self._captions([cut.supervisions[0].text for cut in cuts]))
