"""How close made sounds come to real ones, by what is learnt from the real ones alone; nothing is downloaded.

A clip's features are statistics of its log-mel spectrum. On them stand a linear classifier, the divergence of its
posteriors (KL) and the Fréchet distance between two sets of clips (Kilgour et al. 2019, arXiv 1812.08466).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.nn.spectral import log_mel, magnitude, spectrum

RATE, MELS = 16_000, 32
EPSILON = 1e-6
STEPS, DECAY = 60, 3e-3


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


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
