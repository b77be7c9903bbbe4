"""Tempo and key of music, measured, so that captions can be held against what is heard.

The tempo is that at which the onsets of a piece repeat best; the key is the one whose profile of pitch classes the
piece comes closest to (Krumhansl and Kessler 1982).
"""

import math

import torch
from torch import Tensor

from audiogen.nn.spectral import log_mel, magnitude, spectrum

ONSET_RATE = 100  # onset strengths a second
FOLLOWED = 3  # periods over which a tempo must repeat
TUNED = (60.0, 500.0)  # hertz between which pitches are looked for: above are partials, often a fifth off
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def tempo(wave: Tensor, sample_rate: int, slowest: float, fastest: float) -> float:
    """Beats a minute of a wave [1, N], looked for between two tempi, best less than an octave apart."""
    onsets = _onset_strength(wave, sample_rate)
    spectrum_ = torch.fft.rfft(onsets, 2 * len(onsets)).abs().square()
    repeats = torch.fft.irfft(spectrum_)[: len(onsets)] / torch.arange(len(onsets), 0, -1)
    tempi = torch.arange(slowest, fastest + 0.25, 0.25)
    strength = sum(_at(repeats, 60 * ONSET_RATE * count / tempi) / count for count in range(1, FOLLOWED + 1))
    return float(tempi[strength.argmax()])


def key(wave: Tensor, sample_rate: int) -> tuple[int, str]:
    """Tonic, 0 being C, and mode of a wave [1, N]."""
    chroma = pitch_classes(wave, sample_rate)
    scores = {
        (tonic, mode): float(torch.corrcoef(torch.stack([chroma, torch.tensor(profile).roll(tonic)]))[0, 1])
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    return max(scores, key=scores.get)


def pitch_classes(wave: Tensor, sample_rate: int) -> Tensor:
    """How much there is of each pitch class, C first, [12]: of the peaks in the spectrum of each moment."""
    n_fft = 1 << math.ceil(math.log2(0.3 * sample_rate))
    moments = magnitude(spectrum(wave, n_fft, n_fft // 4))[0]
    middle = moments[1:-1]
    peaks = middle * ((middle > moments[:-2]) & (middle >= moments[2:]))
    hertz = torch.arange(1, len(moments) - 1) * sample_rate / n_fft
    audible = (hertz >= TUNED[0]) & (hertz <= TUNED[1])
    classes = (12 * (hertz[audible] / 440).log2() + 69).round().long() % 12
    return torch.zeros(12).index_add(0, classes, peaks[audible].sum(1))


def _onset_strength(wave: Tensor, sample_rate: int) -> Tensor:
    """How much louder each hundredth of a second is than the one before, over all bands, its slow changes removed."""
    hop = sample_rate // ONSET_RATE
    bands = log_mel(magnitude(spectrum(wave, 4 * hop, hop)), sample_rate, 40)[0]
    rise = bands.diff(dim=-1).clamp(min=0).sum(0)
    return rise - torch.nn.functional.avg_pool1d(rise[None], 81, 1, 40, count_include_pad=False)[0]


def _at(values: Tensor, place: Tensor) -> Tensor:
    """Values between their neighbours, linearly; zero beyond the end."""
    low = place.floor().long()
    padded = torch.cat([values, values.new_zeros(int(low.max()) + 2)])
    return padded[low].lerp(padded[low + 1], place - low)
