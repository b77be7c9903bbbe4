"""Frames to a wave without any layer faster than the frame rate: causal ConvNeXt blocks and an inverse-STFT head.

The network of Vocos (Siuzdak 2023, arXiv 2306.00814, §3), made causal: blocks at the frame rate predict the magnitude
and the phase of every bin, and overlap-add makes samples of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.conv import ConvNeXt, ConvNeXtState
from audiogen.nn.linear import RowStableLinear
from audiogen.nn.state import State
from audiogen.nn.stft import InverseStft, OverlapState

LOUDEST = 1e2  # magnitude: keeps an untrained network's exponential finite


@dataclass
class VocoderState(State):
    """The blocks' pasts and the overlap."""

    blocks: ConvNeXtState
    overlap: OverlapState


class Vocoder(nn.Module):
    """Frames [B, T, D] to samples [B, T · hop]."""

    def __init__(self, input_dim: int, dim: int, depth: int, kernel_size: int, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.input = RowStableLinear(input_dim, dim)
        self.norm_input = nn.LayerNorm(dim)
        self.blocks = ConvNeXt(dim, depth, kernel_size)
        self.norm = nn.LayerNorm(dim)
        self.output = RowStableLinear(dim, n_fft + 2)
        self.inverse = InverseStft(n_fft, hop_length)

    def init_state(self, batch_size: int) -> VocoderState:
        """Before the first frame."""
        return VocoderState(self.blocks.init_state(batch_size), self.inverse.init_state(batch_size))

    def forward(
        self, frames: Tensor, state: VocoderState | None = None, final: bool = True
    ) -> tuple[Tensor, VocoderState]:
        """The samples [B, n] that the next frames settle, continuing from `state`."""
        state = state or self.init_state(len(frames))
        x, blocks = self.blocks(self.norm_input(self.input(frames)), state.blocks)
        x = self.output(self.norm(x))
        log_magnitude, phase = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
        magnitude = log_magnitude.exp().clamp(max=LOUDEST)
        spectra = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        wave, overlap = self.inverse(spectra, state.overlap, final)
        return wave, VocoderState(blocks, overlap)
