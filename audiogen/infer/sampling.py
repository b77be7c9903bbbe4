"""Drawing codes from logits: the one sampler, whose chance is given as uniform numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen.errors import AudiogenError

FEW = 64  # nearly always so many codes reach `top_p`; sorting all takes several times as long


@dataclass(frozen=True)
class Sampler:
    """Draws from the softmax of logits, cut to its likely part.

    Attributes:
        temperature: Divides the logits; 0 always takes the best.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise AudiogenError(f"temperature is {self.temperature}; it must be between 0 and 10")
        if not 0 < self.top_p <= 1:
            raise AudiogenError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.top_k < 0:
            raise AudiogenError(f"top_k is {self.top_k}; it must be positive, or 0 for no limit")

    def pick(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """For each row of logits [B, V] the index whose share of the distribution uniforms [B] in [0, 1) fall into."""
        if self.temperature == 0:
            return logits.argmax(-1)
        chances, order = self._chances(logits)
        reached = torch.zeros_like(logits).scatter(-1, order, chances).cumsum(-1)
        drawn = torch.searchsorted(reached, (uniforms * reached[:, -1])[:, None], right=True)[:, 0]
        return drawn.minimum((reached < reached[:, -1:]).sum(-1))

    def _chances(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The chances [B, k] of the likeliest codes, not normalised after the cut, and their indices."""
        size = logits.shape[-1]
        few = self.top_k or (FEW if self.top_p < 1 else size)
        chances, order = self._likeliest(logits, min(few, size))
        if not self.top_k and few < size and chances.sum(-1).min() < self.top_p:
            chances, order = self._likeliest(logits, size)
        return chances.masked_fill(chances.cumsum(-1) - chances >= self.top_p, 0), order

    def _likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The chances [B, count] of the likeliest codes and their indices; among `top_k` codes there are no others."""
        chances, order = (logits / self.temperature).softmax(-1).topk(count, dim=-1)
        return chances / chances.sum(-1, keepdim=True) if self.top_k else chances, order
