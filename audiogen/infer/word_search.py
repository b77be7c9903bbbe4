"""Finding the likeliest words in log-probabilities of phones, frame by frame, with a dictionary and word trigrams.

Token passing over a tree of pronunciations (Young, Russell, Thornton 1989; Ney et al. 1992). A token stands at a phone
of the tree and remembers the words before. In a frame it stays, if its phone or the blank is heard; or it goes on to a
phone below; and where a word ends, also back to the root, paying for the word. Until then it has paid for the likeliest
word it may still become. Of tokens that stand at one place with one history, the best is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.ctc import Word
from audiogen.infer.lexicon import ROOT, phone_tree
from audiogen.text.lexicon import cmudict
from audiogen.text.phones import PhoneInventory, from_arpabet, unstressed
from audiogen.text.trigrams import WordTrigrams, read_trigrams

WORD_ENDS = 0.4
"""Of the tokens kept, the share that may end a word in a frame."""


@dataclass(frozen=True)
class SearchWeights:
    """How much words count.

    Attributes:
        words: Factor on the log-probabilities of words, against those of frames.
        bonus: Added for every word: above zero for more words, below it for fewer.
        blank: Taken off the log-probability of the blank, which CTC overrates: against the pull to few phones.
    """

    words: float = 1.2
    bonus: float = -1.0
    blank: float = 3.0


class Vocabulary:
    """Words, how they sound, and how likely they follow each other.

    Args:
        inventory: The phones that are heard, without stress.
        trigrams: The words; all of them are in the dictionary.
        weights: How much they count.
        hot: Words to listen for, and what each adds to the score.

    Raises:
        AudiogenError: If one of the words to listen for is none of the words.
    """

    def __init__(
        self,
        inventory: PhoneInventory,
        trigrams: WordTrigrams,
        weights: SearchWeights,
        hot: Mapping[str, float] | None = None,
    ) -> None:
        self.trigrams, self.weights, self.blank = trigrams, weights, len(inventory)
        self.bonus = weights.bonus + _extra(trigrams.words, hot or {})
        likely = np.log(trigrams.singles) + (self.bonus - weights.bonus) / (weights.words or 1.0)
        self.tree = phone_tree(_pronunciations(trigrams.words, inventory), likely, self.blank)
        # What a token pays at a node: the difference between the likeliest words at it and at its parent.
        self.paid = weights.words * np.append(0.0, self.tree.best[1:])
        parents = np.repeat(np.arange(len(self.paid)), self.tree.num_children)
        self.price = np.append(0.0, self.paid[1:] - self.paid[parents])

    @classmethod
    def english(
        cls, inventory: PhoneInventory, described: Mapping[str, Any], hot: Mapping[str, float] | None = None
    ) -> "Vocabulary":
        """General English with the transcripts that `described` counts, as `trigrams.count_words` does."""
        trigrams = read_trigrams().mixed(described["counts"], described["pairs"])
        return cls(inventory, trigrams, SearchWeights(**described["weights"]), hot)


@dataclass(eq=False)
class Passed:
    """A word that tokens have passed, and the one before it."""

    before: "Passed | None"
    word: int
    start: int
    end: int
    confidence: float


@dataclass
class Tokens:
    """Tokens, every array [N].

    Attributes:
        score: Log-probability of the frames and price of the words, less that of the best.
        node: Where in the tree.
        history: What was said before, as `WordTrigrams` numbers it.
        passed: The `Passed` of that word, or None.
        start: First frame of the word that begins at the root.
        end: Frame after the last one in which its newest phone was heard.
        sound: Log-probability of the frames since `start`.
    """

    score: np.ndarray
    node: np.ndarray
    history: np.ndarray
    passed: np.ndarray
    start: np.ndarray
    end: np.ndarray
    sound: np.ndarray


class WordSearch:
    """One search; it takes the frames of a recording in order, in parts of any length.

    Args:
        vocabulary: The words.
        width: Tokens kept after each frame.
        margin: Tokens that score so much less than the best are dropped.
    """

    def __init__(self, vocabulary: Vocabulary, label_seconds: float, width: int = 400, margin: float = 40.0) -> None:
        self._vocabulary, self._seconds, self._width, self._margin = vocabulary, label_seconds, width, margin
        zero = np.zeros(1, int)
        start = np.array([vocabulary.trigrams.start])
        self._tokens = Tokens(np.zeros(1), zero + ROOT, start, np.array([None]), zero, zero, np.zeros(1))
        self._frames = 0
        self._settled: list[Passed] = []

    def feed(self, log_probs: Tensor) -> None:
        """Take the next frames [T, V + 1]."""
        for frame in log_probs.double().numpy():
            self._frame(frame)
            self._frames += 1
        self._settle()

    def words(self, final: bool = False) -> list[Word]:
        """The likeliest words so far; with `final`, only whole words count."""
        tokens = self._tokens
        ended = np.flatnonzero(tokens.node == ROOT)
        candidates = ended if final and len(ended) else np.arange(len(tokens.node))
        best = candidates[tokens.score[candidates].argmax()]
        return [self._word(passed) for passed in self._settled + _chain(tokens.passed[best])]

    def stable(self) -> int:
        """How many of the first words later frames cannot change any more."""
        return len(self._settled)

    def _frame(self, heard: np.ndarray) -> None:
        """One frame, log-probabilities [V + 1]."""
        self._tokens = self._with_words(self._moved(heard))
        self._tokens.score -= self._tokens.score[0]

    def _moved(self, heard: np.ndarray) -> Tokens:
        """The best of tokens that stay, their phone going on or nothing being heard, or go on to a phone below."""
        tree, tokens, blank = self._vocabulary.tree, self._tokens, heard[-1] - self._vocabulary.weights.blank
        phone = heard[tree.labels[tokens.node]]
        goes_on = (phone >= blank) & (tokens.node != ROOT)
        rows, children = _members(tree.first_child[tokens.node], tree.num_children[tokens.node])
        gain, source = heard[tree.labels[children]], np.concatenate([np.arange(len(tokens.node)), rows])
        stayed = tokens.score + np.where(goes_on, phone, blank)
        score = np.concatenate([stayed, tokens.score[rows] + gain + self._vocabulary.price[children]])
        node, history = np.concatenate([tokens.node, children]), tokens.history[source]
        kept = self._best(score, node, history)
        source, grew = source[kept], kept >= len(tokens.node)
        first = grew & (tokens.node[source] == ROOT)
        sound = np.concatenate([np.where(goes_on, phone, heard[-1]), gain])[kept]
        return Tokens(
            score[kept],
            node[kept],
            history[kept],
            tokens.passed[source],
            np.where(first, self._frames, tokens.start[source]),
            np.where(grew | goes_on[source], self._frames + 1, tokens.end[source]),
            np.where(first, 0.0, tokens.sound[source]) + sound,
        )

    def _with_words(self, tokens: Tokens) -> Tokens:
        """The best of tokens and of those that end a word here, back at the root with that word in their history."""
        tree, weights, trigrams = self._vocabulary.tree, self._vocabulary.weights, self._vocabulary.trigrams
        ending = np.flatnonzero(tree.num_words[tokens.node])[: round(WORD_ENDS * self._width)]
        rows, places = _members(tree.first_word[tokens.node[ending]], tree.num_words[tokens.node[ending]])
        words, ending = tree.words[places], ending[rows]
        price = weights.words * trigrams.log_prob(tokens.history[ending], words) + self._vocabulary.bonus[words]
        ended = tokens.score[ending] - self._vocabulary.paid[tokens.node[ending]] + price
        score = np.concatenate([tokens.score, ended])
        node = np.concatenate([tokens.node, np.full(len(ending), ROOT)])
        history = np.concatenate([tokens.history, trigrams.after(tokens.history[ending], words)])
        kept = self._best(score, node, history)
        source = np.concatenate([np.arange(len(tokens.node)), ending])[kept]
        unchanged = (getattr(tokens, name)[source] for name in ("passed", "start", "end", "sound"))
        best = Tokens(score[kept], node[kept], history[kept], *unchanged)
        for row in np.flatnonzero(kept >= len(tokens.node)):
            self._pass_word(best, row, int(words[kept[row] - len(tokens.node)]))
        return best

    def _best(self, score: np.ndarray, node: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Which tokens are the best, one for a place and history, the best first; at most the width of the search."""
        likely = np.flatnonzero(score > score.max() - self._margin)
        if len(likely) > 2 * self._width:
            likely = likely[np.argpartition(-score[likely], 2 * self._width)[: 2 * self._width]]
        order = likely[np.argsort(-score[likely], kind="stable")]
        places = node[order] * self._vocabulary.trigrams.num_histories + history[order]
        firsts = np.sort(np.unique(places, return_index=True)[1])
        return order[firsts[: self._width]]

    def _pass_word(self, tokens: Tokens, row: int, word: int) -> None:
        """Note the `word` that the token in `row` has just ended."""
        start, end = int(tokens.start[row]), int(tokens.end[row])
        confidence = float(np.exp(tokens.sound[row] / (self._frames + 1 - start)))
        tokens.passed[row] = Passed(tokens.passed[row], word, start, end, confidence)

    def _settle(self) -> None:
        """Move words that all tokens share from their histories to the settled ones."""
        histories = [_chain(passed) for passed in {id(passed): passed for passed in self._tokens.passed}.values()]
        shared = 0
        for words in zip(*histories, strict=False):
            if any(passed is not words[0] for passed in words):
                break
            shared += 1
        self._settled += histories[0][:shared]
        for history in histories:
            if len(history) > shared:
                history[shared].before = None
        if shared:
            last = self._settled[-1]
            self._tokens.passed[[passed is last for passed in self._tokens.passed]] = None

    def _word(self, passed: Passed) -> Word:
        text = self._vocabulary.trigrams.words[passed.word]
        start, end = (round(frame * self._seconds, 3) for frame in (passed.start, passed.end))
        return Word(text, start, end, round(passed.confidence, 3))


def _members(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For groups of `counts` consecutive indices from `first` on: the group of each member, and the members."""
    groups = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return groups, first[groups] + offsets


def _chain(passed: Passed | None) -> list[Passed]:
    """The words up to this one, the first first."""
    chain = []
    while passed is not None:
        chain.append(passed)
        passed = passed.before
    return chain[::-1]


def _extra(words: Sequence[str], hot: Mapping[str, float]) -> np.ndarray:
    """What each word adds to the score, [V]."""
    places, extra = {word: index for index, word in enumerate(words)} if hot else {}, np.zeros(len(words))
    for word, bonus in hot.items():
        if word.lower() not in places:
            raise AudiogenError(f"hot word {word!r} is not in the dictionary; give single words that are")
        extra[places[word.lower()]] = bonus
    return extra


def _pronunciations(words: Sequence[str], inventory: PhoneInventory) -> list[tuple[int, tuple[int, ...]]]:
    """(index, phones without stress) of every way the dictionary says the words."""
    dictionary = cmudict()

    @cache
    def label(symbol: str) -> int:
        return inventory.encode([unstressed(from_arpabet(symbol))])[0]

    ways = ((index, tuple(map(label, way))) for index, word in enumerate(words) for way in dictionary.arpabet(word))
    return list(dict.fromkeys(ways))
