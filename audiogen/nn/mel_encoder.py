"""A wave to vectors at a codec's frame rate: log-mel frames, stacked in groups, then causal ConvNeXt blocks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.conv import ConvNeXt, ConvNeXtState
from audiogen.nn.linear import RowStableLinear
from audiogen.nn.state import State
from audiogen.nn.stft import FramesState, LogMelFrames


@dataclass
class MelEncoderState(State):
    """The samples not yet framed and the blocks' pasts."""

    frames: FramesState
    blocks: ConvNeXtState


class MelEncoder(nn.Module):
    """Samples [B, N] to vectors [B, T, D], one for each group of mel frames."""

    def __init__(self, mel: LogMelFrames, group: int, dim: int, depth: int, kernel_size: int, output_dim: int) -> None:
        super().__init__()
        self.mel, self.group = mel, group
        self.input = RowStableLinear(group * len(mel.filters), dim)
        self.norm_input = nn.LayerNorm(dim)
        self.blocks = ConvNeXt(dim, depth, kernel_size)
        self.norm = nn.LayerNorm(dim)
        self.output = RowStableLinear(dim, output_dim)

    def init_state(self, batch_size: int) -> MelEncoderState:
        """Silence before the start."""
        return MelEncoderState(self.mel.init_state(batch_size), self.blocks.init_state(batch_size))

    def forward(
        self, samples: Tensor, state: MelEncoderState | None = None, final: bool = True
    ) -> tuple[Tensor, MelEncoderState]:
        """The vectors that the next samples [B, n] complete, continuing from `state`; `final` completes the last."""
        state = state or self.init_state(len(samples))
        with torch.no_grad():
            frames, waiting = self.mel(samples, state.frames, final)
        grouped = frames.unflatten(1, (frames.shape[1] // self.group, self.group)).flatten(2)
        x, blocks = self.blocks(self.norm_input(self.input(grouped)), state.blocks)
        return self.output(self.norm(x)), MelEncoderState(waiting, blocks)
