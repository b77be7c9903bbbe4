"""How close made sounds come to real ones, by what is learnt from the real ones alone; nothing is downloaded.

A clip's features are statistics of its log-mel spectrum. On them stand a linear classifier, the divergence of its
posteriors (KL), and two distances between sets of clips: Fréchet's (FAD; Kilgour et al. 2019, arXiv 1812.08466), which
depends on the number of clips, and the kernel distance (KID; Bińkowski et al. 2018, arXiv 1801.01401), which does not.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.nn.spectral import log_mel, magnitude, spectrum

RATE, MELS = 16_000, 32
EPSILON = 1e-6
STEPS, DECAY = 60, 3e-3
RESAMPLES, PERCENTS = 1000, (2.5, 97.5)


def features(wave: Tensor, sample_rate: int) -> Tensor:
    """Of a wave [1, N], all levels alike: mean, deviation and mean change of each band, [96]."""
    wave = audio.at_level(audio.resample(wave, sample_rate, RATE))
    bands = log_mel(magnitude(spectrum(wave, 512, 160)), RATE, MELS)[0]
    return torch.cat([bands.mean(1), bands.std(1), bands.diff(dim=1).abs().mean(1)])


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Between the normal distributions of two sets of features [N, F] and [M, F].

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½)
    """
    if min(len(first), len(second)) < 2:
        raise AudiogenError(f"a Fréchet distance needs 2 clips on each side; there are {len(first)} and {len(second)}")
    first, second = first.double(), second.double()
    covariances = [each.T.cov() for each in (first, second)]
    root = _square_root(covariances[0])
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    means = (first.mean(0) - second.mean(0)).square().sum()
    return float((means + sum(each.trace() for each in covariances) - 2 * cross).clamp(min=0))


def kernel_distance(made: Tensor, real: Tensor) -> tuple[float, tuple[float, float]]:
    """Squared maximum mean discrepancy of features [N, F] from [M, F], without bias; so it may be below zero.

    Features are standardised by the real ones; the kernel is (x·y / F + 1)³.

    Returns:
        The distance, and its 95 % interval by bootstrap over both sets; pairs of a clip with itself never count.
    """
    if min(len(made), len(real)) < 2:
        raise AudiogenError(f"a kernel distance needs 2 clips on each side; there are {len(made)} and {len(real)}")
    mean, deviation = real.mean(0), real.std(0) + EPSILON
    sets = [((each - mean) / deviation).double() for each in (made, real)]
    within = [_kernel(each, each).fill_diagonal_(0) for each in sets]
    across = _kernel(*sets)

    def distances(counts: Sequence[Tensor]) -> Tensor:
        """By how often each clip is taken, [R, N] and [R, M]."""
        inner = sum(_mean_of_pairs(kernel, count, count) for kernel, count in zip(within, counts, strict=True))
        return inner - 2 * _mean_of_pairs(across, *counts)

    generator = torch.Generator().manual_seed(0)
    resampled = distances([_resampled(len(each), generator) for each in sets])
    low, high = np.percentile(resampled.numpy(), PERCENTS)
    return float(distances([torch.ones(1, len(each), dtype=torch.double) for each in sets])), (float(low), float(high))


class Classifier:
    """Says which of some labels a clip has: multinomial logistic regression on standardised features.

    Args:
        examples: Features [N, F].
        labels: Their labels.
    """

    def __init__(self, examples: Tensor, labels: Sequence[str]) -> None:
        self.labels = sorted(set(labels))
        self._mean, self._deviation = examples.mean(0), examples.std(0) + EPSILON
        targets = torch.tensor([self.labels.index(label) for label in labels])
        self._weight = torch.zeros(len(self.labels), examples.shape[1], requires_grad=True)
        self._bias = torch.zeros(len(self.labels), requires_grad=True)
        optimizer = torch.optim.LBFGS([self._weight, self._bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.nll_loss(self._log_chances(examples), targets) + DECAY * self._weight.square().sum()
            value.backward()
            return value

        with torch.enable_grad():
            optimizer.step(loss)

    @torch.no_grad()
    def chances(self, clips: Tensor) -> Tensor:
        """Of each label [N, labels] for features [N, F]."""
        return self._log_chances(clips).exp()

    def accuracy(self, clips: Tensor, labels: Sequence[str]) -> float:
        """The share of clips whose likeliest label is theirs."""
        heard = [self.labels[number] for number in self.chances(clips).argmax(1).tolist()]
        return sum(one == other for one, other in zip(heard, labels, strict=True)) / len(heard)

    def _log_chances(self, clips: Tensor) -> Tensor:
        return F.linear((clips - self._mean) / self._deviation, self._weight, self._bias).log_softmax(1)


def divergence(real: Tensor, made: Tensor) -> float:
    """Mean Kullback-Leibler divergence in nats of the chances [N, labels] of made clips from those of real ones."""
    real, made = real + EPSILON, made + EPSILON
    return float((real * (real.log() - made.log())).sum(1).mean())


def _resampled(clips: int, generator: torch.Generator) -> Tensor:
    """How often each clip is taken in `RESAMPLES` draws of as many with replacement, [R, clips]."""
    drawn = torch.randint(clips, (RESAMPLES, clips), generator=generator)
    return torch.zeros(drawn.shape, dtype=torch.double).scatter_add(1, drawn, torch.ones(drawn.shape).double())


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_of_pairs(kernel: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Means [R] of a kernel [N, M] over the pairs of clips taken so often, [R, N] and [R, M].

    Pairs of a clip with itself, of the same set, have a kernel of 0 and are not counted.
    """
    pairs = first.sum(1) * second.sum(1)
    if first is second:
        pairs = pairs - first.square().sum(1)
    return ((first @ kernel) * second).sum(1) / pairs


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
