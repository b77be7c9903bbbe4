"""Residual vector quantisation, and how its codebooks are learned: EMA, k-means start, restart of dead codes.

Follows EnCodec §3.2 (arXiv 2210.13438), with one straight-through step at the end, so that every layer's commitment
reaches the encoder. `merge` is VALL-E R's codec-merging (arXiv 2406.07855, §3.1): the first layer's input is averaged
over groups of frames, and the next residual is taken from the un-merged input, so deeper layers absorb what merging
lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audiogen.nn.linear import row_stable_linear

CACHED_ROWS = 512  # so many distances to a thousand codes, 2 MB, lie in cache


@dataclass
class Quantized:
    """What training needs of a quantised batch.

    Attributes:
        values: Quantised vectors [B, T, D] with a straight-through gradient.
        commitment: Mean squared distance of each layer's input from its code.
        codes: [B, k, T].
        targets: What each layer quantised, detached, k times [B, T, D].
    """

    values: Tensor
    commitment: Tensor
    codes: Tensor
    targets: list[Tensor]


class ResidualVectorQuantizer(nn.Module):
    """`num_codebooks` codebooks of `codebook_size` vectors, each of what the ones before left over."""

    def __init__(self, num_codebooks: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(num_codebooks, codebook_size, dim))
        self._norms: tuple[Tensor, int, Tensor] | None = None

    @property
    def half_norms(self) -> Tensor:
        """‖v‖² / 2 of every vector, [K, codebook_size]; kept until the vectors change."""
        vectors = self.vectors
        if vectors.is_inference():  # such tensors do not tell whether they changed
            return 0.5 * vectors.square().sum(-1)
        if self._norms is None or self._norms[0] is not vectors or self._norms[1] != vectors._version:
            self._norms = vectors, vectors._version, 0.5 * vectors.square().sum(-1)
        return self._norms[2]

    def encode(self, x: Tensor, merge: int = 1, used: int | None = None) -> Tensor:
        """x [B, T, D] to codes [B, K, T]; with `merge` > 1 the first codebook is constant over groups of frames.

        Only the first `used` codebooks are searched, all if None.
        """
        used = len(self.vectors) if used is None else used
        return torch.stack([index for _, index, _ in self._layers(x, used, merge)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, k, T] of the first k ≤ K codebooks to vectors [B, T, D]."""
        return sum(vectors[index] for vectors, index in zip(self.vectors, codes.unbind(1), strict=False))

    def forward(self, x: Tensor, used: int, merge: int = 1) -> Quantized:
        """Quantise x [B, T, D] with the first `used` codebooks."""
        codes, targets, distances, residual = [], [], [], x
        for target, index, chosen in self._layers(x, used, merge):
            distances.append((target - chosen).square().mean())
            residual = residual - chosen
            codes.append(index)
            targets.append(target.detach())
        values = x - residual.detach()
        return Quantized(values, torch.stack(distances).mean(), torch.stack(codes, dim=1), targets)

    @torch.no_grad()
    def fit(self, x: Tensor, merge: int = 1, iterations: int = 20) -> None:
        """Choose all vectors anew by k-means on x [B, T, D], one codebook after the other.

        The first is fitted to means over `merge` frames, which is what it codes when frames are merged; the others to
        what it leaves of merged frames in one half of the rows and of single ones in the other.
        """
        k_means(self.vectors[0], x.unflatten(1, (-1, merge)).mean(2).flatten(0, 1), iterations)
        half = len(x) // 2
        parts = [merged(x[:half], merge), x[half:]]
        residual = (x - torch.cat([self.vectors[0][nearest(self.vectors[0], part)] for part in parts])).flatten(0, 1)
        for vectors in self.vectors[1:]:
            k_means(vectors, residual, iterations)
            residual = residual - vectors[nearest(vectors, residual)]

    def _layers(self, x: Tensor, used: int, merge: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What each layer quantises [B, T, D], the codes [B, T] nearest to it, and their vectors."""
        for layer, (vectors, half_norms) in enumerate(zip(self.vectors[:used], self.half_norms, strict=False)):
            target = merged(x, merge) if layer == 0 and merge > 1 else x
            index = nearest(vectors, target.detach(), half_norms)
            chosen = vectors[index]
            yield target, index, chosen
            x = x - chosen


class CodebookLearner(nn.Module):
    """Moves a quantiser's vectors by the exponential average of what they are nearest to; no gradient.

    For the first `start_after` batches it only gathers vectors; then k-means on them starts every codebook. A code
    whose average count falls below `dead_usage` is replaced by an input vector. Its buffers are training state, not
    part of a codec's bundle.
    """

    def __init__(
        self, quantizer: ResidualVectorQuantizer, start_after: int = 200, decay: float = 0.99, dead_usage: float = 0.05
    ) -> None:
        super().__init__()
        self.start_after, self.decay, self.dead_usage = start_after, decay, dead_usage
        self.register_buffer("usage", torch.ones(quantizer.vectors.shape[:2]))
        self.register_buffer("sums", quantizer.vectors.clone())
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.long))
        self.gathered: list[Tensor] = []

    @property
    def started(self) -> bool:
        """Whether the codebooks are in use."""
        return int(self.batches_seen) >= self.start_after

    @torch.no_grad()
    def gather(self, quantizer: ResidualVectorQuantizer, x: Tensor) -> None:
        """Count a batch of unquantised x [B, T, D]; at `start_after` start the codebooks from the last twenty."""
        self.batches_seen += 1
        self.gathered = [*self.gathered[-19:], x.detach().flatten(0, 1)]
        if not self.started:
            return
        residual = torch.cat(self.gathered)
        self.gathered = []
        for layer, vectors in enumerate(quantizer.vectors):
            counts = k_means(vectors, residual)
            self.usage[layer].copy_(counts.clamp(min=1) / 20)
            self.sums[layer].copy_(vectors * self.usage[layer, :, None])
            residual = residual - vectors[nearest(vectors, residual)]

    @torch.no_grad()
    def update(self, quantizer: ResidualVectorQuantizer, quantized: Quantized) -> None:
        """One step of the average from what a batch quantised."""
        for layer, (target, index) in enumerate(zip(quantized.targets, quantized.codes.unbind(1), strict=True)):
            x = target.flatten(0, 1)
            counts, sums = _assigned(x, index.flatten(), quantizer.vectors.shape[1])
            usage = self.usage[layer].lerp_(counts, 1 - self.decay)
            self.sums[layer].lerp_(sums, 1 - self.decay)
            dead = usage < self.dead_usage
            self.sums[layer, dead] = x[torch.randint(len(x), (int(dead.sum()),))]
            usage[dead] = 1.0
            quantizer.vectors[layer].copy_(self.sums[layer] / usage[:, None])


def nearest(vectors: Tensor, x: Tensor, half_norms: Tensor | None = None) -> Tensor:
    """Index [...] of the row of `vectors` [S, D] closest to each x [..., D]; finds ‖v‖² / 2 [S] if not given."""
    # ‖x − v‖² = ‖x‖² − 2 (x·v − ‖v‖² / 2); the first term does not decide.
    if half_norms is None:
        half_norms = 0.5 * vectors.square().sum(-1)
    rows = x.reshape(-1, x.shape[-1])
    if rows.shape[0] <= CACHED_ROWS:
        return _largest(row_stable_linear(rows, vectors, -half_norms)).view(x.shape[:-1])
    parts = rows.split(CACHED_ROWS)
    return torch.cat([_largest(row_stable_linear(part, vectors, -half_norms)) for part in parts]).view(x.shape[:-1])


def k_means(vectors: Tensor, x: Tensor, iterations: int = 10) -> Tensor:
    """Lloyd's algorithm on x [M, D] into `vectors` [S, D], begun at random rows of x. Returns the last counts [S]."""
    vectors.copy_(x[torch.randint(len(x), (len(vectors),))])
    for _ in range(iterations):
        counts, sums = _assigned(x, nearest(vectors, x), len(vectors))
        vectors.copy_(torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], vectors))
    return counts


def merged(x: Tensor, merge: int) -> Tensor:
    """x [B, T, D] averaged over groups of `merge` frames and repeated to T; T must be a multiple of `merge`."""
    batch, frames, dim = x.shape
    mean = x.reshape(batch, frames // merge, merge, dim).mean(2, keepdim=True)
    return mean.expand(-1, -1, merge, -1).reshape(batch, frames, dim)


def _largest(scores: Tensor) -> Tensor:
    """Index [M] of the largest of each row of scores [M, S]; on a CPU by numpy, whose search is ten times as fast."""
    return torch.from_numpy(scores.numpy().argmax(-1)) if scores.device.type == "cpu" else scores.argmax(-1)


def _assigned(x: Tensor, index: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many rows of x [M, D] each of `size` codes was given, and their sum."""
    counts = torch.bincount(index, minlength=size).to(x.dtype)
    return counts, x.new_zeros(size, x.shape[1]).index_add_(0, index, x)
