"""Conformer blocks for streaming: causal convolution and attention limited to chunks, with caches as explicit state.

Frames are cut into chunks of `lookahead + 1`. A frame sees its whole own chunk and `left_context` frames of chunks
before it, in every layer alike, so the look-ahead does not grow with depth (cache-aware streaming FastConformer,
§2.2). A pass over any number of whole chunks with a cache equals the same frames of one masked pass. The last pass of
a stream may end within a chunk.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiogen.errors import AudiogenError
from audiogen.nn.conv import CausalConv1d, ConvState
from audiogen.nn.state import State


@dataclass
class AttentionState(State):
    """Projected keys and values of the last frames, each [B, H, left_context, D / H], the newest last."""

    keys: Tensor
    values: Tensor


@dataclass
class BlockState(State):
    """What one block remembers."""

    attention: AttentionState
    convolution: ConvState


@dataclass
class ConformerState(State):
    """One state a block, and `filled` int64 [B]: how many of the cached keys are frames rather than empty slots."""

    blocks: list[BlockState]
    filled: Tensor


@dataclass(frozen=True)
class Geometry:
    """What the attention of every layer shares in one pass over T frames with C cached ones.

    Attributes:
        blocked: bool [B or 1, 1, T, C + T], true where a frame must not look.
        distances: int64 [2T + C], rows of the table of relative positions, farthest past first.
        present: bool [B, T], false in the padding of ragged rows, or None.
    """

    blocked: Tensor
    distances: Tensor
    present: Tensor | None


class Conformer(nn.Module):
    """A stack of Conformer blocks, [B, T, D] to the same shape.

    `max_lookahead` bounds the look-aheads it can run with; `left_context` must hold whole chunks of each. A left
    context of 0 and a look-ahead as long as the sequence let every frame see all. What only offline models and imported
    ones ask of the convolution is in `convolution`.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        ffn_multiplier: int,
        kernel_size: int,
        left_context: int,
        max_lookahead: int,
        dropout: float,
        convolution: "ConvolutionOptions | None" = None,
    ) -> None:
        super().__init__()
        self.left_context, self.max_lookahead = left_context, max_lookahead
        table_size = left_context + 2 * max_lookahead + 1
        self.blocks = nn.ModuleList(
            ConformerBlock(dim, num_heads, ffn_multiplier, kernel_size, table_size, dropout, convolution)
            for _ in range(depth)
        )

    def init_state(self, batch_size: int) -> ConformerState:
        """Nothing heard yet."""
        blocks = [block.init_state(batch_size, self.left_context) for block in self.blocks]
        filled = torch.zeros(batch_size, dtype=torch.long, device=blocks[0].attention.keys.device)
        return ConformerState(blocks, filled)

    def forward(
        self, x: Tensor, lookahead: int, state: ConformerState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, ConformerState | None]:
        """Run the stack over x [B, T, D].

        Args:
            x: New frames; with a state to follow, whole chunks of `lookahead + 1`.
            lookahead: Frames of look-ahead.
            state: Where the stream stands. None runs a whole sequence, without caches.
            lengths: True lengths [B] of a padded whole sequence.

        Returns:
            The frames [B, T, D], and the state after them if one was given.
        """
        if self.left_context % (lookahead + 1) or not 0 <= lookahead <= self.max_lookahead:
            raise AudiogenError(
                f"lookahead={lookahead} does not fit: lookahead + 1 must divide the left context of "
                f"{self.left_context} frames, and lookahead be at most {self.max_lookahead}"
            )
        geometry = self._geometry(x, lookahead, state, lengths)
        after = []
        for i, block in enumerate(self.blocks):
            x, block_state = block(x, geometry, None if state is None else state.blocks[i])
            after.append(block_state)
        if state is None:
            return x, None
        return x, ConformerState(after, (state.filled + x.shape[1]).clamp(max=self.left_context))

    def _geometry(self, x: Tensor, lookahead: int, state: ConformerState | None, lengths: Tensor | None) -> Geometry:
        cached = 0 if state is None else self.left_context
        queries = torch.arange(x.shape[1], device=x.device)
        keys = torch.arange(-cached, x.shape[1], device=x.device)
        size = lookahead + 1
        ahead = keys // size - (queries // size)[:, None]
        blocked = ((ahead > 0) | (ahead < -(self.left_context // size)))[None]
        if state is not None:
            blocked = blocked | (keys < -state.filled[:, None])[:, None]
        present = None
        if lengths is not None:
            blocked = blocked | (keys >= lengths[:, None])[:, None]
            present = queries < lengths[:, None]
        farthest = x.shape[1] - 1 + cached
        distances = torch.arange(farthest, -x.shape[1] - 1, -1, device=x.device)
        # Distances outside the table lie outside every window, so what stands there is masked.
        rows = distances.clamp(-self.max_lookahead, self.left_context + self.max_lookahead) + self.max_lookahead
        return Geometry(blocked[:, None], rows, present)


class ConformerBlock(nn.Module):
    """½ feed-forward, attention, convolution, ½ feed-forward, each on a normalised residual branch; then LayerNorm."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_multiplier: int,
        kernel_size: int,
        table_size: int,
        dropout: float,
        convolution: "ConvolutionOptions | None" = None,
    ) -> None:
        super().__init__()
        self.feed_forward_1 = FeedForward(dim, ffn_multiplier)
        self.attention = RelativeAttention(dim, num_heads, table_size)
        self.convolution = ConvolutionModule(dim, kernel_size, convolution)
        self.feed_forward_2 = FeedForward(dim, ffn_multiplier)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch_size: int, left_context: int) -> BlockState:
        """Nothing heard yet."""
        return BlockState(
            self.attention.init_state(batch_size, left_context), self.convolution.depthwise.init_state(batch_size)
        )

    def forward(self, x: Tensor, geometry: Geometry, state: BlockState | None) -> tuple[Tensor, BlockState]:
        """x [B, T, D] to the same shape."""
        x = x + 0.5 * self.dropout(self.feed_forward_1(x))
        mixed, attention = self.attention(x, geometry, None if state is None else state.attention)
        x = x + self.dropout(mixed)
        mixed, convolution = self.convolution(x, geometry.present, None if state is None else state.convolution)
        x = x + self.dropout(mixed)
        x = x + 0.5 * self.dropout(self.feed_forward_2(x))
        return self.norm(x), BlockState(attention, convolution)


class FeedForward(nn.Module):
    """LayerNorm, a wider layer with Swish, and back."""

    def __init__(self, dim: int, multiplier: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, multiplier * dim)
        self.contract = nn.Linear(multiplier * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] to the same shape."""
        return self.contract(F.silu(self.expand(self.norm(x))))


@dataclass(frozen=True)
class ConvolutionOptions:
    """How a convolution module differs from the streaming one.

    Attributes:
        symmetric: Sees as many frames ahead as behind, so it cannot stream.
        norm: Whether LayerNorm follows the depthwise convolution; without it a published batch normalisation has been
            folded into the weights.
    """

    symmetric: bool = False
    norm: bool = True


class ConvolutionModule(nn.Module):
    """Gated pointwise, causal depthwise, LayerNorm (batch statistics would tie sessions), Swish, pointwise."""

    def __init__(self, dim: int, kernel_size: int, options: ConvolutionOptions | None = None) -> None:
        super().__init__()
        options = options or ConvolutionOptions()
        self.ahead = kernel_size // 2 if options.symmetric else 0
        self.norm = nn.LayerNorm(dim)
        self.gated = nn.Linear(dim, 2 * dim)
        self.depthwise = CausalConv1d(dim, dim, kernel_size, groups=dim)
        self.depthwise_norm = nn.LayerNorm(dim) if options.norm else nn.Identity()
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, present: Tensor | None, state: ConvState | None) -> tuple[Tensor, ConvState]:
        """x [B, T, D], frames where `present` [B, T], to the same shape."""
        gated = F.glu(self.gated(self.norm(x))).transpose(1, 2)
        if self.ahead:
            gated = gated if present is None else gated * present[:, None]
            gated = F.pad(gated, (0, self.ahead))
        mixed, state = self.depthwise(gated, state)
        mixed = mixed[..., self.ahead :].transpose(1, 2)
        return self.out(F.silu(self.depthwise_norm(mixed))), state


class RelativeAttention(nn.Module):
    """Multi-head attention with relative positions and two query biases (Transformer-XL, §3.3).

    The position keys are a learned table over the distances the window allows: what `linear_pos` of the sinusoids
    would compute, without computing it at every step.
    """

    def __init__(self, dim: int, num_heads: int, table_size: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise AudiogenError(f"dim={dim} must divide by num_heads={num_heads}")
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.position_keys = nn.Parameter(0.02 * torch.randn(num_heads, table_size, self.head_dim))
        self.content_bias = nn.Parameter(torch.zeros(num_heads, 1, self.head_dim))
        self.position_bias = nn.Parameter(torch.zeros(num_heads, 1, self.head_dim))
        self.out = nn.Linear(dim, dim)

    def init_state(self, batch_size: int, left_context: int) -> AttentionState:
        """Empty slots."""
        zeros = self.position_keys.new_zeros(batch_size, self.num_heads, left_context, self.head_dim)
        return AttentionState(zeros, zeros)

    def forward(
        self, x: Tensor, geometry: Geometry, state: AttentionState | None
    ) -> tuple[Tensor, AttentionState | None]:
        """x [B, T, D] to the same shape."""
        projected = self.query_key_value(self.norm(x)).unflatten(-1, (3, self.num_heads, self.head_dim))
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        if state is not None:
            size = state.keys.shape[2]
            key, value = torch.cat([state.keys, key], dim=2), torch.cat([state.values, value], dim=2)
            state = AttentionState(key[:, :, key.shape[2] - size :], value[:, :, value.shape[2] - size :])
        return self.attend(query, key, value, geometry), state

    def attend(self, query: Tensor, key: Tensor, value: Tensor, geometry: Geometry) -> Tensor:
        """Queries [B, H, T, D / H], keys and values of C + T frames to [B, T, D]."""
        query = query * self.head_dim**-0.5
        positions = self.position_keys[:, geometry.distances].transpose(1, 2)
        scores = (query + self.content_bias) @ key.transpose(2, 3)
        scores = scores + _align((query + self.position_bias) @ positions, key.shape[2])
        # Rows of padding may be blocked everywhere; a finite fill keeps them free of NaN.
        weights = scores.masked_fill(geometry.blocked, -1e4).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


def _align(scores: Tensor, num_keys: int) -> Tensor:
    """Scores by distance [B, H, T, 2T + C], farthest first, to scores by key [B, H, T, C + T]: row i moves i left.

    Read flat, row i's part starts (T − 1) + i · (width − 1) in, so one view does it.
    """
    num_queries, width = scores.shape[2:]
    flat = scores.flatten(2)[..., num_queries - 1 :][..., : num_queries * (width - 1)]
    return flat.unflatten(-1, (num_queries, width - 1))[..., :num_keys]
