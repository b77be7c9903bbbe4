"""Phases from magnitudes alone, as they arrive: phase gradient integration along peaks.

For a window close to a Gaussian, the phase's derivatives over time and frequency follow from the derivatives of the
log-magnitude (Průša, Balazs and Søndergaard 2017, "A noniterative method for reconstruction of phase from STFT
magnitude", eqs. 9–10; real-time: Průša and Søndergaard 2016). Instead of their heap, every spectral peak carries its
own phase on from the frame before, and the bins around it are locked to it by the derivative over frequency: the same
integration, in an order that a vector machine can follow. Nothing is learned; one frame of look-ahead suffices.

Phases are summed as whole numbers of 2⁻³² turns: they wrap by themselves, and the sum is exact.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from audiogen.nn.state import State

HANN_GAUSSIAN = 0.25645  # a Hann window of length M is closest to the Gaussian exp(−π x² / (HANN_GAUSSIAN · M²))
TURN = 2.0**32


@dataclass
class PhaseState(State):
    """What the integrator remembers.

    Attributes:
        recent: The last two log-magnitude frames [B, 2, bins], the second waiting for a neighbour.
        phase: Phases [B, bins] of the last frame, int32 in units of 2⁻³² turns.
    """

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
        return PhaseState(silence, silence[:, 0].int())

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
        step = self.advance + (over_time[:, :-2] + over_time[:, 1:-1]) / 2
        # Over frequency: from each peak outward, by the trapezoid rule.
        over_frequency = (frames[:, :-2] - frames[:, 2:]) / (2 * self.time_slope)
        integral = nn.functional.pad((over_frequency[..., 1:] + over_frequency[..., :-1]).cumsum(-1) / 2, (1, 0))
        peak = nearest_peak(current)
        turns = (step.gather(2, peak) + (integral - integral.gather(2, peak))) / (2 * math.pi)
        increments = ((turns - turns.round()) * TURN).int()
        phases = follow(peak, increments, state.phase)
        last = phases[:, -1] if phases.shape[1] else state.phase
        return current, phases * (2 * math.pi / TURN), PhaseState(frames[:, -2:], last)


def nearest_peak(spectrum: Tensor) -> Tensor:
    """Index [B, T, bins] of the local maximum nearest to each bin of a spectrum [B, T, bins]; its own without any."""
    bins, values = spectrum.shape[-1], spectrum.detach().cpu().numpy()
    inner = values[..., 1:-1]
    is_peak = np.zeros(values.shape, dtype=bool)
    is_peak[..., 1:-1] = (inner > values[..., :-2]) & (inner >= values[..., 2:])
    is_peak |= ~is_peak.any(-1, keepdims=True)
    peaks = np.flatnonzero(is_peak)
    row = peaks - peaks % bins  # where each peak's spectrum starts
    # A peak takes over halfway after the one before it, and the first of a spectrum at the spectrum's start.
    starts = np.where(row[1:] == row[:-1], (peaks[1:] + peaks[:-1]) // 2 + 1, row[1:])
    runs = np.diff(starts, prepend=0, append=values.size)
    return torch.from_numpy(np.repeat(peaks - row, runs).reshape(values.shape)).to(spectrum.device)


def follow(source: Tensor, increments: Tensor, start: Tensor) -> Tensor:
    """Sums y[t] = y[t − 1][source[t]] + increments[t] along moving sources, wrapping around; y[−1] is `start`.

    Done on the host, frame by frame: a frame is too little work for a kernel launch.

    Args:
        source: Indices [B, T, n] into the frame before.
        increments: int32 [B, T, n].
        start: int32 [B, n].

    Returns:
        int32 [B, T, n].
    """
    batch, frames, size = source.shape
    flat = (source + size * torch.arange(batch, device=source.device)[:, None, None]).transpose(0, 1)
    sums = increments.transpose(0, 1).reshape(frames, batch * size).cpu().numpy().copy()
    before = start.reshape(-1).cpu().numpy()
    for index, frame in zip(flat.reshape(frames, batch * size).cpu().numpy(), sums, strict=True):
        frame += before[index]
        before = frame
    return torch.from_numpy(sums).to(start.device).view(frames, batch, size).transpose(0, 1)
