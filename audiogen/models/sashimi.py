"""SaShiMi: waveforms one sample at a time (Goel et al. 2022, "It's Raw! Audio Generation with State-Space Models").

The next sample's code is predicted from all before it by state-space blocks on several tiers: the outer at the sample
rate, each inner one on frames of `pool` samples of the tier around it, so that most parameters work at low rates. Whole
sequences are convolutions; a stream is a recurrence whose work per sample does not grow with what has been heard.

Causality between the tiers: what is made of frame f of a tier reaches its samples from frame f + 1 on.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.errors import AudiogenError, unknown_name
from audiogen.models.waveform import WaveformConfig, WaveformModel, order_codes
from audiogen.nn.mamba import Mamba
from audiogen.nn.ssm import S4, S4D
from audiogen.nn.state import State
from audiogen.registry import register

SSMS = {"s4": S4, "s4d": S4D}
BLOCKS = (*SSMS, "mamba")


@dataclass
class SashimiConfig(WaveformConfig):
    """Sizes of the network; by default those of the paper's §5 at 4.1 M parameters.

    Attributes:
        dim: Width of the outermost tier.
        layers: Blocks a tier.
        pools: Samples, or frames, that make a frame of the next tier.
        expand: How much wider the next tier is.
        feedforward: Width of a feed-forward's hidden layer by that of its tier.
        ssm: State space of the blocks, `s4` or `s4d`; or `mamba`, whose blocks have no `feedforward` and no `glu`.
        state_size: States a channel, both of each conjugate pair counted; 16 is usual for `mamba`.
        tied: Whether the channels of a block share A and B.
        glu: Whether the state space's output passes a gated linear unit instead of a linear layer.
        unet: Whether there are blocks on the way down too, each joined to its like on the way up.
        scalar_norm: Whether the blocks' norms have one gain and one shift for all channels, as in the checkpoints
            published with the paper.
        dropout: Chance that an element of a residual branch is dropped in training.
    """

    dim: int = 64
    layers: int = 8
    pools: list[int] = field(default_factory=lambda: [4, 4])
    expand: int = 2
    feedforward: int = 2
    ssm: str = "s4"
    state_size: int = 64
    tied: bool = True
    glu: bool = False
    unet: bool = False
    scalar_norm: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ssm not in BLOCKS:
            raise unknown_name("ssm", self.ssm, BLOCKS)
        if self.state_size % 2:
            raise AudiogenError(f"state_size is {self.state_size}; it must be even, as states come in conjugate pairs")

    @property
    def dims(self) -> list[int]:
        """Width of every tier, the outermost first."""
        return [self.dim * self.expand**tier for tier in range(len(self.pools) + 1)]


@dataclass
class TierState(State):
    """A tier in a stream.

    Attributes:
        down: The blocks on the way down.
        up: The blocks on the way up; None for those of whole sequences.
        pending: Outputs [B, n, D], n < pool, that do not yet fill a frame of the next tier.
        ahead: What the next tier has sent for the samples to come, [B, pool − n, D].
    """

    down: list[State | None]
    up: list[State | None]
    pending: Tensor
    ahead: Tensor


@dataclass
class SashimiState(State):
    """A stream: the tiers outside the centre, the centre's blocks, and the label's vector [B, dim]."""

    tiers: list[TierState]
    centre: list[State | None]
    label: Tensor


@register("waveform", "sashimi", SashimiConfig)
class Sashimi(WaveformModel):
    """The autoregressive network; see the module's first lines."""

    config: SashimiConfig

    def __init__(self, config: SashimiConfig) -> None:
        super().__init__(config, config.dim)
        *outer, innermost = config.dims
        self.embedding = nn.Embedding(config.codec.codebook_size, config.dim)
        self.tiers = nn.ModuleList(Tier(config, dim, pool) for dim, pool in zip(outer, config.pools, strict=True))
        self.centre = _blocks(config, innermost, config.layers)
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.codec.codebook_size)
        order_codes(self.embedding.weight)
        order_codes(self.head.weight)

    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> SashimiState:
        """Streams that have seen nothing; see `WaveformModel`."""
        return self._fresh(batch_size, labels, streamed=True)

    def step(self, codes: Tensor, state: SashimiState) -> tuple[Tensor, SashimiState]:
        """Logits [B, n, V] of what follows each of the next codes [B, n] of streams, n ≥ 0."""
        x, ways, tiers = self.embedding(codes) + state.label[:, None], [], []
        for tier, tier_state in zip(self.tiers, state.tiers, strict=True):
            x, *way = tier.descend(x, tier_state)
            ways.append(way)
        inner, centre = _run(self.centre, x, state.centre)
        x = x + inner
        for tier, way in zip(reversed(self.tiers), reversed(ways), strict=True):
            x, after = tier.ascend(x, *way)
            tiers.insert(0, after)
        return self.head(self.norm(x)), SashimiState(tiers, centre, state.label)

    def _whole(self, batch_size: int, labels: Tensor | None) -> SashimiState:
        """The state before the first sample of whole sequences, of which the state spaces keep none."""
        return self._fresh(batch_size, labels, streamed=False)

    def _fresh(self, batch_size: int, labels: Tensor | None, streamed: bool) -> SashimiState:
        return SashimiState(
            [tier.fresh(batch_size, streamed) for tier in self.tiers],
            _fresh(self.centre, batch_size, streamed),
            self._label(labels, batch_size),
        )


class Tier(nn.Module):
    """One rate above the centre's: blocks, the way to the next tier and the way back."""

    def __init__(self, config: SashimiConfig, dim: int, pool: int) -> None:
        super().__init__()
        self.dim, self.pool = dim, pool
        self.down_blocks = _blocks(config, dim, config.layers if config.unet else 0)
        self.down = nn.Linear(pool * dim, config.expand * dim)
        self.up = nn.Linear(config.expand * dim, pool * dim)
        self.up_blocks = _blocks(config, dim, config.layers)

    def fresh(self, batch_size: int, streamed: bool) -> TierState:
        """Nothing seen: the first frame's samples get nothing from the next tier."""
        return TierState(
            _fresh(self.down_blocks, batch_size, streamed),
            _fresh(self.up_blocks, batch_size, streamed),
            self.down.weight.new_zeros(batch_size, 0, self.dim),
            self.down.weight.new_zeros(batch_size, self.pool, self.dim),
        )

    def descend(self, x: Tensor, state: TierState) -> tuple[Tensor, list[Tensor], TierState]:
        """From x [B, T, dim] to the frames of the next tier that it fills.

        Returns:
            Frames [B, F, expand · dim]; for the way up, the input and the blocks' outputs; the state on the way.
        """
        skips, down = [x], []
        for block, block_state in zip(self.down_blocks, state.down, strict=True):
            x, after = block(x, block_state)
            skips.append(x)
            down.append(after)
        x = torch.cat([state.pending, x], dim=1)
        whole = x.shape[1] // self.pool * self.pool
        frames = x[:, :whole].unflatten(1, (-1, self.pool)).transpose(2, 3).flatten(2)
        return self.down(frames), skips, TierState(down, state.up, x[:, whole:], state.ahead)

    def ascend(self, frames: Tensor, skips: list[Tensor], state: TierState) -> tuple[Tensor, TierState]:
        """From the next tier's frames [B, F, expand · dim] and the skips of `descend` back to [B, T, dim]."""
        sent = self.up(frames).unflatten(2, (self.dim, self.pool)).transpose(2, 3).flatten(1, 2)
        sent, length = torch.cat([state.ahead, sent], dim=1), skips[-1].shape[1]
        x = sent[:, :length] + skips.pop()
        if skips:
            up = []
            for block, block_state, skip in zip(self.up_blocks, state.up, reversed(skips), strict=True):
                x, after = block(x, block_state)
                x = x + skip
                up.append(after)
        else:
            inner, up = _run(self.up_blocks, x, state.up)
            x = x + inner
        return x, TierState(state.down, up, state.pending, sent[:, length:])


class SSMBlock(nn.Module):
    """Two pre-norm residuals: a state space along time with a mixing of channels, and a feed-forward."""

    def __init__(self, config: SashimiConfig, dim: int) -> None:
        super().__init__()
        norm = ScalarNorm if config.scalar_norm else nn.LayerNorm
        self.ssm_norm = norm(dim)
        self.ssm = SSMS[config.ssm](dim, config.state_size, config.tied)
        self.mix = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GLU()) if config.glu else nn.Linear(dim, dim)
        self.norm = norm(dim)
        self.expand = nn.Linear(dim, config.feedforward * dim)
        self.contract = nn.Linear(config.feedforward * dim, dim)
        self.dropout = nn.Dropout(config.dropout)

    def init_state(self, batch_size: int) -> State:
        """Rest."""
        return self.ssm.init_state(batch_size)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """x [B, T, D] to the same shape."""
        y, state = self.ssm(self.ssm_norm(x), state)
        x = x + self.dropout(self.mix(F.gelu(y)))
        return x + self.dropout(self.contract(F.gelu(self.expand(self.norm(x))))), state


class ScalarNorm(nn.Module):
    """Layer norm with a single gain, and a single shift that is added before the scaling: s (x − mean + m) / std."""

    eps = 0.0

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to the same shape."""
        centred = x - x.mean(-1, keepdim=True)
        return self.gain * (centred + self.shift) / centred.square().mean(-1, keepdim=True).sqrt()


class MambaBlock(nn.Module):
    """A pre-norm residual around Mamba, in place of both of the other block's (Gu and Dao 2023, §4.4)."""

    def __init__(self, config: SashimiConfig, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mamba = Mamba(dim, config.state_size)
        self.dropout = nn.Dropout(config.dropout)

    def init_state(self, batch_size: int) -> State:
        """Rest."""
        return self.mamba.init_state(batch_size)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """x [B, T, D] to the same shape."""
        y, state = self.mamba(self.norm(x), state)
        return x + self.dropout(y), state


def _blocks(config: SashimiConfig, dim: int, count: int) -> nn.ModuleList:
    block = MambaBlock if config.ssm == "mamba" else SSMBlock
    return nn.ModuleList(block(config, dim) for _ in range(count))


def _fresh(blocks: nn.ModuleList, batch_size: int, streamed: bool) -> list[State | None]:
    return [block.init_state(batch_size) if streamed else None for block in blocks]


def _run(blocks: nn.ModuleList, x: Tensor, states: list[State | None]) -> tuple[Tensor, list[State | None]]:
    """x through all blocks in turn."""
    after = []
    for block, state in zip(blocks, states, strict=True):
        x, state = block(x, state)
        after.append(state)
    return x, after
