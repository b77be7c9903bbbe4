import random

import pytest

from audiogen.errors import AudiogenError
from audiogen.metrics.text import (
    EditCounts,
    bootstrap,
    character_error_rate,
    edit_counts,
    mean,
    spoken_words,
    word_error_rate,
)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("a b c", "a b c", EditCounts(hits=3)),
        ("a b c", "a x c", EditCounts(hits=2, substitutions=1)),
        ("a b c", "a c", EditCounts(hits=2, deletions=1)),
        ("a b c", "a b b c", EditCounts(hits=3, insertions=1)),
        ("a b c", "", EditCounts(deletions=3)),
        ("", "a b", EditCounts(insertions=2)),
        ("", "", EditCounts()),
    ],
)
def test_counts_say_what_went_wrong(reference, hypothesis, counts):
    assert edit_counts(reference.split(), hypothesis.split()) == counts


def test_counts_are_consistent_on_random_sequences():
    generator = random.Random(0)
    for _ in range(200):
        first = [generator.choice("abcd") for _ in range(generator.randrange(12))]
        second = [generator.choice("abcd") for _ in range(generator.randrange(12))]
        counts, back = edit_counts(first, second), edit_counts(second, first)
        assert counts.length == len(first)
        assert counts.hits + counts.substitutions + counts.insertions == len(second)
        assert counts.errors == back.errors


def test_rates_equal_jiwer():
    jiwer = pytest.importorskip("jiwer")
    generator = random.Random(1)
    words = "the quick brown fox jumps over a lazy dog it's".split()
    references = [" ".join(generator.choices(words, k=generator.randint(1, 14))) for _ in range(60)]
    hypotheses = [" ".join(generator.choices(words, k=generator.randint(0, 14))) for _ in range(60)]
    assert word_error_rate(references, hypotheses).value == pytest.approx(jiwer.wer(references, hypotheses))
    assert character_error_rate(references, hypotheses).value == pytest.approx(jiwer.cer(references, hypotheses))


def test_scoring_hears_no_difference_between_written_and_spoken_forms():
    assert spoken_words("Mr. Lee's 3 dogs, etc.!") == "mister lee's three dogs et cetera".split()
    assert word_error_rate(["Mr. Lee's 3 dogs!"], ["mister lee's three dogs"]).value == 0


def test_intervals_hold_the_value_and_shrink_with_more_utterances():
    generator = random.Random(2)
    few, many = ([generator.random() for _ in range(n)] for n in (10, 1000))
    wide, narrow = mean(few), mean(many)
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low < wide.high - wide.low
    assert bootstrap([1.0, 2.0], [2.0, 4.0]).low == bootstrap([1.0, 2.0], [2.0, 4.0]).high == 0.5
    assert mean(few) == wide


def test_nothing_to_score_is_an_error():
    with pytest.raises(AudiogenError, match="no utterance has a reference"):
        word_error_rate(["…"], ["a"])
    with pytest.raises(AudiogenError, match="2 references but 1 hypotheses"):
        word_error_rate(["a", "b"], ["a"])
