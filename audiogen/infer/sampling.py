"""Drawing codes from logits: the one sampler, whose chance is given as uniform numbers, and where these come from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiogen.errors import AudiogenError

LARGEST_GUIDANCE = 100.0
SEEDS = range(-(2**63), 2**64)


@dataclass(frozen=True)
class Sampler:
    """Draws from the softmax of logits, cut to its likely part.

    Attributes:
        temperature: Divides the logits; 0 always takes the best.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all. Codes as likely as the last one kept are kept too.
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
        reached = self._chances(logits).cumsum(-1)
        drawn = torch.searchsorted(reached, (uniforms * reached[:, -1])[:, None], right=True)[:, 0]
        return drawn.minimum((reached < reached[:, -1:]).sum(-1))

    def _chances(self, logits: Tensor) -> Tensor:
        """The chances [B, V], zero outside of the cut and not normalised after it."""
        chances = (logits / self.temperature).softmax(-1)
        if not self.top_k and self.top_p == 1:
            return chances
        ranked = _descending(chances)[:, : self.top_k or None]
        reached = ranked.cumsum(-1)
        enough = self.top_p * reached[:, -1:] if self.top_k else self.top_p
        count = (reached - ranked < enough).sum(-1, keepdim=True)
        return chances.masked_fill(chances < ranked.gather(-1, count - 1), 0)


def seeded(seed: int) -> torch.Generator:
    """Random numbers on the CPU, the same for the same seed.

    Raises:
        AudiogenError: If the seed has more than 64 bits.
    """
    if seed not in SEEDS:
        raise AudiogenError(f"seed is {seed}; it must have 64 bits at most: from -2^63 to 2^64 - 1")
    return torch.Generator().manual_seed(seed)


def check_guidance(guidance: float) -> None:
    """Refuse a strength of guidance that is out of range.

    Raises:
        AudiogenError: If it is not between 0 and `LARGEST_GUIDANCE`.
    """
    if not 0 <= guidance <= LARGEST_GUIDANCE:
        raise AudiogenError(f"guidance is {guidance:g}; it must be between 0 and {LARGEST_GUIDANCE:g}, and 1 is none")


def _descending(values: Tensor) -> Tensor:
    """Each row of [B, V] in falling order; on a CPU by NumPy, which takes a tenth of torch's time."""
    if values.device.type != "cpu":
        return values.sort(-1, descending=True).values
    return torch.from_numpy(np.sort(values.detach().numpy(), axis=-1)).flip(-1)
