"""A linear layer whose rows do not depend, to the last bit, on how many of them there are."""

from torch import Tensor, nn

MIN_ROWS = 8


class RowStableLinear(nn.Linear):
    """`nn.Linear` for decisions that must fall alike in a stream and in the whole."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to [..., E]."""
        return row_stable_linear(x, self.weight, self.bias)


def row_stable_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., D] by weight [E, D] plus bias [E] to [..., E].

    Matrix libraries switch kernels for very few rows, which changes the last bits; so few rows are padded.
    """
    count = x.numel() // x.shape[-1]
    if count >= MIN_ROWS or count == 0:
        return nn.functional.linear(x, weight, bias)
    padded = nn.functional.pad(x.reshape(count, -1), (0, 0, 0, MIN_ROWS - count))
    return nn.functional.linear(padded, weight, bias)[:count].view(*x.shape[:-1], -1)
