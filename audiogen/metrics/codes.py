"""What codes cost by counting alone: the likelihoods that a model of them has to beat."""

from collections.abc import Iterable

import torch
from torch import Tensor


def counted_bits(train: Iterable[Tensor], test: Iterable[Tensor], levels: int, before: int = 0) -> float:
    """Bits a code of `test` takes by the counts of `train`, in the context of so many codes before it.

    Args:
        train: Sequences of codes, each int64 [T], below `levels`.
        test: Further ones.
        levels: How many codes there are.
        before: Codes of context; what lies before a sequence is the middle code. Every context begins with a count of
            one, shared by all codes.
    """
    counts = torch.full((levels**before, levels), 1 / levels, dtype=torch.float64)
    for codes in train:
        place = _context(codes, levels, before) * levels + codes
        counts.view(-1).index_add_(0, place, torch.ones(len(codes), dtype=torch.float64))
    chances = counts / counts.sum(1, keepdim=True)
    costs = [-chances[_context(codes, levels, before), codes].log2() for codes in test]
    return float(torch.cat(costs).mean())


def _context(codes: Tensor, levels: int, before: int) -> Tensor:
    """The codes before each as one number."""
    heard = torch.nn.functional.pad(codes, (before, 0), value=levels // 2)
    context = torch.zeros_like(codes)
    for back in range(before):
        context = context * levels + heard[back : back + len(codes)]
    return context
