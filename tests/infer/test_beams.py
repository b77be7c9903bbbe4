"""Beam search for CTC and transducers: the likeliest labels of all, in parts as in one, with what is listened for."""

import itertools

import numpy as np
import pytest
import torch

from audiogen.infer.bias import Bias, WordWeights
from audiogen.infer.ctc import Speller
from audiogen.infer.hot_words import HotWords
from audiogen.infer.prefix_beam import PrefixBeam
from audiogen.infer.transducer import MAX_SYMBOLS, TransducerBeam, TransducerGreedy
from audiogen.nn.rnnt_loss import scanned_loss
from audiogen.nn.transducer import Joiner, Predictor
from audiogen.text.trigrams import Followers, WordTrigrams

SYMBOLS = " ab"
BLANK = 3


def random_log_probs(frames: int, seed: int, sharpness: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(frames, BLANK + 1, generator=generator)).log_softmax(-1)


class Transducer(torch.nn.Module):
    """A transducer without an encoder."""

    blank = BLANK

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.predictor, self.joiner = Predictor(BLANK, 6, 1, 0.0), Joiner(4, 6, 8, BLANK)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.9)
        self.joiner.out.bias.data[BLANK] += 2.5
        self.eval().requires_grad_(False)


def ids(search) -> list[int]:
    return [label.id for label in search.labels()]


@pytest.mark.parametrize("seed", range(4))
def test_prefix_beam_finds_the_likeliest_labels_of_all(seed):
    log_probs, sums = random_log_probs(6, seed, 1.0), {}
    for path in itertools.product(range(BLANK + 1), repeat=6):
        labels = tuple(label for label, _ in itertools.groupby(path) if label != BLANK)
        score = sum(log_probs[t, label].item() for t, label in enumerate(path))
        sums[labels] = np.logaddexp(sums.get(labels, -np.inf), score)
    beam = PrefixBeam(Bias(SYMBOLS), 10_000)
    beam.feed(log_probs)
    assert tuple(ids(beam)) == max(sums, key=sums.get)


@pytest.mark.parametrize("size", [1, 7])
def test_prefix_beam_in_parts_is_as_in_one(size):
    log_probs = random_log_probs(60, 1)
    whole, parts = PrefixBeam(Bias(SYMBOLS), 8), PrefixBeam(Bias(SYMBOLS), 8)
    whole.feed(log_probs)
    settled = []
    for part in log_probs.split(size):
        parts.feed(part)
        assert ids(parts)[: len(settled)] == settled
        settled = ids(parts)[: parts.settled()]
    assert parts.labels(final=True) == whole.labels(final=True) and len(settled) > 10
    assert all(label.start < label.end <= 60 and label.log_prob <= 0 for label in whole.labels())


def test_words_to_listen_for_are_heard_sooner():
    log_probs = torch.tensor([[0.01, 0.05, 0.9, 0.04], [0.01, 0.01, 0.01, 0.97], [0.01, 0.45, 0.5, 0.04]]).log()
    for bonus, expected in ((0.0, [2, 2]), (1.0, [2, 1])):
        beam = PrefixBeam(Bias(SYMBOLS, hot=HotWords([[2, 1]], bonus)), 8)
        beam.feed(log_probs)
        assert ids(beam) == expected


def test_an_unfinished_phrase_gives_back_what_it_was_given():
    hot = HotWords([[1, 2, 1], [2, 2]], 1.0)
    state, total = hot.START, 0.0
    for label, expected in ((1, 1), (2, 2), (2, 2), (0, 2)):  # the second phrase begins within the first
        state, gain = hot.advance(state, label)
        total += gain
        assert total == expected
    kept = sum_of(hot, [1, 2, 1])
    assert kept == 3.0 and sum_of(hot, [1, 2, 0]) == 0.0
    state, _ = hot.advance(hot.START, 1)
    assert hot.owed(state) == 1.0


def sum_of(hot: HotWords, labels: list[int]) -> float:
    state, total = hot.START, 0.0
    for label in labels:
        state, gain = hot.advance(state, label)
        total += gain
    return total


def test_a_language_model_chooses_between_words():
    pairs, triples = (Followers.of(np.zeros(1, np.int64), np.zeros(1), histories, 2) for histories in (3, 1))
    language = WordTrigrams(["a", "b"], np.array([0.999, 0.001]), pairs, np.zeros(1, np.int64), triples)
    log_probs = torch.tensor([[0.0, 0.4, 0.5, 0.1], [0.9, 0.0, 0.0, 0.1]]).clamp(min=1e-8).log()
    for weights, expected in ((None, "b"), (WordWeights(words=1.0, bonus=0.0), "a")):
        beam = PrefixBeam(Bias(SYMBOLS, language if weights else None, weights), 8)
        beam.feed(log_probs)
        assert Speller(beam, SYMBOLS, 1.0).words(final=True)[0].word == expected


def naive_greedy(model: Transducer, frames: torch.Tensor) -> list[int]:
    said, (predicted, state) = [], model.predictor(torch.tensor([[model.predictor.start]]))
    for frame in frames:
        for _ in range(MAX_SYMBOLS):
            label = int(model.joiner(frame, predicted[0, 0]).argmax())
            if label == BLANK:
                break
            said.append(label)
            predicted, state = model.predictor(torch.tensor([[label]]), state)
    return said


@pytest.mark.parametrize("size", [1, 9, 50])
def test_greedy_transducer_is_the_plain_loop_in_any_parts(size):
    model, frames = Transducer(), torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    greedy = TransducerGreedy(model)
    for part in frames.split(size):
        greedy.feed(part)
    assert ids(greedy) == naive_greedy(model, frames) and len(ids(greedy)) > 5
    starts = [label.start for label in greedy.labels()]
    assert starts == sorted(starts) and starts[-1] < 50


def test_wide_transducer_beam_finds_the_likeliest_labels_of_all():
    model, frames = Transducer(), torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(4))
    losses = {}
    for count in range(4):
        for labels in itertools.product(range(BLANK), repeat=count):
            said = torch.tensor([[BLANK, *labels]])
            logits = model.joiner(frames[:, :, None], model.predictor(said)[0][:, None])
            loss = scanned_loss(logits, said[:, 1:], torch.tensor([3]), torch.tensor([count]))
            losses[labels] = loss.item()
    beam = TransducerBeam(model, Bias(SYMBOLS), 200)
    beam.feed(frames[0])
    assert tuple(ids(beam)) == min(losses, key=losses.get)


@pytest.mark.parametrize("size", [1, 7])
def test_transducer_beam_in_parts_is_as_in_one(size):
    model, frames = Transducer(), torch.randn(21, 4, generator=torch.Generator().manual_seed(2))
    whole, parts = (TransducerBeam(model, Bias(SYMBOLS), 4) for _ in range(2))
    whole.feed(frames)
    for part in frames.split(size):
        parts.feed(part)
    for one, other in zip(parts.labels(final=True), whole.labels(final=True), strict=True):
        assert one[:3] == other[:3] and one.log_prob == pytest.approx(other.log_prob, abs=1e-5)
    assert whole.labels() and parts.settled() > 0
