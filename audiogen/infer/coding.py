"""Entropy coding of codes: a range coder, and how likely each code is given those before. Exact on every machine.

The codes of a residual quantiser are almost equally frequent, so counting them saves nothing. But sound changes slowly,
and a codebook's vectors say what a code means: a code is the likelier the nearer its vector is to what the frame before
would leave for this codebook. With r the sum of that frame's vectors minus those already chosen in this frame,

    P(c) ∝ exp(−β ‖v_c − r‖² / σ²),

where σ² is the codebook's own variance and β one of eight values, chosen for each block and codebook.

Both sides must find the very same P, whatever processor and library they run on. So vectors are rounded to whole
numbers so small that every product and sum of a float32 matrix product is exact, and all that remains are single
operations that IEEE 754 defines to the last bit.
"""

import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SHARPNESS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0)  # β
TRIED_EVERY = 8  # β is chosen on every so many-th frame
FINE = 2**15 - 1  # largest entry of a vector where frames are summed
COARSE = 127  # largest entry of a vector where distances are taken
EXACT = 2**24  # whole numbers up to here are exact in float32
STEPS = 32  # of the table for every halving of the likelihood
LEAST = 2  # frequency of the unlikeliest code; the likeliest has 2¹⁶
FREQUENCIES = np.array([max(LEAST, round(2 ** (16 - step / STEPS))) for step in range(16 * STEPS)])


class RangeEncoder:
    """Writes symbols as parts of an interval (Martin 1979). Its lower end is one long number: no carries."""

    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, 1 << 48, 6

    def encode(self, start: int, size: int, total: int) -> None:
        """Write the symbol that owns `size` of `total` shares, after the `start` shares of those before it."""
        share = self._range // total
        self._low += share * start
        self._range = share * size
        while self._range < 1 << 32:
            self._low, self._range, self._bytes = self._low << 8, self._range << 8, self._bytes + 1

    def finish(self) -> bytes:
        """The shortest bytes that lie in the interval; a reader goes on with zeros."""
        for shift in range(48, -1, -8):
            value = (self._low + self._range - 1) >> shift << shift
            if value >= self._low:
                return value.to_bytes(self._bytes, "big").rstrip(b"\0")
        raise AssertionError("an interval of at least 2³² holds a number")


class RangeDecoder:
    """Reads what `RangeEncoder` wrote. Any bytes at all are some symbols: reading never fails."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next, self._range = data, 6, 1 << 48
        self._offset = int.from_bytes(data[:6].ljust(6, b"\0"), "big")

    def decode(self, ends: Ints) -> int:
        """The next symbol, where symbol i owns the shares from `ends[i − 1]` to `ends[i]`."""
        total = int(ends[-1])
        share = self._range // total
        symbol = int(ends.searchsorted(min(self._offset // share, total - 1), side="right"))
        start = int(ends[symbol - 1]) if symbol else 0
        self._offset -= share * start
        self._range = share * (int(ends[symbol]) - start)
        while self._range < 1 << 32:
            byte = self._data[self._next] if self._next < len(self._data) else 0
            self._offset, self._range, self._next = self._offset << 8 | byte, self._range << 8, self._next + 1
        return symbol


class CodesCoder:
    """Codes of one stream to bytes or back, block by block; a block is read after those before it.

    Args:
        codebooks: How many codebooks the stream keeps.
        codebook_size: Codes in each.
        vectors: Vectors [K, codebook_size, D] whose sum over codebooks a frame stands for, K ≥ `codebooks`. Without
            them all codes are equally likely.
    """

    def __init__(self, codebooks: int, codebook_size: int, vectors: Floats | None = None) -> None:
        self._size = codebook_size
        kept = np.zeros((codebooks, codebook_size, 0)) if vectors is None else vectors[:codebooks].astype(np.float64)
        peaks = np.maximum(np.abs(kept).max((1, 2), initial=0), 1e-9)
        fine_scale = FINE / peaks.max()
        self._fine = np.rint(kept * fine_scale)
        self._books = [_Codebook(v, peak, fine_scale) for v, peak in zip(kept, peaks, strict=True)]
        self._before = np.zeros(kept.shape[-1])  # the sum of the last frame's vectors

    def encode(self, codes: Ints) -> bytes:
        """The next codes [K, T] as bytes."""
        chosen = np.stack([fine[row] for fine, row in zip(self._fine, codes, strict=True)])  # [K, T, D]
        sums = chosen.sum(0)
        residual = np.concatenate([self._before[None], sums[:-1]])
        shares, picks = [], []
        for book, row, vectors in zip(self._books, codes, chosen, strict=True):
            distances = book.distances(residual)
            picks.append(book.best_sharpness(distances[::TRIED_EVERY], row[::TRIED_EVERY]))
            shares.append(_shares(book.frequencies(distances, picks[-1]), row))
            residual = residual - vectors
        self._before = sums[-1]
        coder = RangeEncoder()
        for pick in picks:
            coder.encode(pick, 1, len(SHARPNESS))
        for frame in np.stack(shares, axis=1).tolist():
            for start, size, total in frame:
                coder.encode(start, size, total)
        return coder.finish()

    def decode(self, data: bytes, frames: int) -> Ints:
        """The codes [K, `frames`] that `encode` wrote; of bytes it did not write, any codes."""
        coder, codes = RangeDecoder(data), np.empty((len(self._books), frames), dtype=np.int64)
        even = np.arange(1, len(SHARPNESS) + 1)
        picks = [coder.decode(even) for _ in self._books]
        for t in range(frames):
            residual = self._before
            for k, (book, pick) in enumerate(zip(self._books, picks, strict=True)):
                codes[k, t] = coder.decode(book.frequencies(book.distances(residual[None]), pick)[0].cumsum())
                residual = residual - self._fine[k, codes[k, t]]
            self._before = self._before - residual
        return codes


class _Codebook:
    """How likely the codes of one codebook are: vectors [S, D], their largest entry, and the scale of residuals."""

    def __init__(self, vectors: NDArray[np.float64], peak: float, fine_scale: float) -> None:
        size, dim = vectors.shape
        coarse = np.rint(vectors * (COARSE / peak)).astype(np.int64)
        norms = (coarse**2).sum(1)
        # What a residual's entries may reach, so that ‖v‖² − 2 v·r is exact.
        self._limit = (EXACT - int(norms.max())) // (2 * COARSE * max(1, dim))
        self._ratio = COARSE / peak / fine_scale
        self._doubled = np.ascontiguousarray(-2 * coarse.T, dtype=np.float32)
        self._norms = norms.astype(np.float32)
        # size² σ² in whole numbers; a codebook of one point has none.
        spread = max(1, int(size * norms.sum() - (coarse.sum(0) ** 2).sum()))
        self._steps = [np.float32(sharpness * STEPS / math.log(2) * size * size / spread) for sharpness in SHARPNESS]

    def distances(self, residual: NDArray[np.float64]) -> Floats:
        """Squared distances [T, S] of the vectors from residuals [T, D], less the smallest of each frame."""
        scaled = np.maximum(np.minimum(np.rint(residual * self._ratio), self._limit), -self._limit)
        squared = scaled.astype(np.float32) @ self._doubled
        squared += self._norms
        squared -= squared.min(1, keepdims=True)
        return squared

    def frequencies(self, distances: Floats, pick: int) -> Ints:
        """Frequencies [T, S] of the codes, by the `pick`-th sharpness."""
        steps = np.minimum(distances * self._steps[pick], len(FREQUENCIES) - 1)
        return FREQUENCIES[steps.astype(np.intp)]

    def best_sharpness(self, distances: Floats, codes: Ints) -> int:
        """The index of the sharpness that makes `codes` [T] likeliest."""
        costs = []
        for pick in range(len(SHARPNESS)):
            frequencies = self.frequencies(distances, pick)
            costs.append(np.log2(frequencies.sum(1) / frequencies[np.arange(len(codes)), codes]).sum())
        return int(np.argmin(costs))


def _shares(frequencies: Ints, codes: Ints) -> Ints:
    """Start, size and total [T, 3] of the shares of `codes` [T] among frequencies [T, S]."""
    ends, rows = frequencies.cumsum(1), np.arange(len(codes))
    sizes = frequencies[rows, codes]
    return np.stack([ends[rows, codes] - sizes, sizes, ends[:, -1]], axis=1)
