"""CTC decoding: brute force over all alignments, parts of any length, words with times."""

import itertools
import math

import pytest
import torch

from audiogen.infer.ctc import BeamDecoder, GreedyDecoder, Label, words

BLANK = 3


def random_log_probs(frames: int, seed: int) -> torch.Tensor:
    return (2 * torch.randn(frames, BLANK + 1, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def brute_force(log_probs: torch.Tensor, scorer=None) -> dict[tuple[int, ...], float]:
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(BLANK + 1), repeat=len(log_probs)):
        probability = math.exp(sum(float(log_probs[t, label]) for t, label in enumerate(path)))
        totals[collapse(path)] = totals.get(collapse(path), 0.0) + probability
    return {text: math.log(p) + (score_all(scorer, text) if scorer else 0.0) for text, p in totals.items()}


class Alternating:
    """Likes a label to differ from the one before, and sequences that end in 0."""

    def start(self):
        return None

    def score(self, state, label):
        return (0.7 if state != label else -0.7), label

    def end(self, state):
        return 1.5 if state == 0 else 0.0


def score_all(scorer, text) -> float:
    total, state = 0.0, scorer.start()
    for label in text:
        added, state = scorer.score(state, label)
        total += added
    return total + scorer.end(state)


@pytest.mark.parametrize("scorer", [None, Alternating()])
@pytest.mark.parametrize("seed", range(8))
def test_wide_beam_equals_brute_force(seed, scorer):
    log_probs = random_log_probs(5, seed)
    totals = brute_force(log_probs, scorer)
    decoder = BeamDecoder(BLANK, width=10_000, scorer=scorer, floor=-math.inf)
    decoder.feed(log_probs)
    assert tuple(label.id for label in decoder.labels(final=True)) == max(totals, key=totals.get)


DECODERS = [lambda: GreedyDecoder(BLANK), lambda: BeamDecoder(BLANK, width=4, scorer=Alternating())]


@pytest.mark.parametrize("make", DECODERS)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_parts_give_what_the_whole_gives(make, size):
    log_probs = random_log_probs(40, 0)
    whole, parts = make(), make()
    whole.feed(log_probs)
    stable: list[Label] = []
    for start in range(0, 40, size):
        parts.feed(log_probs[start : start + size])
        labels = [label.id for label in parts.labels()]
        assert labels[: len(stable)] == stable
        stable = labels[: parts.stable()]
    assert parts.labels(final=True) == whole.labels(final=True)


def test_greedy_is_the_collapsed_best_path():
    log_probs = random_log_probs(40, 1)
    decoder = GreedyDecoder(BLANK)
    decoder.feed(log_probs)
    assert tuple(label.id for label in decoder.labels()) == collapse(tuple(log_probs.argmax(-1).tolist()))


def test_a_repeat_needs_a_blank_between():
    for make in (lambda: GreedyDecoder(1), lambda: BeamDecoder(1, floor=-math.inf)):
        decoder = make()
        decoder.feed(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]]).log())
        assert [label.id for label in decoder.labels()] == [0, 0]


def test_words_have_times_and_confidences():
    labels = [Label(1, 2, 4, math.log(0.9)), Label(0, 5, 6, -0.1), Label(2, 7, 8, 0.0), Label(1, 9, 11, math.log(0.25))]
    assert words(labels, [" ", "a", "b"], 0.04) == [("a", 0.08, 0.16, 0.9), ("ba", 0.28, 0.44, 0.5)]
    assert words([], [" ", "a"], 0.04) == []
