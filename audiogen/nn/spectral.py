"""Spectra for losses and measures: mel filters and log-mel spectrograms."""

import math
from functools import cache

import torch
from torch import Tensor


@cache
def mel_filters(sample_rate: int, n_fft: int, num_mels: int, low: float = 0.0, high: float | None = None) -> Tensor:
    """Triangular filters on the Slaney mel scale, each of unit area, [num_mels, n_fft // 2 + 1]."""
    edges = _mel_to_hz(torch.linspace(_hz_to_mel(low), _hz_to_mel(high or sample_rate / 2), num_mels + 2))
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]


def spectrum(wave: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Short-time spectrum of wave [B, N] under a Hann window, complex [B, bins, T]."""
    window = torch.hann_window(n_fft, device=wave.device)
    return torch.stft(wave, n_fft, hop_length, window=window, pad_mode="constant", return_complex=True)


def magnitude(spectrum: Tensor) -> Tensor:
    """|spectrum|, with a gradient that stays finite at zero."""
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()


def log_mel(magnitudes: Tensor, sample_rate: int, num_mels: int) -> Tensor:
    """Natural logarithm of the mel magnitudes of [B, bins, T]."""
    filters = mel_filters(sample_rate, 2 * (magnitudes.shape[1] - 1), num_mels).to(magnitudes.device)
    return (filters @ magnitudes).clamp(min=1e-5).log()


def _hz_to_mel(hz: float) -> float:
    return hz / (200 / 3) if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _mel_to_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * (200 / 3), 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))
