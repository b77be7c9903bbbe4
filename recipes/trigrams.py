"""Makes the word trigrams that `audiogen.text.trigrams` ships, of the language model in the wheel of PocketSphinx.

    pip install pocketsphinx==5.1.1 && python -m audiogen.recipes.trigrams

That model is general American English: a trie of backed-off trigrams. Only words of the pronouncing dictionary are
taken, as a recogniser must know how they sound, and of what follows a history only what says much.
"""

import sys
from dataclasses import dataclass

import numpy as np

from audiogen.errors import AudiogenError
from audiogen.extras import require
from audiogen.text.lexicon import cmudict
from audiogen.text.trigrams import ENGLISH, Followers, WordTrigrams

MODEL = "en-us/en-us.lm.bin"
MAGIC = b"Trie Language Model\x03"
BINS, BIN_BITS = 1 << 16, 16
LOG_BASE = np.log(1.0001)  # of the logarithms in the file
PADDING = 8  # bytes after each packed array
LEAST_WORTH = 1e-7
"""What is dropped: followers that add less to the log-likelihood of a word of text, in nats."""


@dataclass
class SphinxTrie:
    """An ARPA model as PocketSphinx packs it: words are found last to first, so a pair lies under its second word.

    Attributes:
        words: The words.
        singles: log P(w), [V].
        single_backoffs: Logarithm of what a history w leaves to single words, [V].
        firsts, seconds: The words of each pair, [P].
        pairs: log P(second | first).
        pair_backoffs: Logarithm of what it leaves to pairs as a history.
        zeroths, owners: The word before each triple's pair, and the number of that pair, [T].
        triples: log P(second | zeroth, first).
    """

    words: list[str]
    singles: np.ndarray
    single_backoffs: np.ndarray
    firsts: np.ndarray
    seconds: np.ndarray
    pairs: np.ndarray
    pair_backoffs: np.ndarray
    zeroths: np.ndarray
    owners: np.ndarray
    triples: np.ndarray


def read_trie(data: bytes) -> SphinxTrie:
    """Unpack a file of PocketSphinx: counts, tables of logarithms, words, then arrays packed bit by bit."""
    if not data.startswith(MAGIC):
        raise AudiogenError("the language model of PocketSphinx is not a trie of trigrams; install pocketsphinx 5")
    place = len(MAGIC)
    num_words, num_pairs, num_triples, _ = np.frombuffer(data, "<u4", 4, place).tolist()
    pair_logs, backoff_logs, triple_logs = np.frombuffer(data, "<f4", 3 * BINS, place + 16).reshape(3, BINS) * LOG_BASE
    place += 16 + 12 * BINS
    singles = np.frombuffer(data, [("log", "<f4"), ("backoff", "<f4"), ("first", "<u4")], num_words + 1, place)
    place += singles.nbytes
    word_bits, place_bits = num_words.bit_length(), num_triples.bit_length()
    raw = np.frombuffer(data + bytes(PADDING), np.uint8)

    sizes = word_bits, BIN_BITS, BIN_BITS, place_bits
    seconds = np.repeat(np.arange(num_words), np.diff(singles["first"].astype(int)))
    firsts, backoffs, pairs, places = _unpack(raw[place:], sizes, len(seconds) + 1)
    place += -(-(num_pairs + 1) * sum(sizes) // 8) + PADDING
    owners = np.repeat(np.arange(len(seconds)), np.diff(places))
    zeroths, triples = _unpack(raw[place:], (word_bits, BIN_BITS), len(owners))
    place += -(-(num_triples + 1) * (word_bits + BIN_BITS) // 8) + PADDING

    return SphinxTrie(
        data[place + 4 :].decode().split("\0")[:-1],
        singles["log"][:-1] * LOG_BASE,
        singles["backoff"][:-1] * LOG_BASE,
        firsts[:-1],
        seconds,
        pair_logs[pairs[:-1]],
        backoff_logs[backoffs[:-1]],
        zeroths,
        owners,
        triple_logs[triples],
    )


def english_trigrams(trie: SphinxTrie) -> WordTrigrams:
    """General English, of the words in the dictionary."""
    words = sorted(word for word in trie.words if word in cmudict())
    size = len(words)
    new = {word: index for index, word in enumerate(words)} | {"<s>": size}
    ids = np.array([new.get(word, -1) for word in trie.words])
    weights = np.exp(trie.singles[np.argsort(ids)[-size - 1 :]].astype(float))
    weights[-1] = np.exp(trie.singles[trie.words.index("</s>")])  # as many texts begin as end
    pairs = _pairs(trie, ids, weights)
    couples, triples = _triples(trie, ids, weights)
    return WordTrigrams(words, weights[:size] / weights[:size].sum(), pairs, couples, triples)


def _pairs(trie: SphinxTrie, ids: np.ndarray, weights: np.ndarray) -> Followers:
    """What follows a word, or the start.

    Args:
        trie: The model.
        ids: New indices of its words, -1 for those that are left out; the last is that of the start.
        weights: P(word) by new index, [V + 1].
    """
    size = len(weights) - 1
    histories, followers = ids[trie.firsts], ids[trie.seconds]
    likelihoods = np.exp(trie.pairs.astype(float))
    backed = np.exp((trie.single_backoffs[trie.firsts] + trie.singles[trie.seconds]).astype(float))
    said = _usable_pairs(trie, ids) & _worthwhile(weights[histories], likelihoods, backed)
    return _followers(histories[said] * size + followers[said], (likelihoods - backed)[said], size + 1, size)


def _triples(trie: SphinxTrie, ids: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Followers]:
    """The pairs that are known as histories, u · V + w, and what follows them; arguments as of `_pairs`."""
    size, usable = len(weights) - 1, _usable_pairs(trie, ids)
    pair_keys = np.where(usable, ids[trie.firsts] * size + ids[trie.seconds], np.iinfo(np.int64).max)
    order = np.argsort(pair_keys)[: usable.sum()]
    before, between = ids[trie.zeroths], ids[trie.firsts[trie.owners]]
    couple_keys = before * size + between
    places = np.minimum(np.searchsorted(pair_keys[order], couple_keys), len(order) - 1)
    couple = order[places]  # the pair that is the triple's history
    likelihoods = np.exp(trie.triples.astype(float))
    backed = np.exp((trie.pair_backoffs[couple] + trie.pairs[trie.owners]).astype(float))
    said = (before >= 0) & (between < size) & usable[trie.owners] & (pair_keys[couple] == couple_keys)
    said &= _worthwhile(weights[before] * np.exp(trie.pairs[couple].astype(float)), likelihoods, backed)
    couples, rows = np.unique(couple_keys[said], return_inverse=True)
    keys = rows * size + ids[trie.seconds[trie.owners]][said]
    return couples, _followers(keys, (likelihoods - backed)[said], len(couples), size)


def _usable_pairs(trie: SphinxTrie, ids: np.ndarray) -> np.ndarray:
    """Which pairs are of words that are taken; the start follows nothing."""
    return (ids[trie.firsts] >= 0) & (ids[trie.seconds] >= 0) & (trie.seconds != trie.words.index("<s>"))


def _worthwhile(histories: np.ndarray, likelihoods: np.ndarray, backed: np.ndarray) -> np.ndarray:
    """Which followers say enough: their histories' probabilities, their own, and those that shorter histories give."""
    worth = histories * likelihoods * np.log(likelihoods / backed)
    return (likelihoods > backed) & (worth > LEAST_WORTH)


def _followers(keys: np.ndarray, extra: np.ndarray, num_histories: int, num_words: int) -> Followers:
    order = np.argsort(keys)
    return Followers.of(keys[order], extra[order], num_histories, num_words)


def _unpack(raw: np.ndarray, sizes: tuple[int, ...], count: int) -> list[np.ndarray]:
    """`count` records of fields of `sizes` bits, the lowest bit of the first byte first."""
    fields, offset = [], 0
    for size in sizes:
        bit = offset + sum(sizes) * np.arange(count, dtype=np.int64)
        window = sum(raw[(bit >> 3) + i].astype(np.int64) << (8 * i) for i in range(5))
        fields.append((window >> (bit & 7)) & ((1 << size) - 1))
        offset += size
    return fields


if __name__ == "__main__":
    try:
        sphinx = require("pocketsphinx", "score")
        with open(sphinx.get_model_path(MODEL), "rb") as file:
            english_trigrams(read_trie(file.read())).save(ENGLISH)
    except AudiogenError as error:
        sys.exit(f"error: {error}")
    print(f"{ENGLISH}: {ENGLISH.stat().st_size / 2**20:.1f} MiB")
