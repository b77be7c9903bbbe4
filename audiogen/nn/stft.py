"""A stream of samples as log-mel frames, and frames of spectra as a stream of samples.

Both use the alignment of HiFi-GAN's and BigVGAN's mel spectra: frame t is centred on samples t · hop … (t + 1) · hop
and reaches (n_fft − hop) / 2 beyond them on either side. So T frames hold T · hop samples, and each direction waits
for that many samples of the future. Silence, not a mirror image, lies beyond both ends.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.errors import AudiogenError
from audiogen.nn.linear import row_stable_linear
from audiogen.nn.spectral import mel_filters
from audiogen.nn.state import State

QUIETEST = 1e-5


def margin_of(n_fft: int, hop_length: int) -> int:
    """Samples that a frame reaches beyond its own on either side.

    Raises:
        AudiogenError: If frames do not overlap evenly.
    """
    if hop_length < 1 or n_fft % hop_length or n_fft < 2 * hop_length or (n_fft - hop_length) % 2:
        raise AudiogenError(f"n_fft {n_fft} must be a multiple of hop_length {hop_length}, larger by an even number")
    return (n_fft - hop_length) // 2


@dataclass
class FramesState(State):
    """Samples [B, n] that frames still to come look at."""

    samples: Tensor


class LogMelFrames(nn.Module):
    """Samples to natural logarithms of mel magnitudes, at least `QUIETEST`, in whole groups of frames. Fixed."""

    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, num_mels: int, group: int = 1) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.margin = n_fft, hop_length, margin_of(n_fft, hop_length)
        self.group_length = group * hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, n_fft, num_mels), persistent=False)

    def init_state(self, batch_size: int) -> FramesState:
        """Silence before the start."""
        return FramesState(self.window.new_zeros(batch_size, self.margin))

    def forward(self, samples: Tensor, state: FramesState, final: bool = False) -> tuple[Tensor, FramesState]:
        """The frames [B, T, mels] that the next samples [B, n] complete; `final` completes a group with silence."""
        samples = torch.cat([state.samples, samples], dim=-1)
        if final:
            missing = -(samples.shape[-1] - self.margin) % self.group_length
            samples = nn.functional.pad(samples, (0, missing + self.margin))
        used = max(0, samples.shape[-1] - 2 * self.margin) // self.group_length * self.group_length
        if used == 0:
            return samples.new_zeros(len(samples), 0, len(self.filters)), FramesState(samples)
        windows = samples.unfold(-1, self.n_fft, self.hop_length)[:, : used // self.hop_length] * self.window
        mel = row_stable_linear(torch.fft.rfft(windows).abs(), self.filters)
        return mel.clamp(min=QUIETEST).log(), FramesState(samples[:, used:])


@dataclass
class OverlapState(State):
    """What overlap-add remembers.

    Attributes:
        sums: Samples [B, n_fft − hop] that later frames will still add to.
        weights: The squared windows that these are sums under, alike.
        ahead: Samples still to drop before sample 0.
    """

    sums: Tensor
    weights: Tensor
    ahead: int


class InverseStft(nn.Module):
    """Spectra to samples: inverse transform, window, overlap-add, divided by the windows that were there. Fixed."""

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.margin = n_fft, hop_length, margin_of(n_fft, hop_length)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def init_state(self, batch_size: int) -> OverlapState:
        """Before the first frame."""
        nothing = self.window.new_zeros(batch_size, self.n_fft - self.hop_length)
        return OverlapState(nothing, nothing, self.margin)

    def forward(self, spectra: Tensor, state: OverlapState, final: bool = False) -> tuple[Tensor, OverlapState]:
        """The samples [B, n] that the next spectra [B, T, bins] settle; after the `final` ones, T · hop in all."""
        count = spectra.shape[1]
        if count == 0 and not final:
            return state.sums[:, :0], state
        windows = torch.fft.irfft(spectra, self.n_fft) if count else state.sums.new_zeros(len(spectra), 0, self.n_fft)
        sums = self._added(windows * self.window, state.sums)
        weights = self._added(self.window.square().expand_as(windows), state.weights)
        settled = count * self.hop_length + self.margin * final
        first = min(state.ahead, settled)
        samples = sums[:, first:settled] / weights[:, first:settled]
        tail = count * self.hop_length
        return samples, OverlapState(sums[:, tail:], weights[:, tail:], state.ahead - first)

    def _added(self, windows: Tensor, tail: Tensor) -> Tensor:
        """Windows [B, T, n_fft], a hop apart, on top of what is left of those before."""
        count, hop = windows.shape[1], self.hop_length
        sums = nn.functional.pad(tail, (0, count * hop)).unflatten(1, (-1, hop))
        for shift, part in enumerate(windows.split(hop, dim=-1)):
            sums[:, shift : shift + count] += part
        return sums.flatten(1)
