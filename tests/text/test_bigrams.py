"""Word bigrams: probabilities that sum to one, mixed with transcripts, written and read."""

import numpy as np
import pytest

from audiogen.text.bigrams import WordBigrams, count_words, read_bigrams
from audiogen.text.lexicon import cmudict


def small() -> WordBigrams:
    singles, keys = np.array([0.2, 0.3, 0.5]), np.array([0 * 4 + 1, 0 * 4 + 2, 2 * 4 + 0])
    return WordBigrams(["cat", "sat", "the"], singles, keys, np.array([0.3, 0.2, 0.6]), np.array([0.5, 1, 0.4, 1]))


def chances(bigrams: WordBigrams, history: int) -> np.ndarray:
    return np.exp(bigrams.log_prob(np.full(bigrams.start, history), np.arange(bigrams.start)))


@pytest.mark.parametrize("history", range(4))
def test_what_follows_a_word_sums_to_one(history):
    mixed = small().mixed(**count_words([["the", "cat", "sat"], ["the", "dog"], ["sat"]]))
    for bigrams in (small(), mixed):
        assert chances(bigrams, history).sum() == pytest.approx(1.0)
    assert chances(small(), 2)[0] == pytest.approx(0.6 + 0.4 * 0.2)


def test_transcripts_make_their_words_likelier():
    mixed = small().mixed(**count_words([["the", "sat"], ["the", "sat"]]))
    assert chances(mixed, 2)[1] > chances(small(), 2)[1]
    assert chances(mixed, mixed.start)[2] > chances(small(), mixed.start)[2]
    assert chances(mixed, 0) == pytest.approx(chances(small(), 0), abs=0.1)


def test_a_file_reads_as_it_was_written(tmp_path):
    small().save(tmp_path / "x.npz")
    again = read_bigrams(tmp_path / "x.npz")
    assert again.words == small().words
    for history in range(4):
        assert chances(again, history) == pytest.approx(chances(small(), history), rel=2e-3)


def test_english_knows_how_its_words_sound_and_what_follows_them():
    english, dictionary = read_bigrams(), cmudict()
    assert all(word in dictionary for word in english.words)
    ids = {word: index for index, word in enumerate(english.words)}
    likely, odd = english.log_prob(np.array([ids["of"]] * 2), np.array([ids["the"], ids["of"]]))
    assert likely > odd + 3
