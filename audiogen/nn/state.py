"""Stream state: a tree of batch-first tensors that a layer takes and gives back.

The network is read-only while it serves, so many sessions share one model, and batching sessions is `cat` and
`select`. A subclass is a dataclass whose fields are tensors (batch is dimension 0), other states, lists of either,
or None; numbers and strings must be equal in states that are joined.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from audiogen.errors import AudiogenError


class State:
    """Base of the state dataclasses; see the module's first lines for what fields may hold."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """A new state with `function` applied to every tensor."""
        fields = {field.name: _map(function, getattr(self, field.name)) for field in dataclasses.fields(self)}
        return type(self)(**fields)

    def select(self, rows: Tensor | Sequence[int]) -> Self:
        """The sessions `rows`, in that order. `State.cat([s.select([i]) for i in range(B)])` equals `s`."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return self.map(lambda tensor: tensor.index_select(0, index.to(tensor.device)))

    def reset(self, mask: Tensor) -> Self:
        """The sessions where `mask` [B] is true back to a fresh stream: every layer starts from zeros."""
        return self.map(lambda tensor: tensor.masked_fill(mask.view(-1, *[1] * (tensor.dim() - 1)), 0))

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Every tensor moved or converted, as `Tensor.to`."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        """Sessions joined along the batch: the inverse of `select`.

        Raises:
            AudiogenError: If the states do not fit together, e.g. hold buffers of unequal length.
        """
        fields = dataclasses.fields(cls)
        return cls(**{f.name: _cat([getattr(state, f.name) for state in states], f.name) for f in fields})


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, State):
        return value.map(function)
    if isinstance(value, list):
        return [_map(function, item) for item in value]
    return value


def _cat(values: list[Any], where: str) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        if any(value.shape[1:] != first.shape[1:] for value in values):
            shapes = [tuple(value.shape) for value in values]
            raise AudiogenError(f"states cannot be joined: {where} has shapes {shapes}, equal but for the batch needed")
        return torch.cat(values)
    if isinstance(first, State):
        return type(first).cat(values)
    if isinstance(first, list):
        return [_cat(list(items), where) for items in zip(*values, strict=True)]
    if any(value != first for value in values):
        raise AudiogenError(f"states cannot be joined: {where} differs, {values}")
    return first
