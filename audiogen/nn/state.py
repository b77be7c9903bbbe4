"""Stream state: a tree of batch-first tensors that a layer takes and gives back.

The network is read-only while it serves, so many sessions share one model, and batching sessions is `cat` and
`select`. A subclass is a dataclass whose fields are tensors (batch is dimension 0), other states, lists of either,
or None; numbers and strings must be equal in states that are joined.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
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

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all tensors without the batch: equal in states that can be joined."""
        found: list[tuple[int, ...]] = []

        def note(tensor: Tensor) -> Tensor:
            found.append(tuple(tensor.shape[1:]))
            return tensor

        self.map(note)
        return tuple(found)

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        """Sessions joined along the batch: the inverse of `select`.

        Raises:
            AudiogenError: If the states do not fit together, e.g. hold buffers of unequal length.
        """
        return _joined(states, "the state", _cat)

    @classmethod
    def join(cls, states: Sequence[Self]) -> Self:
        """`cat` for states whose buffers may be of unequal length: the shorter get zeros at their ends."""
        return _joined(states, "the state", _cat_ragged)

    def put(self, row: int, session: Self) -> Self:
        """The state with the one row of `session` as its `row`; the old row is overwritten in place where it fits."""
        return _joined([self, session], "the state", lambda tensors, where: _put(row, *tensors))


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, State):
        return value.map(function)
    if isinstance(value, list):
        return [_map(function, item) for item in value]
    return value


def _joined(values: Sequence[Any], where: str, join: Callable[[Sequence[Tensor], str], Tensor]) -> Any:
    """One tree out of trees of one shape, their tensors joined by `join`, which is told where they stand."""
    first = values[0]
    if isinstance(first, Tensor):
        return join(values, where)
    if isinstance(first, State):
        names = [field.name for field in dataclasses.fields(first)]
        return type(first)(**{name: _joined([getattr(v, name) for v in values], name, join) for name in names})
    if isinstance(first, list):
        return [_joined(items, where, join) for items in zip(*values, strict=True)]
    if any(value != first for value in values):
        raise AudiogenError(f"states cannot be joined: {where} differs, {list(values)}")
    return first


def _cat(tensors: Sequence[Tensor], where: str) -> Tensor:
    if any(tensor.shape[1:] != tensors[0].shape[1:] for tensor in tensors):
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise AudiogenError(f"states cannot be joined: {where} has shapes {shapes}, equal but for the batch needed")
    return torch.cat([*tensors])


def _cat_ragged(tensors: Sequence[Tensor], where: str) -> Tensor:
    shape = _largest(tensors)
    return torch.cat([_grown(tensor, shape) for tensor in tensors])


def _put(row: int, tensor: Tensor, session: Tensor) -> Tensor:
    shape = _largest([tensor, session])
    tensor = _grown(tensor, shape)
    tensor[row] = _grown(session, shape)[0]
    return tensor


def _largest(tensors: Sequence[Tensor]) -> list[int]:
    """The shape, but for the batch, that all of them fit into."""
    return [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]


def _grown(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor with zeros at its ends up to `shape`, or itself if it has that shape."""
    missing = [wanted - size for wanted, size in zip(shape, tensor.shape[1:], strict=True)]
    return F.pad(tensor, [pad for size in reversed(missing) for pad in (0, size)]) if any(missing) else tensor
