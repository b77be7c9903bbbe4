"""How like recordings generated clips are, by what a classifier of recordings makes of them.

Features are its last layer's input, chances its softmax. The definitions are those by which digits of SC09 are
compared (Kong et al. 2021, §5; Goel et al. 2022, appendix C.3), with a classifier of our own: figures compare only
within one table.
"""

import torch
from torch import Tensor

from audiogen.errors import AudiogenError

PAIRS = 10_000


def frechet_distance(ours: Tensor, theirs: Tensor) -> float:
    """The Fréchet distance (FID; Heusel et al. 2017) of Gaussians fitted to features [n, D] and [m, D]; 0 is best."""
    _check(ours, theirs)
    ours, theirs = ours.double(), theirs.double()
    root = _root(theirs.T.cov())
    # tr (Σ₁ Σ₂)^½ through a symmetric matrix of the same eigenvalues
    shared = torch.linalg.eigvalsh(root @ ours.T.cov() @ root).clamp(min=0).sqrt().sum()
    apart = (ours.mean(0) - theirs.mean(0)).square().sum()
    return float((apart + ours.T.cov().trace() + theirs.T.cov().trace() - 2 * shared).clamp(min=0))


def inception_score(chances: Tensor) -> float:
    """IS (Salimans et al. 2016): up to the number of classes if each clip is surely of one and all are as frequent.

    Args:
        chances: [n, C], n ≥ 2; the clips of one half are compared with the mean of the other.
    """
    _check(chances)
    chances = chances.double()
    halves = chances[::2], chances[1::2]
    pairs = ((halves[0], halves[1]), (halves[1], halves[0]))
    return float(torch.cat([_divergence(own, other.mean(0)) for own, other in pairs]).mean().exp())


def modified_inception_score(chances: Tensor, generator: torch.Generator | None = None) -> float:
    """mIS (Gurumurthy et al. 2017): exp of the mean divergence of random pairs of clips; also of variety in a class."""
    _check(chances)
    first, second = torch.randint(len(chances), (2, PAIRS), generator=generator)
    return float(_divergence(chances.double()[first], chances.double()[second]).mean().exp())


def am_score(chances: Tensor, recorded: Tensor) -> float:
    """AM (Zhou et al. 2018): divergence of the classes from those recorded, plus the mean doubt; 0 is best."""
    _check(chances, recorded)
    chances, recorded = chances.double(), recorded.double()
    return float(_divergence(recorded.mean(0), chances.mean(0)) - (chances * _log(chances)).sum(-1).mean())


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of distributions [..., C] in nats."""
    return (p * (_log(p) - _log(q))).sum(-1)


def _log(p: Tensor) -> Tensor:
    """The logarithm, finite for what rounding took to 0."""
    return p.clamp(min=1e-12).log()


def _root(matrix: Tensor) -> Tensor:
    """The square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _check(*sets: Tensor) -> None:
    for each in sets:
        if len(each) < 2:
            raise AudiogenError(f"{len(each)} clip(s) are too few to be compared; at least 2 are needed")
