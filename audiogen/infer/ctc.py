"""CTC decoding as the frames arrive: the best label of each frame, repeats collapsed; labels of characters as words.

Log-probabilities [T, V + 1], blank last, come in parts of any length and give the same labels as in one part. A label
carries the frames it was heard in, so words have times and confidences.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


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

    def labels(self) -> list[Label]:
        """The labels so far."""
        return list(self._labels)


class Speller:
    """Words of a recogniser of characters, by the best label of each frame.

    Args:
        symbols: The character of each label; a space parts words. The blank follows them.
        label_seconds: Duration of a frame.
    """

    def __init__(self, symbols: Sequence[str], label_seconds: float) -> None:
        self._symbols, self._seconds, self._decoder = symbols, label_seconds, GreedyDecoder(len(symbols))

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""
        self._decoder.feed(log_probs)

    def words(self, final: bool = False) -> list[Word]:
        """The words so far."""
        return words(self._decoder.labels(), self._symbols, self._seconds)

    def stable(self) -> int:
        """How many of them later frames cannot change any more: all that a space has ended."""
        heard = "".join(self._symbols[label.id] for label in self._decoder.labels())
        return len(heard[: heard.rfind(" ") + 1].split())


def words(labels: Sequence[Label], symbols: Sequence[str], label_seconds: float) -> list[Word]:
    """Labels of characters as words with times.

    Args:
        labels: What a decoder gave.
        symbols: The character of each label; a space parts words.
        label_seconds: Duration of a frame.
    """
    groups: list[list[Label]] = [[]]
    for label in labels:
        if symbols[label.id] == " ":
            groups.append([])
        else:
            groups[-1].append(label)
    return [
        Word(
            "".join(symbols[label.id] for label in group),
            round(group[0].start * label_seconds, 3),
            round(group[-1].end * label_seconds, 3),
            round(math.exp(sum(label.log_prob for label in group) / len(group)), 3),
        )
        for group in groups
        if group
    ]
