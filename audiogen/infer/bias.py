"""What speaks for a hypothesis besides the sound: how likely its words follow each other, and words to listen for.

A beam search over labels asks after every label; words are judged when the next one begins, or at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audiogen.infer.hot_words import HotWords
from audiogen.text.pieces import MARKS, begins_word, spell
from audiogen.text.trigrams import WordTrigrams

UNKNOWN_WORD = -14.0
"""Log-probability of a word that the language model does not have."""
MOST_JUDGED = 50_000
"""Judgements of words that are kept, for all streams together."""


class BiasState(NamedTuple):
    """What was said: the language model's history, the word begun, and where in the phrases to listen for."""

    history: int
    begun: str
    hot: int


@dataclass(frozen=True)
class WordWeights:
    """How much the language model counts.

    Attributes:
        words: Factor on its log-probabilities.
        bonus: Added for every word, against the pull to few.
    """

    words: float = 0.5
    bonus: float = 1.0


class Bias:
    """Judges hypotheses of labels.

    Args:
        symbols: The characters or the piece of each label.
        language: How likely words follow each other; None leaves it out.
        weights: How much that counts.
        hot: The words to listen for; None for none.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        language: WordTrigrams | None = None,
        weights: WordWeights | None = None,
        hot: HotWords | None = None,
    ) -> None:
        self._symbols, self._language, self._hot = symbols, language, hot
        self._weights = weights or WordWeights()
        self._ids = {word: index for index, word in enumerate(language.words)} if language else {}
        self._judged: dict[tuple[int, str], tuple[int, float]] = {}

    def start(self) -> BiasState:
        """Nothing said."""
        return BiasState(self._language.start if self._language else 0, "", HotWords.START)

    def advance(self, state: BiasState, label: int) -> tuple[BiasState, float]:
        """The state after `label`, and what to add to the score."""
        history, begun, hot = state
        gain, piece = 0.0, self._symbols[label]
        if self._language is not None:
            if begins_word(piece):
                history, gain = self._judge(history, begun)
                begun = ""
            begun += "" if piece in MARKS else spell([piece]).strip()
        if self._hot is not None:
            hot, more = self._hot.advance(hot, label)
            gain += more
        return BiasState(history, begun, hot), gain

    def finish(self, state: BiasState) -> float:
        """What to add to the score if no label follows."""
        gain = self._judge(state.history, state.begun)[1] if self._language is not None else 0.0
        return gain - (self._hot.owed(state.hot) if self._hot is not None else 0.0)

    def _judge(self, history: int, word: str) -> tuple[int, float]:
        """The history after a word, and its gain; punctuation alone is no word."""
        word = word.lower().strip('.,;:!?"()')
        if not word:
            return history, 0.0
        if (history, word) not in self._judged:
            if len(self._judged) >= MOST_JUDGED:
                self._judged.clear()
            self._judged[history, word] = self._look_up(history, word)
        return self._judged[history, word]

    def _look_up(self, history: int, word: str) -> tuple[int, float]:
        index = self._ids.get(word)
        if index is None:
            return self._language.start, self._weights.words * UNKNOWN_WORD + self._weights.bonus
        histories, words = np.array([history]), np.array([index])
        gain = self._weights.words * float(self._language.log_prob(histories, words)[0]) + self._weights.bonus
        return int(self._language.after(histories, words)[0]), gain
