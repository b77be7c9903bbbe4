"""Log-mel features, whole or streamed in chunks of any number of samples through one code path.

Frames are causal: frame t looks at samples before hop · (t + 1) only. So every hop samples give exactly one frame, and
a stream that stands at a multiple of the hop holds a buffer of fixed size, which lets sessions be joined. No
normalisation over the utterance: that would break streaming.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.state import State

PRE_EMPHASIS = 0.97
FLOOR = 2.0**-24
CENTRE, SPREAD = -6.0, 4.0
"""Roughly mean and deviation of log-mel values of speech: a fixed scaling that keeps the network's input near unity."""


@dataclass
class LogMelState(State):
    """The samples that frames still to come look at, [B, past + samples of the unfinished hop]."""

    tail: Tensor


class LogMel(nn.Module):
    """Wave [B, N] to scaled log-mel frames [B, T, F]: pre-emphasis 0.97, Hann window, power, log(x + 2⁻²⁴).

    With `slaney` the bands are those of Slaney's Auditory Toolbox and the values are left as they are: what published
    recognisers were trained on.
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        num_mels: int = 80,
        window_ms: int = 25,
        hop_ms: int = 10,
        slaney: bool = False,
    ) -> None:
        super().__init__()
        self.hop_length = sample_rate * hop_ms // 1000
        self.window_length = sample_rate * window_ms // 1000
        self.fft_size = 1 << (self.window_length - 1).bit_length()
        self.centre, self.spread = (0.0, 1.0) if slaney else (CENTRE, SPREAD)
        filters = (slaney_filters if slaney else mel_filters)(sample_rate, self.fft_size, num_mels)
        self.register_buffer("window", torch.hann_window(self.window_length, periodic=False), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    @property
    def past(self) -> int:
        """Samples before its own hop that a frame looks at: the window's, and one for the pre-emphasis."""
        return self.window_length - self.hop_length + 1

    def init_state(self, batch_size: int) -> LogMelState:
        """Silence before the start."""
        return LogMelState(self.window.new_zeros(batch_size, self.past))

    @torch.no_grad()
    def forward(self, wave: Tensor, state: LogMelState | None = None) -> tuple[Tensor, LogMelState]:
        """The frames [B, T, F] that `wave` [B, N] completes, continuing from `state`."""
        state = state or self.init_state(len(wave))
        samples = torch.cat([state.tail, wave.to(state.tail.dtype)], dim=1)
        num_frames = (samples.shape[1] - self.past) // self.hop_length
        tail = samples[:, num_frames * self.hop_length :]
        if num_frames == 0:
            return wave.new_zeros(len(wave), 0, self.filters.shape[1]), LogMelState(tail)
        emphasised = samples[:, 1:] - PRE_EMPHASIS * samples[:, :-1]
        frames = emphasised.unfold(1, self.window_length, self.hop_length) * self.window
        spectrum = torch.fft.rfft(frames, self.fft_size)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = torch.log(power @ self.filters + FLOOR)
        return (mel - self.centre) / self.spread, LogMelState(tail)


def faded(wave: Tensor, lengths: Tensor) -> Tensor:
    """Wave [B, N] with what follows a row's end so chosen that pre-emphasis turns it to silence.

    Zeros would not do: the first of them less 0.97 of the last sample is a click, which frames that reach past the end
    would hear.
    """
    past = torch.arange(wave.shape[1], device=wave.device) - (lengths[:, None] - 1)
    last = wave.gather(1, (lengths[:, None] - 1).clamp(min=0)) * (lengths[:, None] > 0)
    return torch.where(past > 0, last * PRE_EMPHASIS ** past.clamp(min=0).to(wave.dtype), wave)


def mel_filters(sample_rate: int, fft_size: int, num_mels: int) -> Tensor:
    """Triangular filters [fft_size / 2 + 1, num_mels], evenly spaced in mel from 0 Hz to half the sample rate."""
    frequencies, edges = _bands(sample_rate, fft_size, num_mels, _hertz_to_mel, _mel_to_hertz)
    return _triangles(frequencies, edges).float()


def slaney_filters(sample_rate: int, fft_size: int, num_mels: int) -> Tensor:
    """Filters as `mel_filters`, of Slaney's mel (linear up to 1 kHz, then logarithmic) and of equal area each."""
    frequencies, edges = _bands(sample_rate, fft_size, num_mels, _hertz_to_slaney, _slaney_to_hertz)
    return (_triangles(frequencies, edges) * 2 / (edges[2:] - edges[:-2])).float()


def _bands(
    sample_rate: int,
    fft_size: int,
    num_mels: int,
    to_mel: Callable[[Tensor], Tensor],
    to_hertz: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Frequencies of the spectrum, and the edges [num_mels + 2] of bands evenly spaced in a kind of mel, in float64."""
    frequencies = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    highest = to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64))
    return frequencies, to_hertz(torch.linspace(0, 1, num_mels + 2, dtype=torch.float64) * highest)


def _triangles(frequencies: Tensor, edges: Tensor) -> Tensor:
    """Filters [frequencies, bands], each rising from one edge to one at the next and falling to the one after."""
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - lower) / (centre - lower)
    falling = (upper - frequencies[:, None]) / (upper - centre)
    return torch.minimum(rising, falling).clamp(min=0)


def _hertz_to_mel(frequency: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + frequency / 700)


def _mel_to_hertz(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


_KNEE_HERTZ, _KNEE_MEL, _MEL_PER_LOG = 1000.0, 15.0, 27 / math.log(6.4)


def _hertz_to_slaney(frequency: Tensor) -> Tensor:
    above = _KNEE_MEL + _MEL_PER_LOG * torch.log((frequency / _KNEE_HERTZ).clamp(min=1))
    return torch.where(frequency < _KNEE_HERTZ, frequency * _KNEE_MEL / _KNEE_HERTZ, above)


def _slaney_to_hertz(mel: Tensor) -> Tensor:
    above = _KNEE_HERTZ * torch.exp((mel - _KNEE_MEL) / _MEL_PER_LOG)
    return torch.where(mel < _KNEE_MEL, mel * _KNEE_HERTZ / _KNEE_MEL, above)
