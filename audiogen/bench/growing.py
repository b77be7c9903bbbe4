"""A codec language model's step as the public code of MusicGen takes it, for `audiogen bench lm`.

Module by module, on a cache that is copied to grow by a token; sinusoids are made anew in each step, and codebooks have
a table and a head each. There is no caption and no guidance, which would double its rows.

Source: Copet et al. 2023, arXiv 2306.05284, and the public code, with PyTorch's attention.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.nn.cross_transformer import positions

Past = list[tuple[Tensor, Tensor]]  # keys and values [B, H, T, D / H] of each layer


class GrowingLM(nn.Module):
    """Embeddings, blocks without biases, a norm, and heads."""

    def __init__(self, dim: int, heads: int, layers: int, codebooks: int, codes: int) -> None:
        super().__init__()
        self.dim, self.heads = dim, heads
        self.tables = nn.ModuleList(nn.Embedding(codes + 1, dim) for _ in range(codebooks))
        self.layers = nn.ModuleList(_Layer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.outputs = nn.ModuleList(nn.Linear(dim, codes, bias=False) for _ in range(codebooks))

    def begin(self, batch: int, size: int) -> Past:
        """A cache of `size` tokens of no meaning."""
        shape = (batch, self.heads, size, self.dim // self.heads)
        return [(torch.randn(shape), torch.randn(shape)) for _ in self.layers]

    def forward(self, codes: Tensor, past: Past) -> tuple[Tensor, Past]:
        """The next codes [B, K, 1] to the logits [B, K, 1, V] of those after them."""
        x = sum(table(codes[:, k]) for k, table in enumerate(self.tables))
        x = x + positions(1, self.dim, x, past[0][0].shape[2])
        grown = []
        for layer, before in zip(self.layers, past, strict=True):
            x, after = layer(x, before)
            grown.append(after)
        x = self.norm(x)
        return torch.stack([output(x) for output in self.outputs], 1), grown


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.inputs, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.expand, self.reduce = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        inputs = self.inputs(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(0, 3, 2, 1, 4)
        queries, keys, values = inputs.unbind(2)
        keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        seen = F.scaled_dot_product_attention(queries, keys, values)
        x = x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        hidden = self.dropout(F.gelu(self.expand(self.norm2(x))))
        return x + self.dropout(self.reduce(hidden)), (keys, values)
