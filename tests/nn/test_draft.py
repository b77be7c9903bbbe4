"""Revised clips have the outputs of whole ones, whatever was changed and whatever is asked for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiogen.nn.cross_transformer import CrossTransformer, pick
from audiogen.nn.draft import Draft, places_of

FRAMES = 70


@pytest.fixture(scope="module")
def network() -> CrossTransformer:
    torch.manual_seed(0)
    network = CrossTransformer(dim=32, heads=4, layers=3, feedforward=48).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@given(
    reach=st.sampled_from([None, 1, 5]),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_revised_is_whole(network: CrossTransformer, reach: int | None, shares: list, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    memory = network.remember(torch.randn(2, 3, 32, generator=generator) * mask[..., None], mask)
    draft, x = Draft(network, memory, reach), torch.randn(2, FRAMES, 32, generator=generator)
    for number, (changed, wanted, _) in enumerate(shares):
        both = any(also_without for *_, also_without in shares[number:])  # it may end, but not begin
        changed, wanted = (torch.rand(2, FRAMES, generator=generator) < share for share in (changed, wanted))
        x = torch.where(changed[..., None], torch.randn(x.shape, generator=generator), x)
        outputs, places = draft.revise(x, wanted, both), places_of(wanted)
        for found, told in zip(outputs.split(2), (memory, None), strict=False):
            whole = pick(torch.nn.functional.pad(network(x, told, reach=reach), (0, 0, 0, 1)), places)
            real = places < FRAMES
            torch.testing.assert_close(found[real], whole[real])
        assert len(outputs) == 2 * (1 + both)


def test_places_fill_up_shorter_rows() -> None:
    frames = torch.tensor([[False, True, True], [False, False, True], [False] * 3])
    assert places_of(frames).tolist() == [[1, 2], [2, 3], [3, 3]]
    assert places_of(frames[2:]).tolist() == [[3]]
