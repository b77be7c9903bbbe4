"""Costs of codes by counting, against values known by hand."""

import pytest
import torch

from audiogen.metrics.codes import counted_bits


def test_even_and_predictable_codes():
    even = torch.randint(0, 16, (40_000,), generator=torch.Generator().manual_seed(0))
    assert counted_bits([even], [even], 16) == pytest.approx(4, abs=0.01)
    assert counted_bits([even], [even], 16, before=1) == pytest.approx(4, abs=0.02)
    counting = torch.arange(40_000) % 16
    assert counted_bits([counting], [counting], 16) == pytest.approx(4, abs=1e-3)
    assert counted_bits([counting], [counting], 16, before=1) == pytest.approx(0, abs=0.01)


def test_two_codes_of_context_tell_what_one_does_not():
    codes = torch.tensor([0, 0, 1, 1] * 5000)
    assert counted_bits([codes], [codes], 4, before=1) == pytest.approx(1, abs=0.01)
    assert counted_bits([codes], [codes], 4, before=2) == pytest.approx(0, abs=0.01)


def test_what_was_never_seen_is_costly_but_possible():
    seen, unseen = torch.zeros(1000, dtype=torch.long), torch.full((10,), 3)
    assert 10 < counted_bits([seen], [unseen], 4) < 20
