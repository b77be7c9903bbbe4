"""Causal convolution over time and the ConvNeXt stack built from it, whole or streamed through one code path."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.linear import RowStableLinear
from audiogen.nn.state import State


@dataclass
class ConvState(State):
    """The last inputs of a causal convolution, [B, C, context] or channels last; zeros before the start."""

    past: Tensor


class CausalConv1d(nn.Conv1d):
    """A stride-1 convolution that sees the past only: output t depends on inputs t − (kernel − 1) · dilation … t."""

    @property
    def context(self) -> int:
        """Past frames an output depends on."""
        return (self.kernel_size[0] - 1) * self.dilation[0]

    def init_state(self, batch_size: int) -> ConvState:
        """Silence before the start."""
        return ConvState(self.weight.new_zeros(batch_size, self.in_channels, self.context))

    def forward(self, x: Tensor, state: ConvState | None = None) -> tuple[Tensor, ConvState]:
        """Convolve x [B, C, T], continuing from `state`."""
        state = state or self.init_state(len(x))
        x = torch.cat([state.past, x], dim=-1)
        return super().forward(x), ConvState(x[..., x.shape[-1] - self.context :])


class DepthwiseConv1d(CausalConv1d):
    """A causal convolution of each channel by itself, over x [B, T, D]: channels last, so that nothing is copied.

    A sum of a few products of whole frames: for a stream's short chunks this takes a third of the time of a general
    convolution, and how many frames come at once changes no bit of the sums.
    """

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__(dim, dim, kernel_size, groups=dim)

    def init_state(self, batch_size: int) -> ConvState:
        """Silence before the start, [B, context, D]."""
        return ConvState(self.weight.new_zeros(batch_size, self.context, self.in_channels))

    def forward(self, x: Tensor, state: ConvState | None = None) -> tuple[Tensor, ConvState]:
        """Convolve x [B, T, D], continuing from `state`."""
        state = state or self.init_state(x.shape[0])
        frames, x = x.shape[1], torch.cat([state.past, x], dim=1)
        y = self.bias
        for shift, weight in enumerate(self.weight[:, 0].unbind(1)):
            y = torch.addcmul(y, x[:, shift : shift + frames], weight)
        return y, ConvState(x[:, frames:])


class ConvNeXtBlock(nn.Module):
    """Depthwise causal convolution, LayerNorm, then a pointwise MLP with a scaled residual (Liu et al. 2022, §2)."""

    def __init__(self, dim: int, kernel_size: int, expansion: int = 4) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv1d(dim, kernel_size)
        self.norm = nn.LayerNorm(dim)
        self.expand = RowStableLinear(dim, expansion * dim)
        self.contract = RowStableLinear(expansion * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.1))

    def forward(self, x: Tensor, state: ConvState | None = None) -> tuple[Tensor, ConvState]:
        """x [B, T, D] to the same shape."""
        mixed, state = self.depthwise(x, state)
        hidden = nn.functional.gelu(self.expand(self.norm(mixed)))
        return torch.addcmul(x, self.scale, self.contract(hidden)), state


@dataclass
class ConvNeXtState(State):
    """One state a block."""

    blocks: list[ConvState]


class ConvNeXt(nn.Module):
    """`depth` causal ConvNeXt blocks at frame rate, [B, T, D] to the same shape."""

    def __init__(self, dim: int, depth: int, kernel_size: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, kernel_size) for _ in range(depth))

    def init_state(self, batch_size: int) -> ConvNeXtState:
        """Silence before the start."""
        return ConvNeXtState([block.depthwise.init_state(batch_size) for block in self.blocks])

    def forward(self, x: Tensor, state: ConvNeXtState | None = None) -> tuple[Tensor, ConvNeXtState]:
        """Run the stack, continuing from `state`."""
        state = state or self.init_state(len(x))
        if x.shape[1] == 0:
            return x, state
        after = []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            x, block_state = block(x, before)
            after.append(block_state)
        return x, ConvNeXtState(after)
