"""Exponential moving average of weights: what is validated and shipped."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Keeps `average ← decay · average + (1 − decay) · weight` of every floating-point tensor of some modules.

    The decay ramps up as (1 + step) / (10 + step), so that early averages forget the random start.
    """

    def __init__(self, modules: dict[str, nn.Module], decay: float) -> None:
        self.modules, self.decay = modules, decay
        self.average = {name: tensor.detach().clone() for name, tensor in self._tensors()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average toward the weights after optimiser step `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in self._tensors():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The modules hold the average inside the block and their own weights again after it."""
        own = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        self.copy_to_modules()
        try:
            yield
        finally:
            self._load(own)

    def copy_to_modules(self) -> None:
        """Replace the modules' weights by the average."""
        self._load(self.average)

    @torch.no_grad()
    def _load(self, values: dict[str, Tensor]) -> None:
        for name, tensor in self._tensors():
            tensor.copy_(values[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, module in self.modules.items():
            for key, tensor in module.state_dict(keep_vars=True).items():
                yield f"{name}.{key}", tensor
