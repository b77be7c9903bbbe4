"""How likely one word follows another in English: word pairs, backed by single words.

`bigrams_en.npz` beside this file holds general English; `BIGRAMS_SOURCES.txt` says where it is from. The words of a
domain's transcripts can be mixed in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ENGLISH = Path(__file__).parent / "bigrams_en.npz"
DISCOUNT = 0.7
SINGLE_SHARE, PAIR_SHARE = 0.3, 0.5
"""Weight of mixed-in transcripts in the probabilities of single words and of pairs."""


class WordBigrams:
    """P(w | h) = pair(h, w) + backoff(h) · single(w).

    Args:
        words: The words, in the order of their indices. The index after the last is the start of a text, as history.
        singles: Probabilities of the words, [V].
        keys: h · (V + 1) + w of each known pair, int64, ascending.
        pairs: pair(h, w) of each.
        backoff: Of each history, [V + 1].
    """

    def __init__(
        self, words: Sequence[str], singles: np.ndarray, keys: np.ndarray, pairs: np.ndarray, backoff: np.ndarray
    ) -> None:
        self.words, self.singles = list(words), singles
        self._keys, self._pairs, self._backoff = keys, pairs, backoff

    @property
    def start(self) -> int:
        """The history of a first word."""
        return len(self.words)

    def log_prob(self, histories: np.ndarray, words: np.ndarray) -> np.ndarray:
        """log P(w | h) for indices of histories and words, each [N]."""
        keys = histories * (self.start + 1) + words
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        pairs = np.where(self._keys[places] == keys, self._pairs[places], 0.0)
        return np.log(pairs + self._backoff[histories] * self.singles[words])

    def mixed(self, counts: Mapping[str, int], pairs: Mapping[str, Mapping[str, int]]) -> "WordBigrams":
        """With what transcripts say, as `count_words` gives it; pairs there are discounted absolutely.

        Words that are not known here are left out: nothing says how they sound.
        """
        ids = {word: index for index, word in enumerate(self.words)}
        used = np.zeros(self.start)
        used[[ids[word] for word in counts if word in ids]] = [count for word, count in counts.items() if word in ids]
        singles = (1 - SINGLE_SHARE) * self.singles + SINGLE_SHARE * used / max(1.0, used.sum())
        keys, values, backoff = [], [], self._backoff.copy()
        for before, after in pairs.items():
            history = ids.get(before) if before else self.start
            known = {ids[word]: count for word, count in after.items() if word in ids}
            if history is None or not known:
                continue
            total = sum(known.values())
            keys += [history * (self.start + 1) + word for word in known]
            values += [PAIR_SHARE * max(0.0, count - DISCOUNT) / total for count in known.values()]
            backoff[history] = (1 - PAIR_SHARE) * backoff[history] + PAIR_SHARE * (
                1 - sum(max(0.0, count - DISCOUNT) for count in known.values()) / total
            )
        heard = np.unique([key // (self.start + 1) for key in keys]).astype(np.int64)
        weights = np.where(np.isin(self._keys // (self.start + 1), heard), 1 - PAIR_SHARE, 1.0)
        all_keys = np.concatenate([self._keys, np.array(keys, np.int64)])
        merged, places = np.unique(all_keys, return_inverse=True)
        sums = np.bincount(places, np.concatenate([self._pairs * weights, values]), len(merged))
        return WordBigrams(self.words, singles, merged, sums, backoff)

    def save(self, path: Path) -> None:
        """Write the file that `read` reads: logarithms in half precision, keys as steps."""
        np.savez_compressed(
            path,
            words=np.frombuffer("\n".join(self.words).encode(), np.uint8),
            log_singles=np.log(self.singles).astype(np.float16),
            key_steps=np.diff(self._keys, prepend=0).astype(np.uint32),
            log_pairs=np.log(self._pairs).astype(np.float16),
            backoff=self._backoff.astype(np.float16),
        )


def read_bigrams(path: Path = ENGLISH) -> WordBigrams:
    """The bigrams of a file, by default general English."""
    with np.load(path) as file:
        words = file["words"].tobytes().decode().split("\n")
        singles, pairs = (np.exp(file[name].astype(np.float64)) for name in ("log_singles", "log_pairs"))
        keys, backoff = np.cumsum(file["key_steps"].astype(np.int64)), file["backoff"].astype(np.float64)
    return WordBigrams(words, singles, keys, pairs, backoff)


def count_words(texts: Iterable[Sequence[str]]) -> dict[str, Any]:
    """The `counts` and `pairs` that `WordBigrams.mixed` takes, of texts given as words; "" is the start of a text."""
    counts: Counter[str] = Counter()
    pairs: dict[str, Counter[str]] = {}
    for words in texts:
        counts.update(words)
        for before, word in zip(["", *words], words, strict=False):
            pairs.setdefault(before, Counter())[word] += 1
    return {"counts": dict(counts), "pairs": {word: dict(after) for word, after in pairs.items()}}
