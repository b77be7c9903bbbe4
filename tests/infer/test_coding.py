"""Entropy coding: what is read is what was written, in fewer bytes, with frequencies that are exact everywhere."""

import numpy as np
import pytest

from audiogen.infer.coding import FREQUENCIES, SHARPNESS, CodesCoder, RangeDecoder, RangeEncoder


def slow_codes(frames: int, vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Codes [K, T] of a residual quantiser for a signal that drifts."""
    rng = np.random.default_rng(seed)
    signal = np.cumsum(rng.normal(0, 0.2, (frames, vectors.shape[-1])), axis=0)
    signal /= 1 + np.abs(signal).max() / 3
    codes = []
    for book in vectors:
        codes.append(((signal[:, None] - book) ** 2).sum(-1).argmin(1))
        signal = signal - book[codes[-1]]
    return np.stack(codes)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.normal(size=(3, 64, 8)) * np.array([2, 0.8, 0.4])[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_a_range_coder_gives_back_any_symbols_of_any_shares(seed: int):
    rng = np.random.default_rng(seed)
    tables = [rng.integers(1, 2 ** rng.integers(1, 26), rng.integers(1, 20)).cumsum() for _ in range(200)]
    symbols = [int(rng.integers(len(ends))) for ends in tables]
    encoder = RangeEncoder()
    for ends, symbol in zip(tables, symbols, strict=True):
        start = int(ends[symbol - 1]) if symbol else 0
        encoder.encode(start, int(ends[symbol]) - start, int(ends[-1]))
    decoder = RangeDecoder(encoder.finish())
    assert [decoder.decode(ends) for ends in tables] == symbols


def test_a_range_coder_comes_close_to_the_entropy():
    rng = np.random.default_rng(0)
    sizes = np.array([60_000, 5_000, 500, 36])
    symbols = rng.choice(4, 5_000, p=sizes / sizes.sum())
    ends, encoder = sizes.cumsum(), RangeEncoder()
    for symbol in symbols:
        encoder.encode(int(ends[symbol] - sizes[symbol]), int(sizes[symbol]), int(ends[-1]))
    ideal = -np.log2(sizes[symbols] / sizes.sum()).sum() / 8
    assert ideal < len(encoder.finish()) < ideal + 3


@pytest.mark.parametrize("blocks", [[100], [1] * 100, [7, 1, 60, 32]])
def test_codes_come_back_however_they_are_blocked(blocks: list[int], vectors: np.ndarray):
    codes = slow_codes(100, vectors)
    encoder, decoder = CodesCoder(3, 64, vectors), CodesCoder(3, 64, vectors)
    parts = np.split(codes, np.cumsum(blocks)[:-1], axis=1)
    read = [decoder.decode(encoder.encode(part), part.shape[1]) for part in parts]
    np.testing.assert_array_equal(np.concatenate(read, axis=1), codes)


def test_the_first_codebooks_alone_come_back(vectors: np.ndarray):
    codes = slow_codes(50, vectors)[:2]
    data = CodesCoder(2, 64, vectors).encode(codes)
    np.testing.assert_array_equal(CodesCoder(2, 64, vectors).decode(data, 50), codes)


def test_sound_that_changes_slowly_takes_less_than_flat_codes(vectors: np.ndarray):
    codes = slow_codes(400, vectors)
    flat = 400 * 3 * 6 / 8
    assert len(CodesCoder(3, 64, vectors).encode(codes)) < 0.8 * flat


def test_codes_that_nothing_foretells_take_hardly_more_than_flat_ones(vectors: np.ndarray):
    codes = np.random.default_rng(0).integers(0, 64, (3, 400))
    assert len(CodesCoder(3, 64, vectors).encode(codes)) < 1.05 * 400 * 3 * 6 / 8
    assert len(CodesCoder(3, 64).encode(codes)) <= 400 * 3 * 6 / 8 + 8


def test_without_vectors_codes_come_back():
    codes = np.random.default_rng(0).integers(0, 300, (2, 50))
    np.testing.assert_array_equal(CodesCoder(2, 300).decode(CodesCoder(2, 300).encode(codes), 50), codes)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_vectors_of_any_size_do(scale: float, vectors: np.ndarray):
    codes = slow_codes(30, vectors)
    scaled = (vectors * scale).astype(np.float32)
    np.testing.assert_array_equal(CodesCoder(3, 64, scaled).decode(CodesCoder(3, 64, scaled).encode(codes), 30), codes)


def test_points_in_one_place_do():
    codes = np.random.default_rng(0).integers(0, 5, (1, 30))
    one = np.ones((1, 5, 4), dtype=np.float32)
    np.testing.assert_array_equal(CodesCoder(1, 5, one).decode(CodesCoder(1, 5, one).encode(codes), 30), codes)


def test_distances_are_exact_whole_numbers(vectors: np.ndarray):
    """Two ways to add the same products: float32 in any order, and integers."""
    coder = CodesCoder(3, 64, vectors)
    book = coder._books[0]
    residual = np.random.default_rng(0).normal(0, 1e6, (50, 8))  # far beyond the limit that keeps products exact
    scaled = np.rint(residual * book._ratio).clip(-book._limit, book._limit).astype(np.int64)
    exact = book._norms.astype(np.int64) + scaled @ book._doubled.astype(np.int64)
    np.testing.assert_array_equal(book.distances(residual), exact - exact.min(1, keepdims=True))
    shuffled = np.random.default_rng(1).permutation(8)
    in_other_order = scaled[:, shuffled].astype(np.float32) @ book._doubled[shuffled]
    np.testing.assert_array_equal(in_other_order, scaled.astype(np.float32) @ book._doubled)


def test_the_table_of_frequencies_does_not_hang_on_the_last_bit_of_a_power():
    exact = 2 ** (16 - np.arange(len(FREQUENCIES)) / 32)
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    assert FREQUENCIES.max() == 2**16 and FREQUENCIES.min() >= 1 and len(SHARPNESS) == 8


def test_any_bytes_are_some_codes(vectors: np.ndarray):
    rng = np.random.default_rng(0)
    for length in [0, 1, 5, 100]:
        codes = CodesCoder(3, 64, vectors).decode(rng.bytes(length), 40)
        assert codes.shape == (3, 40) and codes.min() >= 0 and codes.max() < 64
