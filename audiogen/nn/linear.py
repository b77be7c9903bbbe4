"""A linear layer whose rows do not depend, to the last bit, on how many of them there are."""

import torch
from torch import Tensor, nn

MIN_ROWS = 8


class RowStableLinear(nn.Linear):
    """`nn.Linear` for decisions that must fall alike in a stream and in the whole.

    Matrix libraries switch kernels for very few rows, which changes the last bits; so few rows are padded.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to [..., E]."""
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) >= MIN_ROWS or len(rows) == 0:
            return super().forward(x)
        padded = torch.cat([rows, rows.new_zeros(MIN_ROWS - len(rows), rows.shape[-1])])
        return super().forward(padded)[: len(rows)].reshape(*x.shape[:-1], self.out_features)
