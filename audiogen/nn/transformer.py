"""Transformer layers with rotary positions on several axes and a key-value cache as state.

A token has one position per axis (for a codec language model: its frame and its phone), and attention sees only
differences of positions, so sequences may grow past any length seen in training. Keys are stored rotated: a cached
token never has to be touched again.
"""

import math
from collections.abc import Callable
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
            raise _full(state.keys[0].shape[2], end)
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


class Stepper:
    """Takes streams on by one token a row: the same as `Transformer.forward`, in a fraction of its time.

    For a single token, finding modules and slicing, turning and masking tensors take longer than the arithmetic. All
    that stays the same from token to token is done here once, which pays from the second token on. No gradients.

    Args:
        transformer: Whose weights to use; they must not change meanwhile.
        state: The streams so far. Its buffers are written in place: go on from `Stepper.state`.
    """

    def __init__(self, transformer: Transformer, state: TransformerState):
        self._cache = state
        self._norm = _Norm(transformer.norm)
        layers = zip(transformer.blocks, state.keys, state.values, strict=True)
        self._blocks = [BlockStepper(block, keys, values) for block, keys, values in layers]
        batch, heads, self._capacity, width = state.keys[0].shape
        self._lengths, self._pace = state.length.clone(), torch.ones_like(state.length)
        first, last = state.length.aminmax()
        self._end, self._ragged = int(last), bool(first != last)
        self._places = torch.arange(self._capacity, device=last.device)
        self._streams = (torch.arange(batch * heads, device=last.device) * self._capacity).view(batch, heads)
        # With these a row's rotation is one matrix [D / H, D / H]: cosines on the diagonal, sines beside it.
        half = torch.block_diag(*[transformer.frequencies] * transformer.config.axes)
        self._frequencies = torch.cat([-half, half], 1)
        self._diagonal = torch.eye(width, dtype=half.dtype, device=half.device)
        self._beside = self._diagonal.roll(width // 2, 0)

    @property
    def state(self) -> TransformerState:
        """The streams with the tokens taken so far."""
        return TransformerState(self._cache.keys, self._cache.values, self._lengths)

    def hold(self, rows: Tensor) -> None:
        """From now on the tokens of `rows` [B] (true or false) count for nothing; their streams stay as they are."""
        self._pace = 1 - rows.long()
        self._end, self._ragged = int((self._lengths * self._pace).max()), True

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """The next token of each row [B, D] at its positions [B, axes], to its output [B, D]."""
        self._end += 1
        if self._end > self._capacity:
            raise _full(self._capacity, self._end)
        angles = (positions[..., None] * self._frequencies).sum(1, keepdim=True)
        rotation = torch.addcmul(self._diagonal * angles.cos(), self._beside, angles.sin())
        mask = self._places[: self._end] <= self._lengths[:, None, None, None] if self._ragged else None
        slots = (self._streams + self._lengths[:, None]).flatten()
        for block in self._blocks:
            x = block(x, rotation, slots, self._end, mask)
        self._lengths += self._pace
        return self._norm(x)


class BlockStepper:
    """What `Stepper` keeps of a `Block`: its weights ready for use and the buffers of its cache."""

    def __init__(self, block: "Block", keys: Tensor, values: Tensor):
        self.heads, self.width = keys.shape[1], keys.shape[3]
        self.keys, self.values = keys, values
        self.key_slots, self.value_slots = (buffer.view(-1, self.width) for buffer in (keys, values))
        self.attention_norm = _Norm(block.attention_norm)
        self.feedforward_norm = _Norm(block.feedforward_norm)
        linears = (block.attention.inputs, block.attention.out, block.expand, block.reduce)
        self.inputs, self.out, self.expand, self.reduce = map(_ready, linears)

    def __call__(self, x: Tensor, rotation: Tensor, slots: Tensor, end: int, mask: Tensor | None) -> Tensor:
        """Tokens [B, D] to tokens [B, D].

        Args:
            x: The tokens.
            rotation: What turns queries and keys [B, D / H, D / H].
            slots: Where the tokens go among all the slots of the cache [B · H].
            end: Slots in use, these included.
            mask: True for the slots a row may see [B, 1, 1, end]; None if all.
        """
        heads, width = self.heads, self.width
        inputs = self.inputs(self.attention_norm(x)).view(-1, 3 * heads, width)
        queries, keys = torch.bmm(inputs[:, : 2 * heads], rotation).chunk(2, 1)
        self.key_slots.index_copy_(0, slots, keys.reshape(-1, width))
        self.value_slots.index_copy_(0, slots, inputs[:, 2 * heads :].reshape(-1, width))
        attended = F.scaled_dot_product_attention(
            queries[:, :, None], self.keys[:, :, :end], self.values[:, :, :end], attn_mask=mask
        )
        x = x + self.out(attended.flatten(1))
        return x + self.reduce(F.gelu(self.expand(self.feedforward_norm(x)), approximate="tanh"))


class _Norm:
    """A `StageNorm` of one stage."""

    def __init__(self, norm: "StageNorm"):
        self.weight, self.bias = norm.weight[0], norm.bias[0]
        self.shape = self.weight.shape

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.shape, self.weight, self.bias)


def _ready(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a linear layer does to tokens [B, D], without the cost of a module's call."""
    if not isinstance(linear, nn.Linear):
        return linear.forward
    bias, weight = linear.bias, linear.weight.t()
    return lambda x: torch.addmm(bias, x, weight)


def _full(capacity: int, token: int) -> AudiogenError:
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
