"""Word and character error rates with their parts, and confidence intervals by resampling utterances."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audiogen.errors import AudiogenError
from audiogen.text.normalize import normalize

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class EditCounts:
    """One cheapest alignment of a hypothesis to its reference, in counts; `+` pools utterances."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """The edit distance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Symbols of the reference."""
        return self.hits + self.substitutions + self.deletions

    def __add__(self, other: "EditCounts") -> "EditCounts":
        return EditCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclass(frozen=True)
class Estimate:
    """A figure over a set with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ErrorRate(Estimate):
    """An error rate over a set of utterances: pooled errors by pooled reference length."""

    counts: EditCounts


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Word error rate over utterances, both sides as `spoken_words`.

    Raises:
        AudiogenError: If the numbers of utterances differ, or no reference holds a word.
    """
    return _error_rate([spoken_words(text) for text in references], [spoken_words(text) for text in hypotheses])


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Character error rate over utterances, both sides as `spoken_words` joined by single spaces, which count.

    Raises:
        AudiogenError: As `word_error_rate`.
    """
    joined = [[" ".join(spoken_words(text)) for text in side] for side in (references, hypotheses)]
    return _error_rate(*joined)


def spoken_words(text: str) -> list[str]:
    """The words of `text` as they are said: numbers and abbreviations spelt out, lower case, no punctuation.

    So that `"Mr. Lee paid $3"` and `"mister lee paid three dollars"` are the same.
    """
    return re.findall(r"[a-z']+", normalize(text))


def edit_counts(reference: Sequence, hypothesis: Sequence) -> EditCounts:
    """Hits, substitutions, deletions and insertions of a cheapest alignment (Levenshtein), substitutions preferred.

    Args:
        reference: Symbols that compare with `==`: words, or the characters of a string.
        hypothesis: Symbols likewise.
    """
    distances = _distances(reference, hypothesis)
    row, column = len(reference), len(hypothesis)
    hits = substitutions = deletions = insertions = 0
    while row or column:
        same = row > 0 and column > 0 and reference[row - 1] == hypothesis[column - 1]
        if row and column and distances[row, column] == distances[row - 1, column - 1] + (not same):
            row, column = row - 1, column - 1
            hits, substitutions = hits + same, substitutions + (not same)
        elif row and distances[row, column] == distances[row - 1, column] + 1:
            row, deletions = row - 1, deletions + 1
        else:
            column, insertions = column - 1, insertions + 1
    return EditCounts(hits, substitutions, deletions, insertions)


def mean(values: Iterable[float]) -> Estimate:
    """The mean of one figure per utterance."""
    values = list(values)
    return bootstrap(values, [1.0] * len(values))


def bootstrap(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Estimate:
    """sum(numerators) / sum(denominators) with a percentile bootstrap interval: utterances are drawn with replacement.

    Args:
        numerators: One figure per utterance, e.g. errors.
        denominators: One weight per utterance, e.g. reference words.
        seed: Of the draws.

    Raises:
        AudiogenError: If there is nothing to average.
    """
    numerators, denominators = np.asarray(numerators, float), np.asarray(denominators, float)
    if denominators.sum() <= 0:
        raise AudiogenError("nothing to score: no utterance has a reference")
    value = numerators.sum() / denominators.sum()
    draws = np.random.default_rng(seed).integers(len(numerators), size=(RESAMPLES, len(numerators)))
    totals = np.maximum(denominators[draws].sum(1), np.finfo(float).tiny)
    margin = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(numerators[draws].sum(1) / totals, [margin, 100 - margin])
    return Estimate(float(value), float(low), float(high))


def _error_rate(references: Sequence[Sequence], hypotheses: Sequence[Sequence]) -> ErrorRate:
    if len(references) != len(hypotheses):
        raise AudiogenError(f"{len(references)} references but {len(hypotheses)} hypotheses; each needs its own")
    counts = [edit_counts(*pair) for pair in zip(references, hypotheses, strict=True)]
    rate = bootstrap([count.errors for count in counts], [count.length for count in counts])
    return ErrorRate(rate.value, rate.low, rate.high, sum(counts, EditCounts()))


def _distances(reference: Sequence, hypothesis: Sequence) -> np.ndarray:
    """Edit distances of all prefixes, [len(reference) + 1, len(hypothesis) + 1]."""
    ids: dict = {}
    first = np.array([ids.setdefault(symbol, len(ids)) for symbol in reference], dtype=np.int64)
    second = np.array([ids.setdefault(symbol, len(ids)) for symbol in hypothesis], dtype=np.int64)
    columns = np.arange(len(second) + 1)
    rows = [columns]
    for symbol in first:
        above = rows[-1]
        entered = np.concatenate([[above[0] + 1], np.minimum(above[:-1] + (second != symbol), above[1:] + 1)])
        rows.append(np.minimum.accumulate(entered - columns) + columns)  # insertions: one more for each step right
    return np.stack(rows)
