"""CTC decoding as the frames arrive: the best label of each frame, repeats collapsed; and labels written as words.

Log-probabilities [T, V + 1], blank last, come in parts of any length and give the same labels as in one part. A label
carries the frames it was heard in, so words have times and confidences. Labels are characters, or pieces of words.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from audiogen.text.pieces import MARKS, begins_word, spell


class Label(NamedTuple):
    """One decoded label, the frames `start` … `end` − 1 it was heard in, and its best log-probability there."""

    id: int
    start: int
    end: int
    log_prob: float


class Word(NamedTuple):
    """One word with its times in seconds and a confidence between 0 and 1."""

    word: str
    start_s: float
    end_s: float
    confidence: float


class GreedyDecoder:
    """The best label of each frame, repeats collapsed, blanks dropped. What it has said it never takes back."""

    def __init__(self, blank: int) -> None:
        self._blank, self._previous, self._frames = blank, blank, 0
        self._labels: list[Label] = []

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""
        values, best = log_probs.max(-1)
        for value, label in zip(values.tolist(), best.tolist(), strict=True):
            if label != self._blank and label == self._previous:
                last = self._labels[-1]
                self._labels[-1] = Label(label, last.start, self._frames + 1, max(value, last.log_prob))
            elif label != self._blank:
                self._labels.append(Label(label, self._frames, self._frames + 1, value))
            self._previous = label
            self._frames += 1

    def labels(self, final: bool = False) -> list[Label]:
        """The labels so far."""
        return list(self._labels)

    def settled(self) -> int:
        """How many of the first labels later frames cannot change any more."""
        return len(self._labels)


class Search(Protocol):
    """Labels out of what the frames say, as they arrive; `GreedyDecoder` is one, beams are others."""

    def feed(self, frames: Tensor) -> None:
        """Take the next frames: log-probabilities [T, V + 1], or for a transducer the encoder's, [T, D]."""

    def labels(self, final: bool = False) -> list[Label]:
        """The best labels so far; `final` says that no more frames come."""

    def settled(self) -> int:
        """How many of the first labels later frames cannot change any more."""


class Speller:
    """Words of the labels that a search finds.

    Args:
        search: What finds them.
        symbols: The characters or the piece of each label; a space, or a piece's mark, begins a word.
        label_seconds: Duration of a frame.
    """

    def __init__(self, search: Search, symbols: Sequence[str], label_seconds: float) -> None:
        self._search, self._symbols, self._seconds = search, symbols, label_seconds

    def feed(self, frames: Tensor) -> None:
        """Take the next frames, of the search's kind."""
        self._search.feed(frames)

    def words(self, final: bool = False) -> list[Word]:
        """The words so far."""
        return words(self._search.labels(final), self._symbols, self._seconds)

    def stable(self) -> int:
        """How many of them later frames cannot change any more: all that are settled and that the next has begun."""
        settled = self._search.labels()[: self._search.settled()]
        return sum(bool(group) for group in _grouped(settled, self._symbols)[:-1])


def words(labels: Sequence[Label], symbols: Sequence[str], label_seconds: float) -> list[Word]:
    """Labels of characters or pieces as words with times.

    Args:
        labels: What a search gave.
        symbols: The characters or the piece of each label.
        label_seconds: Duration of a frame.
    """
    return [
        Word(
            spell(symbols[label.id] for label in group).strip(),
            round(group[0].start * label_seconds, 3),
            round(group[-1].end * label_seconds, 3),
            round(math.exp(sum(label.log_prob for label in group) / len(group)), 3),
        )
        for group in _grouped(labels, symbols)
        if group
    ]


def _grouped(labels: Sequence[Label], symbols: Sequence[str]) -> list[list[Label]]:
    """Labels by words; marks that stand alone only part them."""
    groups: list[list[Label]] = [[]]
    for label in labels:
        if begins_word(symbols[label.id]):
            groups.append([])
        if symbols[label.id] not in MARKS:
            groups[-1].append(label)
    return groups
