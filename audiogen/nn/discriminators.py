"""Discriminators light enough for a CPU: over magnitude spectra at several resolutions, and over periods.

The spectral ones treat frequency as channels of a one-dimensional convolution (one matrix product a frame), the periodic
ones follow HiFi-GAN's multi-period discriminator (arXiv 2010.05646, §2.3) with few channels.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from audiogen.nn.spectral import magnitude, spectrum


class SpectralDiscriminator(nn.Module):
    """Scores every few frames of a compressed magnitude spectrum."""

    def __init__(self, n_fft: int, channels: int = 128) -> None:
        super().__init__()
        self.n_fft = n_fft
        bins = n_fft // 2 + 1
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv1d(bins, channels, 3, padding=1)),
                weight_norm(nn.Conv1d(channels, channels, 5, padding=2)),
                weight_norm(nn.Conv1d(channels, channels, 5, padding=4, dilation=2)),
            ]
        )
        self.score = weight_norm(nn.Conv1d(channels, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Wave [B, 1, N] to scores [B, 1, T] and the layers' features."""
        x = magnitude(spectrum(wave[:, 0], self.n_fft, self.n_fft // 2)).pow(0.3)
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.score(x), features


class PeriodDiscriminator(nn.Module):
    """Scores a wave folded to rows of `period` samples."""

    def __init__(self, period: int, channels: tuple[int, ...] = (8, 24, 48, 64)) -> None:
        super().__init__()
        self.period = period
        sizes = zip((1, *channels), channels, strict=False)
        self.layers = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0))) for a, b in sizes)
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Wave [B, 1, N] to scores and the layers' features."""
        x = nn.functional.pad(wave, (0, -wave.shape[-1] % self.period))
        x = x.view(len(wave), 1, -1, self.period)
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.score(x), features


class Discriminators(nn.Module):
    """All of them; forward gives one (scores, features) each."""

    def __init__(self, n_ffts: tuple[int, ...] = (512, 1024, 2048), periods: tuple[int, ...] = (2, 3, 5)) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            [*(SpectralDiscriminator(n) for n in n_ffts), *(PeriodDiscriminator(p) for p in periods)]
        )

    def forward(self, wave: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Judge wave [B, 1, N]."""
        return [member(wave) for member in self.members]


def discriminator_loss(real: list, fake: list) -> Tensor:
    """Hinge loss of the scores of real and of rebuilt audio, averaged over the members."""
    terms = [nn.functional.relu(1 - r).mean() + nn.functional.relu(1 + f).mean() for (r, _), (f, _) in zip(real, fake)]
    return torch.stack(terms).mean()


def adversarial_loss(fake: list) -> Tensor:
    """What the generator minimises: −score, averaged over the members."""
    return torch.stack([-scores.mean() for scores, _ in fake]).mean()


def feature_loss(real: list, fake: list) -> Tensor:
    """Mean relative L1 distance of the members' features (EnCodec, eq. 2)."""
    terms = []
    for (_, real_features), (_, fake_features) in zip(real, fake, strict=True):
        for r, f in zip(real_features, fake_features, strict=True):
            terms.append((r.detach() - f).abs().mean() / (r.detach().abs().mean() + 1e-4))
    return torch.stack(terms).mean()
