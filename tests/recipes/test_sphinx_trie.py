"""Making the trigrams: what is unpacked from PocketSphinx's file is what PocketSphinx reads there."""

import numpy as np
import pytest

from audiogen.errors import AudiogenError
from audiogen.recipes.trigrams import LOG_BASE, MODEL, read_trie


def test_the_unpacked_model_is_what_pocketsphinx_reads():
    sphinx = pytest.importorskip("pocketsphinx")
    path = sphinx.get_model_path(MODEL)
    with open(path, "rb") as file:
        trie = read_trie(file.read())
    model = sphinx.NGramModel(sphinx.Config(), sphinx.LogMath(), path)
    for i in np.random.default_rng(0).integers(0, len(trie.pairs), 50):
        first, second = trie.words[trie.firsts[i]], trie.words[trie.seconds[i]]
        assert model.prob([second, first]) * LOG_BASE == pytest.approx(trie.pairs[i], abs=2e-4)
    for i in np.random.default_rng(0).integers(0, len(trie.triples), 50):
        pair = trie.owners[i]
        words = (trie.words[w] for w in (trie.seconds[pair], trie.firsts[pair], trie.zeroths[i]))
        assert model.prob(list(words)) * LOG_BASE == pytest.approx(trie.triples[i], abs=2e-4)


def test_another_file_is_refused():
    with pytest.raises(AudiogenError, match="trie"):
        read_trie(b"\\data\\\nngram 1=3")
