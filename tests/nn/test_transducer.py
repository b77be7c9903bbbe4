"""The transducer's loss against the sum over all alignments and torchaudio's; the predictor continued equals whole."""

import itertools
import math

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.rnnt_loss import rnnt_loss, scanned_loss
from audiogen.nn.transducer import Predictor


def random_batch(frames: int, labels: int, vocab: int, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, frames, labels + 1, vocab + 1, generator=generator, dtype=dtype)
    said = torch.randint(vocab, (3, labels), generator=generator)
    return logits, said, torch.tensor([frames, frames - 1, 1]), torch.tensor([labels, labels - 1, 0])


def summed_over_alignments(logits: torch.Tensor, labels: list[int]) -> float:
    """−log of the sum over all orders of T blanks and U labels that end with a blank."""
    frames, log_probs = len(logits), logits.log_softmax(-1)
    ways = []
    for places in itertools.combinations(range(frames + len(labels) - 1), len(labels)):
        t = u = 0
        total = 0.0
        for step in range(frames + len(labels)):
            if step in places:
                total += log_probs[t, u, labels[u]].item()
                u += 1
            else:
                total += log_probs[t, u, -1].item()
                t += 1
        ways.append(total)
    return -torch.logsumexp(torch.tensor(ways, dtype=torch.float64), 0).item()


def test_loss_is_the_sum_over_all_alignments():
    logits, labels, lengths, counts = random_batch(4, 3, 2)
    losses = scanned_loss(logits, labels, lengths, counts)
    for row, (frames, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        expected = summed_over_alignments(logits[row, :frames, : count + 1], labels[row, :count].tolist())
        assert losses[row].item() == pytest.approx(expected, abs=1e-10)


def test_loss_and_gradients_are_those_of_torchaudio():
    pytest.importorskip("torchaudio")
    logits, labels, lengths, counts = random_batch(30, 7, 11, torch.float32)
    gradients = []
    for loss in (scanned_loss, rnnt_loss):
        leaf = logits.clone().requires_grad_()
        losses = loss(leaf, labels, lengths, counts)
        losses.sum().backward()
        gradients.append((losses.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_finite_differences():
    logits, labels, lengths, counts = random_batch(3, 2, 2)
    assert torch.autograd.gradcheck(lambda x: scanned_loss(x, labels, lengths, counts), logits.requires_grad_())


def test_fast_emit_keeps_the_value_and_pulls_labels():
    logits, labels, lengths, counts = random_batch(5, 3, 4)
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    losses = [rnnt_loss(leaf, labels, lengths, counts, emit) for leaf, emit in zip(leaves, (0.0, 0.5), strict=True)]
    torch.testing.assert_close(losses[0], losses[1])
    for loss in losses:
        loss.sum().backward()
    assert leaves[1].grad[0, 0, 0, labels[0, 0]] < leaves[0].grad[0, 0, 0, labels[0, 0]]


def test_padding_of_a_row_changes_nothing():
    logits, labels, lengths, counts = random_batch(6, 4, 3)
    alone = scanned_loss(logits[1:2, :5, :4], labels[1:2, :3], lengths[1:2], counts[1:2])
    assert scanned_loss(logits, labels, lengths, counts)[1].item() == pytest.approx(alone.item(), abs=1e-12)
    certain = torch.full((1, 2, 2, 3), -1e4)
    certain[0, 0, 0, 1] = certain[0, :, 1, 2] = 0.0
    likelihood = scanned_loss(certain, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1]))
    assert likelihood.item() == pytest.approx(0.0, abs=1e-5) and math.isfinite(likelihood.item())


def test_shapes_that_do_not_fit_are_refused():
    logits, labels, lengths, counts = random_batch(4, 3, 2)
    with pytest.raises(AudiogenError, match="do not fit"):
        rnnt_loss(logits, labels[:, :2], lengths, counts)
    with pytest.raises(AudiogenError, match="do not fit"):
        rnnt_loss(logits, labels, lengths - 1, counts)


def test_predictor_continued_equals_whole():
    torch.manual_seed(0)
    predictor, labels = Predictor(5, 8, 2, 0.0).eval(), torch.randint(5, (2, 6))
    whole, _ = predictor(labels)
    state, parts = None, []
    for part in labels.split(2, dim=1):
        predicted, state = predictor(part, state)
        parts.append(predicted)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
