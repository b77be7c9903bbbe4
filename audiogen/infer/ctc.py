"""CTC decoding as the frames arrive: greedy collapse, and prefix beam search with an optional scorer of the text.

Both take log-probabilities [T, V + 1], blank last, in parts of any length and give the same labels as in one part. A
label carries the frames it was heard in, so words have times and confidences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor

LOG_ZERO = -math.inf


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


class Scorer(Protocol):
    """What a beam search asks of a lexicon or language model, one label at a time."""

    def start(self) -> Any:
        """The state before the first label."""

    def score(self, state: Any, label: int) -> tuple[float, Any]:
        """The log-score that `label` adds after `state`, and the state after it."""

    def end(self, state: Any) -> float:
        """The log-score that ending after `state` adds."""


class Decoder(Protocol):
    """Labels out of log-probabilities, as they arrive."""

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""

    def labels(self, final: bool = False) -> list[Label]:
        """The best labels so far; `final` says that no more frames come."""

    def stable(self) -> int:
        """How many of the first labels later frames cannot change any more."""


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

    def stable(self) -> int:
        """All of them."""
        return len(self._labels)


@dataclass(eq=False)
class _Prefix:
    """A label sequence as a linked list, and the log-probability of its paths that end in a blank or in its label."""

    parent: "_Prefix | None"
    label: int | None
    length: int
    start: int
    end: int
    peak: float
    score: float
    scorer_state: Any
    blank: float = LOG_ZERO
    non_blank: float = LOG_ZERO
    next_blank: float = field(default=LOG_ZERO, repr=False)
    next_non_blank: float = field(default=LOG_ZERO, repr=False)

    def total(self) -> float:
        """Log-probability of the frames and log-score of the text together."""
        return _log_add(self.blank, self.non_blank) + self.score

    def advance(self) -> None:
        """Make the sums of the next frame those of this one."""
        self.blank, self.non_blank = self.next_blank, self.next_non_blank
        self.next_blank = self.next_non_blank = LOG_ZERO


class BeamDecoder:
    """CTC prefix beam search: sums over all alignments of a prefix (Hannun et al. 2014, algorithm 1).

    Args:
        blank: Index of the blank.
        width: Prefixes kept after each frame.
        scorer: Adds to the score of a prefix as it grows.
        top: Labels considered in a frame, the blank not counted.
        floor: Labels with a lower log-probability are not considered.
    """

    def __init__(
        self, blank: int, width: int = 16, scorer: Scorer | None = None, top: int = 12, floor: float = -9.0
    ) -> None:
        self._blank, self._width, self._scorer, self._top, self._floor = blank, width, scorer, top, floor
        root = _Prefix(None, None, 0, 0, 0, 0.0, 0.0, scorer.start() if scorer else None, blank=0.0)
        self._beam, self._frames = [root], 0

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""
        top = min(self._top, self._blank)
        values, labels = log_probs[:, : self._blank].topk(top, dim=-1)
        blanks = log_probs[:, self._blank].tolist()
        for i, (frame_values, frame_labels) in enumerate(zip(values.tolist(), labels.tolist(), strict=True)):
            considered = {l: v for l, v in zip(frame_labels, frame_values, strict=True) if v > self._floor}
            ends = {prefix.label for prefix in self._beam} - {None, *considered}
            repeats = {label: float(log_probs[i, label]) for label in ends}
            self._frame(blanks[i], considered, considered | repeats)
            self._frames += 1

    def labels(self, final: bool = False) -> list[Label]:
        """The best labels so far; with `final` the scorer's opinion of ending there counts."""
        best = max(self._beam, key=lambda prefix: prefix.total() + self._ending(prefix, final))
        return [Label(p.label, p.start, p.end, p.peak) for p in _chain(best)]

    def stable(self) -> int:
        """Labels that all prefixes in the beam share."""
        chains = [_chain(prefix) for prefix in self._beam]
        shared = 0
        for labels in zip(*chains, strict=False):
            if any(prefix.label != labels[0].label for prefix in labels):
                break
            shared += 1
        return shared

    def _frame(self, blank: float, extensions: dict[int, float], repeats: dict[int, float]) -> None:
        alive = {(id(prefix.parent), prefix.label): prefix for prefix in self._beam}
        grown = dict.fromkeys(self._beam)
        for prefix in self._beam:
            total = _log_add(prefix.blank, prefix.non_blank)
            prefix.next_blank = _log_add(prefix.next_blank, total + blank)
            if prefix.label is not None:
                self._repeat(prefix, repeats[prefix.label])
            for label, value in extensions.items():
                before = prefix.blank if label == prefix.label else total
                if before == LOG_ZERO:
                    continue
                child = alive.get((id(prefix), label)) or self._child(prefix, label, value)
                grown[child] = alive[id(prefix), label] = None
                alive[id(prefix), label] = child
                child.next_non_blank = _log_add(child.next_non_blank, before + value)
        for prefix in grown:
            prefix.advance()
        self._beam = sorted(grown, key=_Prefix.total, reverse=True)[: self._width]

    def _repeat(self, prefix: _Prefix, value: float) -> None:
        """The prefix's last label goes on for a frame."""
        prefix.next_non_blank = _log_add(prefix.next_non_blank, prefix.non_blank + value)
        if prefix.non_blank >= prefix.blank and value > math.log(0.5):
            prefix.end = self._frames + 1
        if value > prefix.peak and prefix.end == prefix.start + 1:
            prefix.start, prefix.end = self._frames, self._frames + 1
        prefix.peak = max(prefix.peak, value)

    def _child(self, parent: _Prefix, label: int, value: float) -> _Prefix:
        added, state = self._scorer.score(parent.scorer_state, label) if self._scorer else (0.0, None)
        score = parent.score + added
        return _Prefix(parent, label, parent.length + 1, self._frames, self._frames + 1, value, score, state)

    def _ending(self, prefix: _Prefix, final: bool) -> float:
        return self._scorer.end(prefix.scorer_state) if self._scorer and final else 0.0


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


def _chain(prefix: _Prefix) -> list[_Prefix]:
    """The prefix's labels from the first to the last, without the empty root."""
    chain = []
    while prefix.parent is not None:
        chain.append(prefix)
        prefix = prefix.parent
    return chain[::-1]


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a == LOG_ZERO or b == LOG_ZERO:
        return max(a, b)
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
