"""How likely a word follows the two before it in English: trigrams, backed by pairs, backed by single words.

`trigrams_en.npz` beside this file holds general English; `TRIGRAMS_SOURCES.txt` says where it is from. The words of a
domain's transcripts can be mixed in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ENGLISH = Path(__file__).parent / "trigrams_en.npz"
DISCOUNT = 0.7
SINGLE_SHARE, PAIR_SHARE = 0.3, 0.3
"""Weight of mixed-in transcripts in the probabilities of single words and of pairs."""


@dataclass(frozen=True)
class Followers:
    """What follows some histories beyond what shorter ones foretell.

    Attributes:
        keys: history · V + word of each known follower, int64, ascending.
        extra: What it has in addition to its share of what is left.
        left: What each history leaves to the shorter one: with `extra` it sums to 1.
    """

    keys: np.ndarray
    extra: np.ndarray
    left: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, extra: np.ndarray, num_histories: int, num_words: int) -> "Followers":
        """Followers in ascending order of their keys."""
        return cls(keys, extra, 1 - np.bincount(keys // num_words, extra, num_histories))

    def likelihood(self, histories: np.ndarray, words: np.ndarray, shorter: np.ndarray, num_words: int) -> np.ndarray:
        """P(w | h) where the shorter history gives `shorter`."""
        places = _find(self.keys, histories * num_words + words)
        return np.where(places >= 0, self.extra[places], 0.0) + self.left[histories] * shorter


class WordTrigrams:
    """P(w | v, u) = triple(v, u, w) + left(v, u) · P(w | u), and P(w | u) = pair(u, w) + left(u) · single(w).

    A history is one number: the word before, or `start` at the start of a text, or, from `start + 1` on, one of the
    pairs of words that are known as histories.

    Args:
        words: The words, in the order of their indices.
        singles: Probabilities of the words, [V].
        pairs: What follows a word, or the start.
        couples: u · V + w of the pairs that are known as histories, int64, ascending.
        triples: What follows those.
    """

    def __init__(
        self, words: Sequence[str], singles: np.ndarray, pairs: Followers, couples: np.ndarray, triples: Followers
    ) -> None:
        self.words, self.singles = list(words), singles
        self._pairs, self._couples, self._triples = pairs, couples, triples
        self._lasts = np.append(np.arange(self.start + 1), couples % self.start)

    @property
    def start(self) -> int:
        """The history of a first word."""
        return len(self.words)

    @property
    def num_histories(self) -> int:
        """How many histories are told apart."""
        return len(self._lasts)

    def log_prob(self, histories: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log P(w | h) for histories and indices of words, each [N]."""
        long = histories > self.start
        likelihoods = self._pairs.likelihood(self.last(histories), words, self.singles[words], self.start)
        likelihoods[long] = self._triples.likelihood(
            histories[long] - self.start - 1, words[long], likelihoods[long], self.start
        )
        return np.log(likelihoods)

    def after(self, histories: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The histories [N] once `words` [N] have followed."""
        places = _find(self._couples, self.last(histories) * self.start + words)
        return np.where(places >= 0, self.start + 1 + places, words)

    def last(self, histories: np.ndarray) -> np.ndarray:
        """The last word of each history, or `start`."""
        return self._lasts[histories]

    def mixed(self, counts: Mapping[str, int], pairs: Mapping[str, Mapping[str, int]]) -> "WordTrigrams":
        """With what transcripts say, as `count_words` gives it; pairs there are discounted absolutely.

        Words that are not known here are left out: nothing says how they sound.
        """
        ids = {word: index for index, word in enumerate(self.words)}
        used = np.zeros(self.start)
        used[[ids[word] for word in counts if word in ids]] = [count for word, count in counts.items() if word in ids]
        singles = (1 - SINGLE_SHARE) * self.singles + SINGLE_SHARE * used / max(1.0, used.sum())
        keys, extra = [], []
        for before, after in pairs.items():
            history = ids.get(before) if before else self.start
            known = {ids[word]: count for word, count in after.items() if word in ids}
            if history is None or not known:
                continue
            keys += [history * self.start + word for word in known]
            extra += [PAIR_SHARE * max(0.0, count - DISCOUNT) / sum(known.values()) for count in known.values()]
        heard = np.zeros(self.start + 1, bool)
        heard[[key // self.start for key in keys]] = True
        general = self._pairs.extra * np.where(heard[self._pairs.keys // self.start], 1 - PAIR_SHARE, 1.0)
        merged, places = np.unique(np.concatenate([self._pairs.keys, np.array(keys, np.int64)]), return_inverse=True)
        sums = np.bincount(places, np.concatenate([general, extra]), len(merged))
        followers = Followers.of(merged, sums, self.start + 1, self.start)
        return WordTrigrams(self.words, singles, followers, self._couples, self._triples)

    def save(self, path: Path) -> None:
        """Write the file that `read_trigrams` reads: logarithms in half precision, keys as steps."""
        np.savez_compressed(
            path,
            words=np.frombuffer("\n".join(self.words).encode(), np.uint8),
            log_singles=np.log(self.singles).astype(np.float16),
            couples=np.diff(self._couples, prepend=0).astype(np.uint32),
            **{
                f"{name}_{part}": value
                for name, followers in (("pairs", self._pairs), ("triples", self._triples))
                for part, value in (
                    ("steps", np.diff(followers.keys, prepend=0).astype(np.uint32)),
                    ("log_extra", np.log(followers.extra).astype(np.float16)),
                )
            },
        )


def read_trigrams(path: Path = ENGLISH) -> WordTrigrams:
    """The trigrams of a file, by default general English."""
    with np.load(path) as file:
        words = file["words"].tobytes().decode().split("\n")
        singles = np.exp(file["log_singles"].astype(np.float64))
        couples = np.cumsum(file["couples"].astype(np.int64))
        pairs, triples = (
            Followers.of(
                np.cumsum(file[f"{name}_steps"].astype(np.int64)),
                np.exp(file[f"{name}_log_extra"].astype(np.float64)),
                num_histories,
                len(words),
            )
            for name, num_histories in (("pairs", len(words) + 1), ("triples", len(couples)))
        )
    return WordTrigrams(words, singles / singles.sum(), pairs, couples, triples)


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted key stands among ascending `keys`, or −1."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def count_words(texts: Iterable[Sequence[str]]) -> dict[str, Any]:
    """The `counts` and `pairs` that `WordTrigrams.mixed` takes, of texts given as words; "" is the start of a text."""
    counts: Counter[str] = Counter()
    pairs: dict[str, Counter[str]] = {}
    for words in texts:
        counts.update(words)
        for before, word in zip(["", *words], words, strict=False):
            pairs.setdefault(before, Counter())[word] += 1
    return {"counts": dict(counts), "pairs": {word: dict(after) for word, after in pairs.items()}}
