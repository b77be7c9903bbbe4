"""Residual quantisation: gradients, learning of the codebooks, restart of dead codes."""

import copy

import torch

from audiogen.nn.quantize import CodebookLearner, ResidualVectorQuantizer, merged


def test_every_layers_commitment_reaches_the_input():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(3, 16, 4)
    alone = []
    for used in (1, 2, 3):
        x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (quantizer(x, used).commitment * used).backward()
        alone.append(x.grad)
    assert (alone[1] - alone[0]).abs().max() > 1e-3
    assert (alone[2] - alone[1]).abs().max() > 1e-3


def test_the_straight_through_gradient_is_the_identity():
    x = torch.randn(2, 6, 4).requires_grad_()
    ResidualVectorQuantizer(3, 16, 4)(x, 3).values.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_learned_codebooks_lower_the_error_layer_by_layer():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(4, 32, 6)
    learner = CodebookLearner(quantizer, start_after=3)
    while not learner.started:
        learner.gather(quantizer, torch.randn(8, 64, 6))
    for _ in range(30):
        learner.update(quantizer, quantizer(torch.randn(8, 64, 6), 4))
    x = torch.randn(8, 64, 6)
    errors = [float((quantizer.decode(quantizer.encode(x)[:, :k]) - x).square().mean()) for k in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1


def test_dead_codes_come_back_to_life():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(1, 16, 4)
    quantizer.vectors[0, 5:] = 1e3
    learner = CodebookLearner(quantizer, start_after=0, decay=0.5)
    for _ in range(10):
        learner.update(quantizer, quantizer(torch.randn(4, 64, 4), 1))
    assert quantizer.vectors.abs().max() < 10


def test_merging_by_one_is_no_merging_and_groups_are_averaged():
    x = torch.randn(2, 6, 3)
    assert torch.equal(merged(x, 1), x)
    assert torch.allclose(merged(x, 2)[:, 0], x[:, :2].mean(1))
    assert torch.equal(merged(x, 3)[:, 0], merged(x, 3)[:, 2])


def test_norms_follow_the_vectors_however_they_change():
    quantizer = ResidualVectorQuantizer(2, 16, 4)
    x = torch.randn(1, 50, 4)

    def check():
        distances = torch.cdist(x[0].double(), quantizer.vectors[0].double())
        assert torch.equal(quantizer.encode(x)[0, 0], distances.argmin(1))
        assert torch.equal(quantizer.half_norms, 0.5 * quantizer.vectors.square().sum(-1))

    check()
    quantizer.vectors[0, 3:] *= 3
    check()
    quantizer.load_state_dict(ResidualVectorQuantizer(2, 16, 4).state_dict())
    check()
    quantizer.double()
    quantizer.float()
    check()
    with torch.inference_mode():
        quantizer.vectors[0].mul_(2)
        check()
    quantizer = copy.deepcopy(quantizer)
    quantizer.vectors.neg_()
    check()
    with torch.inference_mode():
        quantizer = ResidualVectorQuantizer(2, 16, 4)
        check()
