"""Rows of a linear layer that do not depend on how many there are."""

import pytest
import torch

from audiogen.nn.linear import RowStableLinear


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 11])
def test_a_row_is_the_same_alone_and_among_many(rows):
    torch.manual_seed(0)
    layer, x = RowStableLinear(64, 96), torch.randn(32, 64)
    assert torch.equal(layer(x[:rows]), layer(x)[:rows])


def test_leading_dimensions_are_kept_and_none_is_fine():
    layer = RowStableLinear(4, 6)
    assert layer(torch.randn(2, 3, 4)).shape == (2, 3, 6)
    assert layer(torch.randn(2, 0, 4)).shape == (2, 0, 6)
