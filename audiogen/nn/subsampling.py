"""Causal depthwise-striding subsampling by 8, whole or streamed through one code path (FastConformer, §2.1).

Each stage halves time and frequency with a 3 × 3 convolution of stride 2 that is padded by one frame on the left only:
output t of the stack sees feature frames 8t − 7 … 8t + 7 and is complete after frame 8t + 7. A stream keeps each
stage's own last input; keeping the features' instead would put convolved zeros where padding belongs and change the
first output.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiogen.nn.state import State


@dataclass
class SubsamplingState(State):
    """Per stage its last input frame, and the one after where the count is odd, [B, 1 or 2, C, F]."""

    pasts: list[Tensor]


class DepthwiseStriding(nn.Module):
    """Features [B, T, F] to [B, T / 8, D]."""

    factor = 8

    def __init__(self, num_features: int, channels: int, dim: int) -> None:
        super().__init__()
        self.sizes = [num_features]
        for _ in range(3):
            self.sizes.append((self.sizes[-1] + 1) // 2)
        self.channels = channels
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=(0, 1))
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=(0, 1), groups=channels) for _ in range(2)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.out = nn.Linear(channels * self.sizes[-1], dim)
        # PyTorch's default shrinks the signal at each of the five convolutions until the biases drown it.
        for convolution in (self.first, *self.depthwise, *self.pointwise):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)

    def init_state(self, batch_size: int) -> SubsamplingState:
        """Each stage's padding of one zero frame."""
        channels = [1, self.channels, self.channels]
        shapes = [(batch_size, 1, c, f) for c, f in zip(channels, self.sizes, strict=False)]
        return SubsamplingState([self.out.weight.new_zeros(shape) for shape in shapes])

    def forward(self, x: Tensor, state: SubsamplingState | None = None) -> tuple[Tensor, SubsamplingState]:
        """The outputs [B, T', D] that feature frames x [B, T, F] complete, continuing from `state`."""
        state = state or self.init_state(len(x))
        after = []
        x = x[:, :, None]
        for stage, past in enumerate(state.pasts):
            x = torch.cat([past, x], dim=1)
            used = (x.shape[1] - 1) // 2 * 2
            after.append(x[:, used:])
            x = (
                self._stage(stage, x[:, : used + 1])
                if used
                else x.new_zeros(len(x), 0, self.channels, self.sizes[stage + 1])
            )
        return self.out(x.flatten(2)), SubsamplingState(after)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        """One halving, [B, T, C, F] to [B, (T − 1) / 2, C', F / 2]."""
        x = x.transpose(1, 2).contiguous(memory_format=torch.channels_last)
        if stage == 0:
            return F.relu(self.first(x)).transpose(1, 2)
        return F.relu(self.pointwise[stage - 1](self.depthwise[stage - 1](x))).transpose(1, 2)
