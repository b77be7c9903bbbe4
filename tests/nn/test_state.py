"""State trees: `cat` undoes `select`, `reset` starts sessions afresh, and what does not fit is told."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.nn.state import State


@dataclass
class Inner(State):
    past: Tensor


@dataclass
class Outer(State):
    inner: Inner
    layers: list[Inner]
    position: Tensor
    capacity: int


def tree() -> Outer:
    return Outer(Inner(torch.rand(3, 2)), [Inner(torch.rand(3, 4)), Inner(torch.rand(3, 1))], torch.arange(3), 7)


def tensors(state: Outer) -> list[Tensor]:
    return [state.inner.past, *(layer.past for layer in state.layers), state.position]


def test_cat_undoes_select():
    whole = tree()
    again = Outer.cat([whole.select([row]) for row in range(3)])
    assert again.capacity == 7
    assert all(torch.equal(a, b) for a, b in zip(tensors(whole), tensors(again), strict=True))


def test_select_takes_sessions_in_the_order_asked_for():
    assert tree().select([2, 0]).position.tolist() == [2, 0]


def test_reset_touches_the_masked_sessions_alone():
    whole = tree()
    reset = whole.reset(torch.tensor([False, True, False]))
    for before, after in zip(tensors(whole), tensors(reset), strict=True):
        assert not after[1].any()
        assert torch.equal(after[[0, 2]], before[[0, 2]])


def test_states_that_do_not_fit_together_are_refused():
    with pytest.raises(AudiogenError, match="past"):
        Inner.cat([Inner(torch.zeros(1, 2)), Inner(torch.zeros(1, 3))])


def test_ragged_states_join_with_zeros_at_their_ends():
    joined = Inner.join([Inner(torch.ones(1, 2)), Inner(torch.ones(2, 3))])
    assert joined.past.tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]


def test_a_session_is_put_in_the_place_of_another():
    state = Inner(torch.ones(3, 2)).put(1, Inner(torch.full((1, 1), 5.0)))
    assert state.past.tolist() == [[1, 1], [5, 0], [1, 1]]
    assert state.put(0, Inner(torch.full((1, 3), 7.0))).past.tolist() == [[7, 7, 7], [5, 0, 0], [1, 1, 0]]
