"""CTC decoding by the best labels: collapsed paths, parts of any length, words with times."""

import itertools
import math

import pytest
import torch

from audiogen.infer.ctc import GreedyDecoder, Label, Speller, words

BLANK = 3


def random_log_probs(frames: int, seed: int) -> torch.Tensor:
    return (2 * torch.randn(frames, BLANK + 1, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_parts_give_what_the_whole_gives(size):
    log_probs = random_log_probs(40, 0)
    whole, parts = (Speller(GreedyDecoder(BLANK), " ab", 0.02) for _ in range(2))
    whole.feed(log_probs)
    settled: list[str] = []
    for start in range(0, 40, size):
        parts.feed(log_probs[start : start + size])
        spelt = [word.word for word in parts.words()]
        assert spelt[: len(settled)] == settled
        settled = spelt[: parts.stable()]
    assert settled
    assert parts.words(final=True) == whole.words(final=True)


def test_greedy_is_the_collapsed_best_path():
    log_probs = random_log_probs(40, 1)
    decoder = GreedyDecoder(BLANK)
    decoder.feed(log_probs)
    assert tuple(label.id for label in decoder.labels()) == collapse(tuple(log_probs.argmax(-1).tolist()))


def test_a_repeat_needs_a_blank_between():
    decoder = GreedyDecoder(1)
    decoder.feed(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]]).log())
    assert [label.id for label in decoder.labels()] == [0, 0]


def test_words_have_times_and_confidences():
    labels = [Label(1, 2, 4, math.log(0.9)), Label(0, 5, 6, -0.1), Label(2, 7, 8, 0.0), Label(1, 9, 11, math.log(0.25))]
    assert words(labels, [" ", "a", "b"], 0.04) == [("a", 0.08, 0.16, 0.9), ("ba", 0.28, 0.44, 0.5)]
    assert words([], [" ", "a"], 0.04) == []
    assert words([labels[0], labels[2], labels[0]], ["", "▁a", "▁"], 0.04)[0][:3] == ("a", 0.08, 0.16)
