"""Causal depthwise-striding subsampling by 8, whole or streamed through one code path (FastConformer, §2.1).

Each stage halves time and frequency with a 3 × 3 convolution of stride 2 that is padded by one frame on the left only:
output t of the stack sees feature frames 8t − 7 … 8t + 7 and is complete after frame 8t + 7. A stream keeps each
stage's own last input; keeping the features' instead would put convolved zeros where padding belongs and change the
first output.

Frames that are none, before the start or after the end of a sound, are hidden at every stage, for the same reason. With
the first seven of a stream hidden, output t sees what it would with two frames of padding on the left and one on the
right, t's last frame being the eighth of its own: the layout of published cache-aware models.
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


@dataclass(frozen=True)
class Bounds:
    """The frames of a pass that are frames of the sound: `first` ≤ t < `end`, int64 [B] each, counted in the pass."""

    first: Tensor
    end: Tensor

    def halved(self) -> "Bounds":
        """Of the outputs of a stage, those that see a frame: output j sees 2j − 1 … 2j + 1."""
        return Bounds(self.first // 2, (self.end + 1) // 2)

    def hide(self, x: Tensor) -> Tensor:
        """x [B, T, C, F] with zeros where no frame is."""
        times = torch.arange(x.shape[1], device=x.device)
        known = (times >= self.first[:, None]) & (times < self.end[:, None])
        return x * known[:, :, None, None]


class DepthwiseStriding(nn.Module):
    """Features [B, T, F] to [B, T / 8, D].

    `frequency_padding` is how many empty bands go below and above at each stage: one each, or two and one.
    """

    factor = 8

    def __init__(self, num_features: int, channels: int, dim: int, frequency_padding: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.padding = frequency_padding
        self.sizes = [num_features]
        for _ in range(3):
            self.sizes.append((self.sizes[-1] + sum(frequency_padding) - 1) // 2)
        self.channels = channels
        # Bands below are padded by hand where they are more than those above.
        padding = (0, frequency_padding[1])
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=padding)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=padding, groups=channels) for _ in range(2)
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

    def forward(
        self, x: Tensor, state: SubsamplingState | None = None, bounds: Bounds | None = None
    ) -> tuple[Tensor, SubsamplingState]:
        """The outputs [B, T', D] that feature frames x [B, T, F] complete, continuing from `state`.

        Args:
            x: The features; with bounds, a multiple of 8 frames.
            state: Where the stream stands; None is a fresh one.
            bounds: Which of the frames are any; None if all are.
        """
        state = state or self.init_state(len(x))
        after = []
        x = x[:, :, None]
        if bounds is not None:
            x = bounds.hide(x)
        for stage, past in enumerate(state.pasts):
            x = torch.cat([past, x], dim=1)
            used = (x.shape[1] - 1) // 2 * 2
            after.append(x[:, used:])
            x = (
                self._stage(stage, x[:, : used + 1])
                if used
                else x.new_zeros(len(x), 0, self.channels, self.sizes[stage + 1])
            )
            if bounds is not None:
                bounds = bounds.halved()
                x = bounds.hide(x)
        return self.out(x.flatten(2)), SubsamplingState(after)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        """One halving, [B, T, C, F] to [B, (T − 1) / 2, C', F / 2]."""
        if self.padding[0] > self.padding[1]:
            x = F.pad(x, (self.padding[0] - self.padding[1], 0))
        x = x.transpose(1, 2).contiguous(memory_format=torch.channels_last)
        if stage == 0:
            return F.relu(self.first(x)).transpose(1, 2)
        return F.relu(self.pointwise[stage - 1](self.depthwise[stage - 1](x))).transpose(1, 2)
