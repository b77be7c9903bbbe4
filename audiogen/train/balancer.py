"""The loss balancer of EnCodec (arXiv 2210.13438, §3.4): weights are shares of the gradient, not factors of the
losses.

A spectral distance, a discriminator's score and a distance of features live on scales that have nothing to do with
each other and that drift as the discriminators learn. So each loss's gradient with respect to the model's output is
divided by a running mean of its norm before it is weighed: a loss with twice the weight pulls the output twice as
hard, whatever its values are.
"""

import torch
from torch import Tensor, nn


class LossBalancer(nn.Module):
    """Combines losses of one output so that each has its share of the gradient, whose norm is about 1 in all.

    Args:
        weights: Loss → share; shares are relative to the sum over the losses that are there.
        decay: Of the running means.
    """

    def __init__(self, weights: dict[str, float], decay: float = 0.99) -> None:
        super().__init__()
        self.weights, self.decay = dict(weights), decay
        self.register_buffer("norms", torch.zeros(len(weights)))
        self.register_buffer("seen", torch.zeros(len(weights)))

    def forward(self, losses: dict[str, Tensor], output: Tensor) -> Tensor:
        """A scalar whose value is the weighted sum of `losses`, and whose gradient is the balanced one.

        Args:
            losses: Scalars computed from `output`; any of the names in `weights`.
            output: What the model made, [B, …], with a gradient.
        """
        total = sum(self.weights[name] for name in losses)
        balanced = torch.zeros_like(output)
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
            norm = self._mean_norm(name, gradient.flatten(1).norm(dim=1).mean())
            balanced += self.weights[name] / total * gradient / (norm + 1e-12)
        value = sum(self.weights[name] * loss.detach() for name, loss in losses.items())
        surrogate = (output * balanced).sum()
        return surrogate - surrogate.detach() + value

    @torch.no_grad()
    def _mean_norm(self, name: str, norm: Tensor) -> Tensor:
        """The running mean of a loss's gradient norm, right from the first value on."""
        index = list(self.weights).index(name)
        for buffer, value in ((self.norms, norm), (self.seen, 1.0)):
            buffer[index] = self.decay * buffer[index] + (1 - self.decay) * value
        return self.norms[index] / self.seen[index]
