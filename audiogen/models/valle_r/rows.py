"""Ragged rows of a batch: padded, picked from and joined without gaps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def join_rows(first: Tensor, first_lengths: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """Ragged rows [B, P, …] followed without a gap by ragged rows [B, R, …], to the joint `lengths` [B]."""
    slots = torch.arange(int(lengths.max()), device=first.device)
    moved = slots + (first.shape[1] - first_lengths[:, None]) * (slots >= first_lengths[:, None])
    return gather_rows(torch.cat([first, second], 1), moved)


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Elements `index` [B, T] of each row of x [B, S, D]; an index outside the row takes its nearest end."""
    return x.gather(1, clamped(index, x)[:, :, None].expand(-1, -1, x.shape[2]))


def clamped(index: Tensor, x: Tensor) -> Tensor:
    """Indices held within the second dimension of x."""
    return index.clamp(0, x.shape[1] - 1)


def padded(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Rows of unequal length as one tensor, zeros after each."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(device)
