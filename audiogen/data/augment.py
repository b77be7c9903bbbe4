"""Changes to training sound that leave the words alone: speed, room, noise, level."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen import audio

_QUIET = 1e-5


@dataclass(frozen=True)
class Augment:
    """Random changes to a wave, all drawn from the generator that a call is given.

    Attributes:
        speeds: Factors of speed, one of which is drawn; pitch changes along.
        reverb_share: Share of the clips that are put into a room.
        reverb_seconds: Bounds of the time in which the room's echo fades by 60 dB.
        noise_share: Share of the clips that get noise.
        noise_db: Bounds of the level of speech over noise, decibels.
        gain_db: Bounds of the change of level, decibels.
    """

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    reverb_share: float = 0.25
    reverb_seconds: tuple[float, float] = (0.1, 0.5)
    noise_share: float = 0.5
    noise_db: tuple[float, float] = (8.0, 35.0)
    gain_db: tuple[float, float] = (-10.0, 6.0)

    def __call__(self, wave: Tensor, sample_rate: int, generator: torch.Generator) -> tuple[Tensor, float]:
        """Change `wave` [N].

        Returns:
            The new wave [N / speed] and its speed, by which times in it are to be divided.
        """
        draws = torch.rand(7, generator=generator).tolist()
        speed = self.speeds[int(draws[0] * len(self.speeds))]
        wave = change_speed(wave, sample_rate, speed)
        if draws[1] < self.reverb_share:
            wave = reverberate(wave, sample_rate, _between(self.reverb_seconds, draws[2]), generator)
        if draws[3] < self.noise_share:
            wave = add_noise(wave, _between(self.noise_db, draws[4]), 2 * draws[5], generator)
        wave = wave * 10 ** (_between(self.gain_db, draws[6]) / 20)
        return wave / wave.abs().max().clamp(min=1.0), speed


def change_speed(wave: Tensor, sample_rate: int, speed: float) -> Tensor:
    """`wave` [N] played `speed` times as fast, as a tape is."""
    return wave if speed == 1 else audio.resample(wave[None], round(sample_rate * speed), sample_rate)[0]


def reverberate(wave: Tensor, sample_rate: int, seconds: float, generator: torch.Generator) -> Tensor:
    """`wave` [N] in a room whose echo, noise that decays, fades by 60 dB within `seconds`; the level stays."""
    size = max(round(seconds * sample_rate), 1)
    decay = 10 ** (-3 * torch.arange(size) / size)
    echo = torch.randn(size, generator=generator) * decay
    echo *= 0.5 / echo.norm().clamp(min=_QUIET)
    echo[0] = 1.0
    length = _power_of_two(len(wave) + size - 1)
    wet = torch.fft.irfft(torch.fft.rfft(wave, length) * torch.fft.rfft(echo, length), length)[: len(wave)]
    return wet * (_level(wave) / _level(wet))


def add_noise(wave: Tensor, snr_db: float, colour: float, generator: torch.Generator) -> Tensor:
    """`wave` [N] with noise `snr_db` below it, of power `frequency ** -colour`: 0 is white, 1 pink."""
    length = _power_of_two(len(wave))
    spectrum = torch.fft.rfft(torch.randn(length, generator=generator))
    slope = torch.arange(len(spectrum)).clamp(min=max(len(spectrum) // 100, 1)) ** (-colour / 2)
    noise = torch.fft.irfft(spectrum * slope, length)[: len(wave)]
    return wave + noise * (_level(wave) / _level(noise) * 10 ** (-snr_db / 20))


def _power_of_two(length: int) -> int:
    """The next power of two: Fourier transforms of other lengths can be slow."""
    return 1 << (length - 1).bit_length()


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _level(wave: Tensor) -> float:
    return max(float(wave.norm()) / math.sqrt(len(wave)), _QUIET)
