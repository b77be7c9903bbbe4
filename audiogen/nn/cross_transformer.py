"""A transformer on codes that attends to a text: MusicGen's and MAGNeT's network between embeddings and heads.

Pre-norm blocks of self-attention, attention to the text and a feed-forward, without biases but in the norms, on
sinusoidal positions. The same weights serve whole clips (both ways, with a limited reach, or causally) and streams. A
text is brought into keys and values once, a `Memory`; rows without one attend to nothing, which is what a text of
zeros would give.

Source: MusicGen, arXiv 2306.05284 §3.1, MAGNeT, arXiv 2401.04577 §3.3, and the public code.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.state import State

BAND = 16  # queries that share their keys where the reach is limited


@dataclass
class Memory(State):
    """A text as every layer attends to it: `keys` and `values` [B, H, L, E], and which places count [B, L].

    E is D / H; or D if they are `folded` with the layer's matrices for queries and outputs, as (x Q) Kᵀ = x (Q Kᵀ): a
    frame then attends to a short text with less work than these two matrices are.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor | None
    folded: bool = False


@dataclass
class Past(State):
    """A stream: `keys` and `values` [B, H, capacity, D / H] per layer, of which `length` places are in use.

    The buffers are written in place: go on from the state returned.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: int


class CrossTransformer(nn.Module):
    """`layers` blocks of width `dim` and a norm at the end."""

    def __init__(self, dim: int, heads: int, layers: int, feedforward: int) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise AudiogenError(f"dim {dim} does not suit {heads} heads: it must be a multiple of {2 * heads}")
        self.dim, self.heads = dim, heads
        self.layers = nn.ModuleList(Layer(dim, heads, feedforward, number) for number in range(layers))
        self.norm = nn.LayerNorm(dim)

    def remember(self, text: Tensor, mask: Tensor | None = None) -> Memory:
        """A text [B, L, D] for `forward`; `mask` [B, L] is False where no row may look, none if all may.

        A row that may look nowhere must hold zeros.
        """
        if mask is not None:
            mask = mask | ~mask.any(1, keepdim=True)
        folded = self._is_worth_folding(text)
        keys, values = zip(*(layer.text.remember(text, folded) for layer in self.layers), strict=True)
        return Memory([*keys], [*values], mask, folded)

    def _is_worth_folding(self, text: Tensor) -> bool:
        """Whether keys and values folded with a layer's matrices are smaller than these, which must not be 8-bit."""
        small = text.shape[0] * text.shape[1] * self.heads <= self.dim
        return small and isinstance(self.layers[0].text.out, nn.Linear)

    def init_state(self, batch_size: int, capacity: int) -> Past:
        """Streams of at most `capacity` places that have seen nothing."""
        weight = self.norm.weight
        shape = (batch_size, self.heads, capacity, self.dim // self.heads)
        keys, values = ([weight.new_zeros(shape) for _ in self.layers] for _ in range(2))
        return Past(keys, values, 0)

    def forward(
        self, x: Tensor, memory: Memory | None = None, causal: bool = False, reach: int | None = None
    ) -> Tensor:
        """Whole clips.

        Args:
            x: Embedded codes [B, T, D], without positions.
            memory: The text of each row.
            causal: Whether a frame sees none after it.
            reach: Frames to either side that a frame sees; None for all.

        Returns:
            The outputs [B, T, D].
        """
        x = x + positions(x.shape[1], self.dim, x)
        for number, layer in enumerate(self.layers):
            x = layer.read(layer.see(x, causal, reach), memory, number)
        return self.norm(x)

    def step(self, x: Tensor, past: Past, memory: Memory | None = None) -> tuple[Tensor, Past]:
        """The next places [B, n, D] of streams to their outputs; `memory` may be of the first rows only."""
        end = past.length + x.shape[1]
        if end > past.keys[0].shape[2]:
            raise AudiogenError(f"a stream of {past.keys[0].shape[2]} places cannot take place {end}")
        x = x + positions(x.shape[1], self.dim, x, past.length)
        for number, layer in enumerate(self.layers):
            x = layer.go_on(x, past.keys[number], past.values[number], past.length)
            x = layer.read(x, memory, number)
        return self.norm(x), Past(past.keys, past.values, end)


class Layer(nn.Module):
    """Self-attention, attention to the text, feed-forward; each `x + branch(norm(x))`."""

    def __init__(self, dim: int, heads: int, feedforward: int, number: int) -> None:
        super().__init__()
        self.attention_norm, self.text_norm, self.feedforward_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.attention, self.text = SelfAttention(dim, heads), TextAttention(dim, heads)
        self.expand = nn.Linear(dim, feedforward, bias=False)
        self.reduce = nn.Linear(feedforward, dim, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_truncated(module.weight, module.in_features, 1 / math.sqrt(2 * (number + 1)))

    def see(self, x: Tensor, causal: bool, reach: int | None) -> Tensor:
        """x [B, T, D] after self-attention."""
        queries, keys, values = self.attention.inputs_of(self.attention_norm(x))
        if reach is None:
            seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
        else:
            seen = banded_attention(queries, keys, values, reach)
        return x + self.attention.join(seen)

    def go_on(self, x: Tensor, past_keys: Tensor, past_values: Tensor, start: int) -> Tensor:
        """The next places x [B, n, D] of a stream after self-attention, which writes into its buffers."""
        queries, keys, values = self.attention.inputs_of(self.attention_norm(x))
        end = start + x.shape[1]
        past_keys[:, :, start:end], past_values[:, :, start:end] = keys, values
        mask = None
        if x.shape[1] > 1:
            places = torch.arange(end, device=x.device)
            mask = places <= places[start:, None]
        seen = F.scaled_dot_product_attention(queries, past_keys[:, :, :end], past_values[:, :, :end], attn_mask=mask)
        return x + self.attention.join(seen)

    def read(self, x: Tensor, memory: Memory | None, number: int) -> Tensor:
        """x [B, T, D] after the text, which its first rows may have, and the feed-forward."""
        if memory is not None:
            told = len(memory.keys[number])
            attend = self.text.attend_folded if memory.folded else self.text
            heard = attend(self.text_norm(x[:told]), memory.keys[number], memory.values[number], memory.mask)
            x = x + heard if told == len(x) else torch.cat([x[:told] + heard, x[told:]])
        return x + self.reduce(F.gelu(self.expand(self.feedforward_norm(x))))


class SelfAttention(nn.Module):
    """The matrices of self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def inputs_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, H, T, D / H] of x [B, T, D]."""
        return self.split(self.inputs(x))

    def split(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, H, T, D / H] that lie side by side in `inputs` [B, T, 3 D]."""
        return inputs.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def join(self, heads: Tensor) -> Tensor:
        """What the heads saw [B, H, T, D / H] as [B, T, D]."""
        return self.out(heads.transpose(1, 2).flatten(2))


class TextAttention(nn.Module):
    """Attention to a text."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(dim, dim, bias=False)
        self.memory = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def remember(self, text: Tensor, folded: bool = False) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, L, D / H] of a text [B, L, D], or [B, H, L, D] folded."""
        keys, values = self.memory(text).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if not folded:
            return keys, values
        queries, out = (
            self.queries.weight.unflatten(0, (self.heads, -1)),
            self.out.weight.unflatten(1, (self.heads, -1)),
        )
        return torch.einsum("bhle,hed->bhld", keys, queries), torch.einsum("bhle,dhe->bhld", values, out)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """What x [B, T, D] makes of the text."""
        queries = self.queries(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mask = None if mask is None else mask[:, None, None]
        heard = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.out(heard.transpose(1, 2).flatten(2))

    def attend_folded(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """The same with keys and values that are folded."""
        scale = math.sqrt(self.heads / x.shape[2])
        scores = scale * (x @ keys.flatten(1, 2).transpose(1, 2)).unflatten(2, (self.heads, -1))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        return scores.softmax(-1).flatten(2) @ values.flatten(1, 2)


def banded_attention(queries: Tensor, keys: Tensor, values: Tensor, reach: int) -> Tensor:
    """Attention [B, H, T, E] of each frame to those at most `reach` away, in blocks, so that its cost grows as T.

    A block of `BAND` queries sees the keys of its own frames and `reach` to either side, under a mask.
    """
    batch, heads, frames, width = queries.shape
    blocks = -(-frames // BAND)
    spare = blocks * BAND - frames
    queries = F.pad(queries, (0, 0, 0, spare)).unflatten(2, (blocks, BAND)).transpose(1, 2).flatten(0, 1)
    keys, values = (
        F.pad(x, (0, 0, reach, reach + spare)).unfold(2, BAND + 2 * reach, BAND).permute(0, 2, 1, 4, 3).flatten(0, 1)
        for x in (keys, values)
    )
    mask = _band_mask(blocks, frames, reach).to(queries.device).repeat(batch, 1, 1)[:, None]
    seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return seen.view(batch, blocks, heads, BAND, width).transpose(1, 2).flatten(2, 3)[:, :, :frames]


def _band_mask(blocks: int, frames: int, reach: int) -> Tensor:
    """Which keys of its window each query of a block sees, bool [blocks, BAND, BAND + 2 reach].

    What fills up the last block sees itself, so that its softmax is over something.
    """
    query, key = torch.arange(BAND)[:, None], torch.arange(BAND + 2 * reach) - reach
    frame = key + BAND * torch.arange(blocks)[:, None, None]
    return ((key - query).abs() <= reach) & (frame >= 0) & (frame < frames) | (key == query)


def positions(size: int, dim: int, like: Tensor, start: int = 0) -> Tensor:
    """Sinusoids [T, D] of the places from `start` on, cosines first, of frequencies from 1 down to 1 / 10,000."""
    half = dim // 2
    periods = 10_000 ** (torch.arange(half, device=like.device) / max(1, half - 1))
    angles = torch.arange(start, start + size, device=like.device)[:, None] / periods
    return torch.cat([angles.cos(), angles.sin()], 1).to(like.dtype)


def pick(x: Tensor, places: Tensor) -> Tensor:
    """The elements `places` [B, M] of each row of x [B, T, …]."""
    return x[torch.arange(len(x), device=x.device)[:, None], places]


def init_truncated(weight: Tensor, fan_in: int, scale: float = 1.0) -> None:
    """A normal start of deviation `scale / √fan_in`, cut at three deviations."""
    deviation = scale / math.sqrt(fan_in)
    nn.init.trunc_normal_(weight, std=deviation, a=-3 * deviation, b=3 * deviation)
