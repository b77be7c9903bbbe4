"""SaShiMi's step, fused: in one call, all blocks of all tiers that are due at a sample, and the draw.

A sample costs a PyTorch step hundreds of small operations that take far longer to dispatch than to compute. Here the
weights are packed once in the order they are read, and every loop keeps its sums in registers, so that a step takes
about as long as the cache needs to deliver the weights. The mathematics is that of `audiogen.models.sashimi`; folded
away are the gains of norms before a linear layer, the factor 2 of conjugate pairs, and the unit of each state, chosen
so that s (S4) or u (S4D) enters with factor 1.

States are touched once in `BLOCK` steps of their tier only. As a step's output is linear in the states of some steps
before and in the inputs since, what the states will give to the next steps is summed up while they are at hand, and a
step adds what the few inputs since give through the first numbers of the impulse response.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.kernels.sashimi_step import BLOCK, LINE, PANEL, Sizes, draw, feed
from audiogen.models.sashimi import SSMS, Sashimi, ScalarNorm, SSMBlock, Tier
from audiogen.nn.lanes import WIDTH
from audiogen.nn.ssm import Discrete, SSMState
from audiogen.nn.state import State
from audiogen.nn.waiting import tell_when_compiled

TINY = 1e-20  # in place of a coefficient of 0 where it is the unit of a state

tell_when_compiled({draw: "SaShiMi's step", feed: "SaShiMi's step over a recording"})


@dataclass
class FusedState(State):
    """Sessions in a stream: all they remember, `memory` [B, M], written in place, and the `phase` they are at.

    The phase is the number of samples seen, modulo a period; sessions that are joined must share it.
    """

    memory: Tensor
    phase: int


class FusedSashimi:
    """A copy of a model's weights, packed to step and draw on one processor core."""

    def __init__(self, model: Sashimi, half: bool = False) -> None:
        """Pack a model.

        Args:
            model: The model.
            half: Whether the weights of its linear layers are rounded to bfloat16, of which half as many bytes pass.

        Raises:
            AudiogenError: If a width is no multiple of 16, or the blocks are Mamba's.
        """
        config = model.config
        if config.ssm not in SSMS:
            raise AudiogenError(f"there is no fused step for blocks of {config.ssm!r}, only for those of {list(SSMS)}")
        for name, width in {"dim": config.dim, "codebook_size": config.codec.codebook_size}.items():
            if width % PANEL:
                raise AudiogenError(f"{name} is {width}; the fused step needs a multiple of {PANEL}")
        self.config, self._model = config, model
        packing = _Packing(config.dim, half)  # a session's memory begins with its label's vector
        tiers = [packing.tier(tier) for tier in model.tiers]
        tiers.append([1, config.dims[-1], 0, 0, 0, 0, 0, packing.stack(model.centre)])
        head = packing.linear(*_without_gains(model.norm, model.head))
        embedding = packing.put(model.embedding.weight)
        kinds = (config.ssm == "s4", config.glu, config.unet, half)
        ends = (config.codec.codebook_size, head, embedding)
        sizes = Sizes(config.layers, config.state_size // 2, config.feedforward, *kinds, *ends)
        self._packed = packing.packed
        blocks = [[block.dim, block.weights, block.memory] for block in self._packed]
        self._tiers = np.array(tiers)
        self._net = (packing.weights(), np.array(blocks), self._tiers, sizes)
        # An odd number of cache lines a session, so that sessions do not compete for the same places in the cache.
        self._stride = LINE * (-(-packing.memory // LINE) | 1)
        self._period = int(np.prod(config.pools)) * BLOCK

    @torch.no_grad()
    def init_state(self, batch_size: int = 1, labels: Tensor | None = None) -> FusedState:
        """Streams that have seen nothing; see `Sashimi.init_state`."""
        memory = self._memory(batch_size)
        memory[:, : self.config.dim] = self._model.init_state(batch_size, labels).label
        return FusedState(memory, 0)

    @torch.no_grad()
    def hear(self, codes: Tensor, labels: Tensor | None = None) -> FusedState:
        """Streams that have seen codes [B, n]: whole periods by the model's convolutions, the rest step by step."""
        whole = codes.shape[1] // self._period * self._period
        _, state = self._model.step(codes[:, :whole], self._model.init_state(len(codes), labels))
        memory = self._memory(len(codes))

        def put(place: int, values: Tensor) -> None:
            memory[:, place : place + values[0].numel()] = values.flatten(1)

        put(0, state.label)
        for tier, (*_, ahead, _, _) in zip(state.tiers, self._tiers[:-1].tolist(), strict=True):
            put(ahead, tier.ahead)
        states = [*(each for tier in state.tiers for each in (*tier.down, *tier.up)), *state.centre]
        for block, ssm_state in zip(self._packed, states, strict=True):
            put(block.memory, block.remembered(ssm_state))
        return self.step(codes[:, whole:], FusedState(memory, 0))[1]

    def step(self, codes: Tensor, state: FusedState) -> tuple[Tensor, FusedState]:
        """Logits [B, n, V] of what follows each of the next codes [B, n]; `state` is written over."""
        self._check(codes)
        logits = torch.empty(*codes.shape, self.config.codec.codebook_size)
        memory = state.memory.numpy()
        feed(self._net, memory.ravel(), memory.shape, state.phase, codes.contiguous().numpy(), logits.numpy().ravel())
        return logits, FusedState(state.memory, (state.phase + codes.shape[1]) % self._period)

    def draw(
        self,
        last: Tensor,
        uniforms: Tensor,
        state: FusedState,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
    ) -> tuple[Tensor, Tensor, FusedState]:
        """Sample on.

        Args:
            last: The codes [B] to go on from; `config.start` at the beginning.
            uniforms: Random numbers in [0, 1), [B, n], one a sample to draw.
            state: The streams, before `last`; written over. Of B, or of 2 B of which the second half is for guidance.
            temperature: Divides the logits; 0 takes the likeliest code.
            top_p: Keeps the likeliest codes that together reach this probability.
            guidance: Where logits lie on the line from those of the second half, 0, to those of the first, 1.

        Returns:
            Codes [B, n]; the log-likelihood [B] of them all, at temperature 1; the state.
        """
        self._check(last)
        sessions, memory = len(state.memory), state.memory.numpy()
        codes = torch.empty(sessions, 1 + uniforms.shape[1], dtype=torch.long)
        codes[:, 0] = last.repeat(sessions // len(last))
        likelihood = torch.zeros(len(last), dtype=torch.float64)
        # As floats: of another type the compiled code would be compiled anew.
        options = (uniforms.contiguous().numpy(), float(temperature), float(top_p), float(guidance))
        draw(self._net, memory.ravel(), memory.shape, state.phase, *options, codes.numpy(), likelihood.numpy())
        after = FusedState(state.memory, (state.phase + uniforms.shape[1]) % self._period)
        return codes[: len(last), 1:], likelihood, after

    def _check(self, codes: Tensor) -> None:
        """Compiled code would read whatever lies at the place of a code that does not exist."""
        levels = self.config.codec.codebook_size
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < levels:
            raise AudiogenError(f"codes must be from 0 to {levels - 1}, got {int(codes.min())} to {int(codes.max())}")

    def _memory(self, batch_size: int) -> Tensor:
        """Zeros [B, M]."""
        return torch.from_numpy(_lines(batch_size * self._stride)).view(batch_size, -1)


# Packing


@dataclass(frozen=True)
class _PackedBlock:
    """Where a block is: its weights, and its memory of states as [tile][pair][re, im][lane], inputs and what is ahead.

    Attributes:
        unit: What a state is measured in, [dim, pairs].
        ahead: What is heard of the states at each of the next steps, y and for S4 −s, [1 or 2, BLOCK, dim, pairs].
    """

    dim: int
    weights: int
    memory: int
    unit: Tensor
    ahead: Tensor

    def remembered(self, state: SSMState) -> Tensor:
        """The state of the plain model as it lies in memory, [B, n]."""
        x = state.x / self.unit
        tiles = torch.view_as_real(x).unflatten(1, (-1, WIDTH)).permute(0, 1, 3, 4, 2).flatten(1)
        heard = torch.zeros(len(tiles), BLOCK * self.dim)
        given = (self.ahead * x[:, None, None]).real.sum(-1)
        return torch.cat([tiles, heard, given.flatten(1)], dim=1)


class _Packing:
    """Writes weights one after the other and hands out places in a session's memory."""

    def __init__(self, memory: int, half: bool) -> None:
        self.memory, self.packed, self._half = memory, [], half
        self._parts, self._length = [], 0

    def weights(self) -> np.ndarray:
        """All that was put."""
        space = _lines(self._length)
        space[:] = np.concatenate(self._parts)
        return space

    def put(self, values: Tensor) -> int:
        """Append `values`, flattened; returns where they begin."""
        flat = values.detach().float().cpu().flatten().numpy()
        self._parts.append(flat)
        self._length += len(flat)
        return self._length - len(flat)

    def remember(self, count: int) -> int:
        """Room for `count` numbers of a session."""
        self.memory += count
        return self.memory - count

    def linear(self, weight: Tensor, bias: Tensor) -> int:
        """The bias, then the weight [O, I] as panels [O / 16, I, 16]."""
        start, panels = self.put(bias), weight.unflatten(0, (-1, PANEL)).transpose(1, 2)
        self.put(_in_pairs(panels) if self._half else panels)
        return start

    def tier(self, tier: Tier) -> list[int]:
        """A tier's blocks and its ways between the rates, in frame-major order; a row of the table of tiers."""
        order = torch.arange(tier.pool * tier.dim).view(tier.dim, tier.pool).T.flatten()
        first_down = self.stack(tier.down_blocks)
        down = self.linear(tier.down.weight[:, order], tier.down.bias)
        up = self.linear(tier.up.weight[order], tier.up.bias[order])
        pending, ahead = (self.remember(tier.pool * tier.dim) for _ in range(2))
        return [tier.pool, tier.dim, down, up, pending, ahead, first_down, self.stack(tier.up_blocks)]

    def stack(self, blocks: nn.ModuleList) -> int:
        """Blocks; returns the number of the first."""
        first = len(self.packed)
        self.packed += [self._block(block) for block in blocks]
        return first

    @torch.no_grad()
    def _block(self, block: SSMBlock) -> _PackedBlock:
        system = block.ssm.discretize()
        dim, pairs = system.a.shape
        unit = system.b if system.g is None else system.g
        unit = torch.where(unit.abs() < TINY, TINY, unit)
        outputs = _from_before(system, system.c)
        taps = _real_sum(outputs[:-1] * system.b)
        taps[0] += block.ssm.d
        ahead, entering = [outputs[1:]], system.a.square()
        if system.g is not None:
            fed, entering = -_from_before(system, system.v), system.b / unit
            taps = torch.cat([taps, _real_sum(fed[: BLOCK - 1] * system.b)])
            ahead.append(fed[:-1])
        ahead = 2 * unit * torch.stack(ahead)
        start = self._norms(block)
        self.put(torch.cat([torch.stack(_affine(block.ssm_norm, dim)), taps]))
        numbers = torch.stack([system.a, entering, *ahead.conj().flatten(0, 1)])
        lanes = torch.view_as_real(numbers).unflatten(1, (-1, WIDTH))  # [k, tile, lane, pair, re/im]
        self.put(lanes.permute(1, 3, 0, 4, 2))
        mix = block.mix[0] if isinstance(block.mix, nn.Sequential) else block.mix
        self.linear(mix.weight, mix.bias)
        self.linear(*_without_gains(block.norm, block.expand))
        self.linear(block.contract.weight, block.contract.bias)
        memory = self.remember(dim * (2 * pairs + BLOCK * (1 + len(ahead))))
        return _PackedBlock(dim, start, memory, unit, ahead)

    def _norms(self, block: SSMBlock) -> int:
        """Shift and epsilon of both norms of a block, alone in a line of the cache."""
        line = torch.zeros(LINE)
        for i, norm in enumerate((block.ssm_norm, block.norm)):
            line[2 * i] = norm.shift.detach() if isinstance(norm, ScalarNorm) else 0
            line[2 * i + 1] = norm.eps
        return self.put(line)


def _from_before(system: Discrete, row: Tensor) -> Tensor:
    """What `row` [dim, pairs], by which a state is heard, becomes for the states 0 to BLOCK steps before."""
    rows = [row]
    for _ in range(BLOCK):
        before = rows[-1] * system.a
        if system.g is not None:
            before = before - _real_sum(rows[-1] * system.g)[..., None] * system.v
        rows.append(before)
    return torch.stack(rows)


def _real_sum(x: Tensor) -> Tensor:
    """Over the pairs and the conjugate of each."""
    return 2 * x.real.sum(-1)


def _in_pairs(panels: Tensor) -> Tensor:
    """Panels [P, I, 16] as bfloat16: the second eight are the upper halves of words [P, I, 8], the first the lower."""
    first, second = panels.detach().bfloat16().view(torch.int16).int().chunk(2, dim=-1)
    return (first & 0xFFFF | second << 16).view(torch.float32)


def _lines(count: int) -> np.ndarray:
    """Zeros from the beginning of a cache line on; numpy asks for large pages, which spare the search for memory."""
    space = np.zeros(count + LINE, dtype=np.float32)
    start = -(space.ctypes.data // 4) % LINE
    return space[start : start + count]


def _affine(norm: nn.LayerNorm | ScalarNorm, dim: int) -> tuple[Tensor, Tensor]:
    """Gain and bias [D] after the scaling."""
    if isinstance(norm, ScalarNorm):
        return norm.gain.expand(dim), torch.zeros(dim)
    return norm.weight, norm.bias


def _without_gains(norm: nn.LayerNorm | ScalarNorm, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of `linear` after `norm`, for what is only normalised."""
    weight, (gain, bias) = linear.weight.double(), _affine(norm, linear.in_features)
    return weight * gain.double(), linear.bias.double() + weight @ bias.double()
