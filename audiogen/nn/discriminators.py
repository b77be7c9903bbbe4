"""Discriminators of spectrograms and of waves, light enough for a CPU.

Of a spectrogram, one looks at patches as a picture, the others treat frequency as channels of a convolution over
time, so that they see the whole spectrum of every frame at once. Of a wave, some look at patches of its spectra of
several window lengths, the others at its samples folded at several periods (HiFi-GAN, arXiv 2010.05646, §2.3).
Losses: hinge, and relative feature matching (EnCodec, arXiv 2210.13438, eqs. 1–2).
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from audiogen.nn.spectral import magnitude, spectrum

Judgement = tuple[Tensor, list[Tensor]]


class PatchDiscriminator(nn.Module):
    """Scores patches of a spectrogram [B, T, bins]. Strides keep it about as dear as the codec it judges."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 32, 32)) -> None:
        super().__init__()
        sizes = zip((1, *channels), channels, ((2, 2), (2, 2), (2, 2), (1, 2)), strict=False)
        self.layers = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (3, 5), stride, (1, 2))) for a, b, stride in sizes)
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, spectrogram: Tensor) -> Judgement:
        """Scores and the layers' features."""
        return _through(self.layers, self.score, spectrogram[:, None])


class FrameDiscriminator(nn.Module):
    """Scores a few frames of the bins `first` to `last` of a spectrogram [B, T, bins]."""

    def __init__(self, first: int, last: int, channels: int = 128) -> None:
        super().__init__()
        self.band = slice(first, last)
        sizes = ((last - first, 3, 1), (channels, 5, 1), (channels, 5, 2))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(inputs, channels, kernel, padding=kernel // 2 * dilation, dilation=dilation))
            for inputs, kernel, dilation in sizes
        )
        self.score = weight_norm(nn.Conv1d(channels, 1, 3, padding=1))

    def forward(self, spectrogram: Tensor) -> Judgement:
        """Scores and the layers' features."""
        return _through(self.layers, self.score, spectrogram[..., self.band].transpose(1, 2))


class Discriminators(nn.Module):
    """One of patches, one of the lower third of the spectrum, one of all of it."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        members = [PatchDiscriminator(), FrameDiscriminator(0, bins // 3), FrameDiscriminator(0, bins)]
        self.members = nn.ModuleList(members)

    def forward(self, spectrogram: Tensor) -> list[Judgement]:
        """Judge a spectrogram [B, T, bins]."""
        return [member(spectrogram) for member in self.members]


class PeriodDiscriminator(nn.Module):
    """Scores a wave [B, N] folded into rows of `period` samples, so that each column is every so many-th sample."""

    def __init__(self, period: int, channels: tuple[int, ...] = (8, 16, 32, 32)) -> None:
        super().__init__()
        self.period = period
        sizes = zip((1, *channels), channels, strict=False)
        self.layers = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in sizes)
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Tensor) -> Judgement:
        """Scores and the layers' features."""
        wave = nn.functional.pad(wave, (0, -wave.shape[-1] % self.period))
        return _through(self.layers, self.score, wave.unflatten(-1, (-1, self.period))[:, None])


class WaveDiscriminators(nn.Module):
    """Patches of spectra of several window lengths, and several periods."""

    def __init__(
        self, windows: tuple[int, ...] = (512, 1024, 2048), periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    ) -> None:
        super().__init__()
        self.windows = windows
        self.patches = nn.ModuleList(PatchDiscriminator() for _ in windows)
        self.periods = nn.ModuleList(PeriodDiscriminator(period) for period in periods)

    def forward(self, wave: Tensor) -> list[Judgement]:
        """Judge a wave [B, N]."""
        spectra = (magnitude(spectrum(wave, n_fft, n_fft // 4)).transpose(1, 2) for n_fft in self.windows)
        judged = [patches((50 * x).log1p()) for patches, x in zip(self.patches, spectra, strict=True)]
        return judged + [period(wave) for period in self.periods]


def discriminator_loss(real: list[Judgement], fake: list[Judgement]) -> Tensor:
    """Hinge loss of the scores of true and of rebuilt spectrograms, averaged over the members."""
    pairs = zip(real, fake, strict=True)
    terms = [nn.functional.relu(1 - r).mean() + nn.functional.relu(1 + f).mean() for (r, _), (f, _) in pairs]
    return torch.stack(terms).mean()


def adversarial_loss(fake: list[Judgement]) -> Tensor:
    """What the generator minimises: −score, averaged over the members."""
    return torch.stack([-scores.mean() for scores, _ in fake]).mean()


def feature_loss(real: list[Judgement], fake: list[Judgement]) -> Tensor:
    """Mean relative L1 distance of the members' features."""
    terms = []
    for (_, real_features), (_, fake_features) in zip(real, fake, strict=True):
        for r, f in zip(real_features, fake_features, strict=True):
            terms.append((r.detach() - f).abs().mean() / (r.detach().abs().mean() + 1e-4))
    return torch.stack(terms).mean()


def _through(layers: nn.ModuleList, score: nn.Module, x: Tensor) -> Judgement:
    features = []
    for layer in layers:
        x = nn.functional.leaky_relu(layer(x), 0.1)
        features.append(x)
    return score(x), features
