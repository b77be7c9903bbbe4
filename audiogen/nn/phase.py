"""Phases from magnitudes alone, as they arrive: phase gradient integration along peaks.

For a window close to a Gaussian, the phase's derivatives over time and frequency follow from the derivatives of the
log-magnitude (Průša, Balazs and Søndergaard 2017, "A noniterative method for reconstruction of phase from STFT
magnitude", eqs. 9–10; real-time: Průša and Søndergaard 2016). Instead of their heap, every spectral peak carries its
own phase on from the frame before, and the bins around it are locked to it by the derivative over frequency: the same
integration, in an order that a vector machine can follow. Nothing is learned; one frame of look-ahead suffices.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.state import State

HANN_GAUSSIAN = 0.25645  # a Hann window of length M is closest to the Gaussian exp(−π x² / (HANN_GAUSSIAN · M²))


@dataclass
class PhaseState(State):
    """The last two log-magnitude frames [B, 2, bins], the second waiting for a neighbour, and phases [B, bins]."""

    recent: Tensor
    phase: Tensor


class PhaseIntegrator(nn.Module):
    """Log-magnitudes to phases, delayed by one frame. Phases refer to the window's centre."""

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.bins = n_fft // 2 + 1
        self.time_slope = hop_length / (HANN_GAUSSIAN * n_fft)
        advance = 2 * math.pi * hop_length * torch.arange(self.bins) / n_fft
        self.register_buffer("advance", advance.remainder(2 * math.pi), persistent=False)

    def init_state(self, batch_size: int) -> PhaseState:
        """Silence, whose log-magnitude is 0."""
        silence = self.advance.new_zeros(batch_size, 2, self.bins)
        return PhaseState(silence, silence[:, 0])

    def forward(self, log_magnitudes: Tensor, state: PhaseState | None = None) -> tuple[Tensor, Tensor, PhaseState]:
        """Integrate the next frames.

        Args:
            log_magnitudes: [B, T, bins], 0 in silence; where it is large, the natural logarithm up to a constant.
            state: The stream so far.

        Returns:
            Log-magnitudes and phases, both [B, T, bins], of the frame that was waiting and all new ones but the last;
            and the state after them.
        """
        state = state or self.init_state(len(log_magnitudes))
        frames = torch.cat([state.recent, log_magnitudes], dim=1)
        current = frames[:, 1:-1]
        # Over time: the expected advance of each bin, averaged over this frame and the one before.
        over_time = self.time_slope * torch.gradient(frames, dim=2)[0]
        step = (self.advance + (over_time[:, :-2] + over_time[:, 1:-1]) / 2).remainder(2 * math.pi)
        # Over frequency: from each peak outward, by the trapezoid rule.
        over_frequency = -(frames[:, 2:] - frames[:, :-2]) / (2 * self.time_slope)
        integral = nn.functional.pad((over_frequency[..., 1:] + over_frequency[..., :-1]).cumsum(-1) / 2, (1, 0))
        peak = nearest_peak(current)
        offset = integral - integral.gather(2, peak)
        phase, phases = state.phase, []
        for t in range(current.shape[1]):
            phase = ((phase + step[:, t]).gather(1, peak[:, t]) + offset[:, t]).remainder(2 * math.pi)
            phases.append(phase)
        phases = torch.stack(phases, dim=1) if phases else torch.zeros_like(current)
        return current, phases, PhaseState(frames[:, -2:], phase)


def nearest_peak(spectrum: Tensor) -> Tensor:
    """Index [B, T, bins] of the local maximum nearest to each bin of a spectrum [B, T, bins]."""
    bins = torch.arange(spectrum.shape[-1], device=spectrum.device)
    inner, far = spectrum[..., 1:-1], 2 * spectrum.shape[-1]
    is_peak = nn.functional.pad((inner > spectrum[..., :-2]) & (inner >= spectrum[..., 2:]), (1, 1))
    below = torch.where(is_peak, bins, -far).cummax(-1).values
    above = torch.where(is_peak, bins, far).flip(-1).cummin(-1).values.flip(-1)
    nearest = torch.where(above - bins < bins - below, above, below)
    return torch.where((nearest < 0) | (nearest > bins[-1]), bins, nearest)
