"""Makes the word bigrams that `audiogen.text.bigrams` ships, of frequency lists that two packages carry.

    pip install symspellpy==6.10.1 wordfreq==3.1.1 && python -m audiogen.recipes.bigrams

Single words are weighed as wordfreq does, pairs as counted in the Google Books n-grams that symspellpy carries. Only
words of the pronouncing dictionary are taken, as a recogniser must know how they sound.
"""

import gzip
import sys
from importlib import resources

import numpy as np

from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.text.bigrams import ENGLISH, WordBigrams
from audiogen.text.lexicon import cmudict

RAREST = 10**-7.0
PAIR_TRUST = 0.85
"""Share of a word's followers that pairs decide, where all of them were counted; single words decide the rest."""
SINGLES = "wordfreq", "data/large_en.msgpack.gz"
COUNTS = "symspellpy", "frequency_dictionary_en_82_765.txt"
PAIRS = "symspellpy", "frequency_bigramdictionary_en_243_342.txt"


def english_bigrams() -> WordBigrams:
    """General English, of the installed packages' lists."""
    singles = _frequencies()
    words = sorted(singles)
    ids = {word: index for index, word in enumerate(words)}
    counts = {word: int(count) for word, count in _rows(COUNTS)}
    pairs = [
        (ids[first], ids[second], int(count)) for first, second, count in _rows(PAIRS) if {first, second} <= ids.keys()
    ]
    histories, followers, seen = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    sums = np.bincount(histories, seen, len(words) + 1)
    totals = np.maximum(sums, [*(counts.get(word, 0) for word in words), 1])
    shares = PAIR_TRUST * seen / totals[histories]
    backoff = 1 - np.bincount(histories, shares, len(words) + 1)
    keys = histories * (len(words) + 1) + followers
    order = np.argsort(keys)
    likelihoods = np.array([singles[word] for word in words])
    return WordBigrams(words, likelihoods / likelihoods.sum(), keys[order], shares[order], backoff)


def _frequencies() -> dict[str, float]:
    """How often each word of the dictionary is used; wordfreq keeps one list of words for each hundredth of a bel."""
    packed = gzip.decompress(_data(SINGLES))
    steps = require("msgpack", "train").unpackb(packed)[1:]
    dictionary = cmudict()
    frequencies = {
        word: 10 ** (-step / 100) for step, words in enumerate(steps) for word in words if word in dictionary
    }
    return {word: frequency for word, frequency in frequencies.items() if frequency >= RAREST}


def _rows(source: tuple[str, str]) -> list[list[str]]:
    return [line.split() for line in _data(source).decode("utf-8-sig").splitlines()]


def _data(source: tuple[str, str]) -> bytes:
    package, file = source
    try:
        return resources.files(package).joinpath(file).read_bytes()
    except ModuleNotFoundError:
        raise AudiogenError(f"the word lists come with {package}; pip install {package}") from None


if __name__ == "__main__":
    try:
        english_bigrams().save(ENGLISH)
    except AudiogenError as error:
        sys.exit(f"error: {error}")
    print(f"{ENGLISH}: {ENGLISH.stat().st_size / 2**20:.1f} MiB")
