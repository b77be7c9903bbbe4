"""Word trigrams: probabilities that sum to one, mixed with transcripts, written and read."""

import numpy as np
import pytest

from audiogen.text.lexicon import cmudict
from audiogen.text.trigrams import Followers, WordTrigrams, count_words, read_trigrams

CAT, SAT, THE = range(3)


def small() -> WordTrigrams:
    """What follows "cat" and "the", and "the cat"."""
    pairs = Followers.of(np.array([CAT * 3 + SAT, CAT * 3 + THE, THE * 3 + CAT]), np.array([0.3, 0.2, 0.6]), 4, 3)
    triples = Followers.of(np.array([0 * 3 + SAT]), np.array([0.7]), 1, 3)
    return WordTrigrams(["cat", "sat", "the"], np.array([0.2, 0.3, 0.5]), pairs, np.array([THE * 3 + CAT]), triples)


def chances(trigrams: WordTrigrams, history: int) -> np.ndarray:
    return np.exp(trigrams.log_prob(np.full(trigrams.start, history), np.arange(trigrams.start)))


@pytest.mark.parametrize("history", range(5))
def test_what_follows_a_history_sums_to_one(history):
    mixed = small().mixed(**count_words([["the", "cat", "sat"], ["the", "dog"], ["sat"]]))
    for trigrams in (small(), mixed):
        assert chances(trigrams, history).sum() == pytest.approx(1.0)


def test_what_a_history_leaves_goes_to_the_shorter_one():
    assert chances(small(), THE)[CAT] == pytest.approx(0.6 + 0.4 * 0.2)
    assert chances(small(), 4)[SAT] == pytest.approx(0.7 + 0.3 * chances(small(), CAT)[SAT])


def test_histories_are_as_long_as_is_known():
    trigrams = small()
    histories = trigrams.after(np.array([THE, SAT, trigrams.start]), np.array([CAT, CAT, THE]))
    assert histories.tolist() == [4, CAT, THE]
    assert trigrams.last(histories).tolist() == [CAT, CAT, THE]


def test_transcripts_make_their_words_likelier():
    mixed = small().mixed(**count_words([["the", "sat"], ["the", "sat"]]))
    assert chances(mixed, THE)[SAT] > chances(small(), THE)[SAT]
    assert chances(mixed, mixed.start)[THE] > chances(small(), mixed.start)[THE]
    assert chances(mixed, CAT) == pytest.approx(chances(small(), CAT), abs=0.1)


def test_a_file_reads_as_it_was_written(tmp_path):
    small().save(tmp_path / "x.npz")
    again = read_trigrams(tmp_path / "x.npz")
    assert again.words == small().words
    for history in range(5):
        assert chances(again, history) == pytest.approx(chances(small(), history), rel=2e-3)


def test_english_knows_how_its_words_sound_and_what_follows_them():
    english, dictionary = read_trigrams(), cmudict()
    assert all(word in dictionary for word in english.words)
    ids = {word: index for index, word in enumerate(english.words)}
    one_of = english.after(np.array([ids["one"]]), np.array([ids["of"]]))
    assert one_of > english.start
    likely, odd = english.log_prob(np.repeat(one_of, 2), np.array([ids["the"], ids["of"]]))
    assert likely > odd + 3
