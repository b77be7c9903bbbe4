"""What a transformer attends to, for pictures: the weights that its fused attention never shows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from audiogen.nn.transformer import Attention, Transformer, rotate


@contextmanager
def watched(transformer: Transformer) -> Iterator[list[Tensor]]:
    """Gathers the attention weights [B, H, S, S] of each layer in turn while whole sequences run inside the block."""
    seen: list[Tensor] = []
    hooks = [
        block.attention.register_forward_hook(lambda module, inputs, _: seen.append(weights(module, *inputs[:3])))
        for block in transformer.blocks
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def weights(attention: Attention, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
    """How much each token of x [B, S, D] takes from each [B, H, S, S]; see `Attention.forward`."""
    batch, size, dim = x.shape
    inputs = attention.inputs(x).view(batch, size, 3, attention.heads, dim // attention.heads)
    queries, keys = rotate(inputs[:, :, :2], rotation).permute(2, 0, 3, 1, 4)
    scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
    return (scores if mask is None else scores.masked_fill(~mask[:, None], -torch.inf)).softmax(-1)
