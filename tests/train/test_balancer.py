"""The loss balancer: shares of the gradient follow the weights, whatever the losses' scales."""

import pytest
import torch

from audiogen.train.balancer import LossBalancer


def gradients(weights, scales, steps=3):
    """The balanced gradient on an output that two losses pull along different axes."""
    balancer = LossBalancer(weights)
    for _ in range(steps):
        output = torch.zeros(1, 2, requires_grad=True)
        losses = {name: scale * output[0, axis] for axis, (name, scale) in enumerate(scales.items())}
        loss = balancer(losses, output)
        loss.backward()
    return output.grad[0]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_a_losses_scale_does_not_matter(scale):
    torch.testing.assert_close(gradients({"a": 1.0, "b": 3.0}, {"a": scale, "b": 2.0}), torch.tensor([0.25, 0.75]))


def test_shares_are_of_the_losses_that_are_there():
    torch.testing.assert_close(gradients({"a": 1.0, "b": 3.0}, {"a": 5.0}), torch.tensor([1.0, 0.0]))


def test_the_value_is_the_weighted_sum():
    output = torch.ones(2, 3, requires_grad=True)
    loss = LossBalancer({"a": 2.0, "b": 0.5})({"a": output.sum(), "b": output.square().sum()}, output)
    assert loss.item() == pytest.approx(2 * 6 + 0.5 * 6)


def test_a_sudden_gradient_stands_out_from_the_running_mean():
    balancer = LossBalancer({"a": 1.0})
    for scale in [1.0] * 20 + [10.0]:
        output = torch.zeros(1, 1, requires_grad=True)
        balancer({"a": scale * output.sum()}, output).backward()
    assert 5 < output.grad.item() < 10
