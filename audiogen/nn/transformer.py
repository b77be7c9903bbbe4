"""Transformer layers with rotary positions on several axes and a key-value cache as state.

A token has one position per axis (for a codec language model: its frame and its phone), and attention sees only
differences of positions, so sequences may grow past any length seen in training. Keys are stored rotated: a cached
token never has to be touched again.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.state import State


@dataclass
class TransformerConfig:
    """Size of a `Transformer`.

    Attributes:
        dim: Width of the tokens.
        heads: Attention heads; `dim / heads` must be a multiple of `2 * axes`.
        layers: Blocks.
        feedforward: Width of the hidden layer in a block.
        dropout: Chance that an element of a residual branch is dropped in training.
        axes: Positions each token has.
    """

    dim: int = 256
    heads: int = 4
    layers: int = 6
    feedforward: int = 768
    dropout: float = 0.1
    axes: int = 2

    def __post_init__(self) -> None:
        if self.dim % (self.heads * 2 * self.axes):
            unit = self.heads * 2 * self.axes
            raise AudiogenError(f"dim {self.dim} does not suit {self.heads} heads: it must be a multiple of {unit}")


@dataclass
class TransformerState(State):
    """The cache of a stream: rotated `keys` and `values` [B, H, capacity, D / H] per layer, `length` [B] in use.

    The buffers are preallocated and written in place, so a state that has been stepped replaces the one it came from.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: Tensor

    def copy(self, capacity: int) -> "TransformerState":
        """The same stream in fresh buffers for `capacity` tokens, at least as many as are in use."""
        used = int(self.length.max())

        def moved(buffer: Tensor) -> Tensor:
            larger = buffer.new_zeros(*buffer.shape[:2], capacity, buffer.shape[3])
            larger[:, :, :used] = buffer[:, :, :used]
            return larger

        return TransformerState([*map(moved, self.keys)], [*map(moved, self.values)], self.length.clone())

    def drop(self, start: Tensor, count: Tensor) -> "TransformerState":
        """Forget the `count` [B] tokens that begin at slot `start` [B]."""
        slots = torch.arange(self.keys[0].shape[2], device=self.length.device).expand(len(self.length), -1)
        kept = torch.where(slots < start[:, None], slots, slots + count[:, None]).clamp(max=slots.shape[1] - 1)
        kept = kept[:, None, :, None].expand_as(self.keys[0])
        return TransformerState(
            [buffer.gather(2, kept) for buffer in self.keys],
            [buffer.gather(2, kept) for buffer in self.values],
            self.length - count,
        )


class Transformer(nn.Module):
    """Pre-norm transformer: attention and a GELU feed-forward per block, a norm at the end."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = StageNorm(config.dim)
        per_axis = config.dim // config.heads // 2 // config.axes
        frequencies = 10_000.0 ** -(torch.arange(per_axis) / per_axis)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def init_state(self, batch_size: int, capacity: int) -> TransformerState:
        """The state of streams of at most `capacity` tokens that have seen nothing."""
        weight = self.norm.weight
        shape = (batch_size, self.config.heads, capacity, self.config.dim // self.config.heads)
        return TransformerState(
            [weight.new_zeros(shape) for _ in self.blocks],
            [weight.new_zeros(shape) for _ in self.blocks],
            torch.zeros(batch_size, dtype=torch.long, device=weight.device),
        )

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
        state: TransformerState | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, TransformerState | None]:
        """Run tokens that see each other and, in a stream, all that came before.

        Args:
            x: Tokens [B, S, D].
            positions: Their positions [B, S, axes].
            mask: True where a query may see a key, [B, S, keys]: keys are the tokens of `x`, in a stream the cache's
                slots after `x` was written. By default all tokens see each other, in a stream those up to themselves.
            state: The stream so far, or None for whole sequences.
            lengths: In a stream, how many tokens [B] of each row are true, the rest being padding; by default all.

        Returns:
            The outputs [B, S, D] and the state with the new tokens.
        """
        rotation = self._rotation(positions)
        if state is None:
            for block in self.blocks:
                x = block(x, rotation, mask)
            return self.norm(x), None
        size = x.shape[1]
        first, last = state.length.aminmax()
        slots = state.length[:, None] + torch.arange(size, device=x.device)
        end = int(last) + size
        if end > state.keys[0].shape[2]:
            raise full(state.keys[0].shape[2], end)
        if mask is None and (size > 1 or first != last):
            mask = torch.arange(end, device=x.device) <= slots[:, :, None]
        window = slice(int(first), end) if first == last else slots
        for block, keys, values in zip(self.blocks, state.keys, state.values, strict=True):
            x = block(x, rotation, mask, Cache(keys, values, window, end))
        added = size if lengths is None else lengths
        return self.norm(x), TransformerState(state.keys, state.values, state.length + added)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [B, S, 1, 1, D / H / 2] of every position times every frequency."""
        angles = (positions[..., None].to(self.frequencies.dtype) * self.frequencies).flatten(2)[:, :, None, None]
        return angles.cos(), angles.sin()


def full(capacity: int, token: int) -> AudiogenError:
    """What is wrong with token number `token` of a stream."""
    return AudiogenError(f"a stream of {capacity} tokens cannot take token {token}; ask for a longer one")


@dataclass
class Cache:
    """Where one layer stores the keys and values of new tokens: the slots `window` (a slice, or indices [B, S])."""

    keys: Tensor
    values: Tensor
    window: slice | Tensor
    end: int

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, H, S, D / H]; returns everything cached up to `end`."""
        for buffer, new in ((self.keys, keys), (self.values, values)):
            if isinstance(self.window, slice):
                buffer[:, :, self.window] = new
            else:
                buffer.scatter_(2, self.window[:, None, :, None].expand_as(new), new)
        return self.keys[:, :, : self.end], self.values[:, :, : self.end]


class Block(nn.Module):
    """`x + attention(norm(x))`, then `x + feedforward(norm(x))`."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention_norm = StageNorm(config.dim)
        self.attention = Attention(config.dim, config.heads)
        self.feedforward_norm = StageNorm(config.dim)
        self.expand = nn.Linear(config.dim, config.feedforward)
        self.reduce = nn.Linear(config.feedforward, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        for branch in (self.attention.out, self.reduce):
            nn.init.normal_(branch.weight, std=0.5 / math.sqrt(branch.in_features * config.layers))
            nn.init.zeros_(branch.bias)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Tokens [B, S, D] to tokens [B, S, D]; see `Transformer.forward`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), rotation, mask, cache))
        hidden = F.gelu(self.expand(self.feedforward_norm(x)), approximate="tanh")
        return x + self.dropout(self.reduce(hidden))


class Attention(nn.Module):
    """Multi-head attention with rotary positions, one matrix for queries, keys and values."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None = None
    ) -> Tensor:
        """Tokens [B, S, D] to tokens [B, S, D]."""
        batch, size, dim = x.shape
        inputs = self.inputs(x).view(batch, size, 3, self.heads, dim // self.heads)
        queries, keys = rotate(inputs[:, :, :2], rotation).permute(2, 0, 3, 1, 4)
        values = inputs[:, :, 2].transpose(1, 2)
        if cache is not None:
            keys, values = cache.update(keys, values)
        mask = None if mask is None else mask[:, None]
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.out(attended.transpose(1, 2).reshape(batch, size, dim))


class StageNorm(nn.Module):
    """Layer norm with a gain and an offset for each stage (AdaLN of VALL-E, arXiv 2301.02111 §4.2.2)."""

    def __init__(self, dim: int, stages: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(stages, dim))
        self.bias = nn.Parameter(torch.zeros(stages, dim))

    def forward(self, x: Tensor, stage: int = 0) -> Tensor:
        """Normalise [..., D] as the stage asks."""
        return F.layer_norm(x, x.shape[-1:], self.weight[stage], self.bias[stage])


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of elements (d, d + D/2) of x [..., D] by its angle (RoPE, arXiv 2104.09864 eq. 34)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def prefix_mask(prefix: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Who sees whom [B, S, S] in a prefix language model: all see the prefix, later tokens also what came before them.

    Args:
        prefix: Length of each row's prefix [B].
        lengths: Tokens in each row [B], prefix included.
        size: S, the padded length.
    """
    slots = torch.arange(size, device=lengths.device)
    seen = torch.maximum(slots + 1, prefix[:, None])
    return slots < torch.minimum(seen, lengths[:, None]).clamp(min=1)[:, :, None]


def chunk_mask(prefix: Tensor, lengths: Tensor, queries: Tensor, keys: Tensor, chunk: int, context: int) -> Tensor:
    """Who sees whom [B, Q, S] where what follows a prefix comes in chunks that see themselves and some before them.

    Args:
        prefix: Length of each row's prefix [B], which all see.
        lengths: Tokens in each row [B], prefix included.
        queries: Places of the queries in the whole sequence [B, Q].
        keys: Places of the keys in the whole sequence [B, S].
        chunk: Tokens in a chunk.
        context: Chunks before its own that a token sees.
    """
    start = prefix[:, None]
    query_chunk = (queries - start).div(chunk, rounding_mode="floor")[:, :, None]
    key_chunk = (keys - start).div(chunk, rounding_mode="floor")[:, None]
    in_prefix = (keys < start)[:, None]
    in_reach = (key_chunk <= query_chunk) & (key_chunk >= query_chunk - context) & (query_chunk >= 0)
    known = (keys < lengths[:, None])[:, None]
    return (in_prefix | in_reach) & known | (keys[:, None] == queries[:, :, None])
