"""A scorer for CTC beam search: words of a dictionary, by how often transcripts used them and after which word.

Each letter scores as the best word that still fits (so words compete before they are complete); the space after a word
corrects that to the word's own score. Words outside the dictionary stay possible, at a price a letter.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from audiogen.text.lexicon import cmudict
from audiogen.text.tokenizer import CharTokenizer

DISCOUNT = 0.6
NEW_WORD = 0.15
"""Share of the words of running text that the transcripts had not used."""
UNKNOWN = -14.0
UNKNOWN_LETTER = -1.0
EMPTY_WORD = -8.0


class ScorerState(NamedTuple):
    """The word before, the letters of this one, and what has been scored for them already."""

    previous: str
    letters: str
    given: float


class LexiconScorer:
    """Scores text with a dictionary and word pairs.

    Args:
        counts: How often each word was used.
        pairs: How often each word was used after another.
        tokenizer: Writes the labels.
        weight: Factor on log-probabilities of words.
        bonus: Added for every word, against the pull to few words.
    """

    def __init__(
        self,
        counts: dict[str, int],
        pairs: dict[str, dict[str, int]],
        tokenizer: CharTokenizer,
        weight: float = 0.3,
        bonus: float = 1.0,
    ) -> None:
        self._counts, self._pairs, self._symbols = counts, pairs, tokenizer.symbols
        self._weight, self._bonus = weight, bonus
        allowed = set(tokenizer.symbols) - {" "}
        known = set(counts) | {word for word in cmudict().words() if allowed.issuperset(word)}
        self._words = sorted(known)
        total = sum(counts.values())
        spread = NEW_WORD / len(self._words)
        self._single = {word: (1 - NEW_WORD) * count / max(1, total) + spread for word, count in counts.items()}
        self._rest = spread
        self._scores = np.array([math.log(self._single.get(word, spread)) for word in self._words])
        self._best: dict[str, float] = {}

    @classmethod
    def from_texts(cls, texts: Iterable[str], tokenizer: CharTokenizer) -> "LexiconScorer":
        """Count the words of transcripts."""
        counts: Counter[str] = Counter()
        pairs: dict[str, Counter[str]] = {}
        for text in texts:
            words = tokenizer.clean(text).split()
            counts.update(words)
            for before, word in zip(["", *words], words, strict=False):
                pairs.setdefault(before, Counter())[word] += 1
        return cls(dict(counts), {word: dict(after) for word, after in pairs.items()}, tokenizer)

    def to_dict(self) -> dict[str, Any]:
        """The counts and weights as plain values, for a bundle; the dictionary ships with the package."""
        return {"counts": self._counts, "pairs": self._pairs, "weight": self._weight, "bonus": self._bonus}

    @classmethod
    def from_dict(cls, values: dict[str, Any], tokenizer: CharTokenizer) -> "LexiconScorer":
        """The scorer that `to_dict` described."""
        return cls(values["counts"], values["pairs"], tokenizer, values["weight"], values["bonus"])

    def start(self) -> ScorerState:
        """Before the first letter."""
        return ScorerState("", "", 0.0)

    def score(self, state: ScorerState, label: int) -> tuple[float, ScorerState]:
        """What one more character adds."""
        if self._symbols[label] == " ":
            return self.end(state), ScorerState(state.letters, "", 0.0)
        letters = state.letters + self._symbols[label]
        given = self._weight * self._fitting(letters)
        return given - state.given, ScorerState(state.previous, letters, given)

    def end(self, state: ScorerState) -> float:
        """What the end of the word adds."""
        if not state.letters:
            return EMPTY_WORD
        return self._weight * self._word(state.previous, state.letters) - state.given + self._bonus

    def _fitting(self, letters: str) -> float:
        """Log-probability of the likeliest word that begins with `letters`."""
        if letters not in self._best:
            low, high = bisect_left(self._words, letters), bisect_right(self._words, letters + "\x7f")
            unknown = UNKNOWN + UNKNOWN_LETTER * len(letters)
            self._best[letters] = max(unknown, float(self._scores[low:high].max())) if low < high else unknown
        return self._best[letters]

    def _word(self, previous: str, word: str) -> float:
        """Log-probability of `word` after `previous`: word pairs with absolute discounting, backed by single words."""
        single = self._single.get(word)
        if single is None:
            place = bisect_left(self._words, word)
            if self._words[place : place + 1] != [word]:
                return UNKNOWN + UNKNOWN_LETTER * len(word)
            single = self._rest
        after = self._pairs.get(previous)
        if not after:
            return math.log(single)
        total = sum(after.values())
        seen = max(0.0, after.get(word, 0) - DISCOUNT) / total
        return math.log(seen + DISCOUNT * len(after) / total * single)
