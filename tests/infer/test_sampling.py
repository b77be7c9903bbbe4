"""The sampler draws from the part of the distribution it is told to, and again the same from the same seed."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.infer.sampling import Sampler, seeded

LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(4000, -1)


def shares(sampler: Sampler, seed: int = 0) -> list[float]:
    drawn = sampler.pick(LOGITS, torch.rand(len(LOGITS), generator=torch.Generator().manual_seed(seed)))
    return (torch.bincount(drawn, minlength=4) / len(drawn)).tolist()


def test_it_follows_the_distribution():
    assert shares(Sampler()) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_temperature_zero_takes_the_best():
    assert shares(Sampler(temperature=0)) == [1, 0, 0, 0]


def test_a_low_temperature_sharpens():
    assert shares(Sampler(temperature=0.5))[0] > 0.6


@pytest.mark.parametrize(("top_p", "kept"), [(0.1, 1), (0.5, 1), (0.6, 2), (0.9, 3)])
def test_top_p_keeps_the_fewest_that_reach_it(top_p, kept):
    drawn = shares(Sampler(top_p=top_p))
    assert all(drawn[:kept]) and not any(drawn[kept:])


def test_top_k_keeps_so_many():
    assert shares(Sampler(top_k=2)) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)


def test_a_seed_repeats_itself():
    assert shares(Sampler(), 5) == shares(Sampler(), 5) != shares(Sampler(), 6)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_p": 0.6}, {"top_k": 2}, {"temperature": 0}])
def test_evenly_spread_uniforms_pick_in_proportion(options):
    sampler, count = Sampler(**options), len(LOGITS)
    drawn = sampler.pick(LOGITS, (torch.arange(count) + 0.5) / count)
    assert (torch.bincount(drawn, minlength=4) / count).tolist() == pytest.approx(shares(sampler), abs=0.03)
    assert drawn.diff().min() >= 0


@pytest.mark.parametrize("sharpness", [0.1, 5.0])
def test_draws_are_those_from_a_whole_sort(sharpness):
    logits = sharpness * torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(50, generator=torch.Generator().manual_seed(1))
    chances = logits.softmax(-1)
    ranked = chances.sort(-1, descending=True)
    kept = ranked.values.cumsum(-1) - ranked.values < 0.8
    allowed = torch.zeros(50, 1000, dtype=torch.bool).scatter(1, ranked.indices, kept)
    reached = (chances * allowed).cumsum(-1)
    expected = (reached <= (uniforms * reached[:, -1])[:, None]).sum(-1)
    assert torch.equal(Sampler(top_p=0.8).pick(logits, uniforms), expected)


def test_the_last_uniform_picks_no_code_of_no_chance():
    assert Sampler(top_k=2).pick(LOGITS[:1], torch.tensor([1 - 2**-24])).item() == 1


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(AudiogenError, match="must be"):
        Sampler(**wrong)


def test_seeds_have_64_bits():
    assert torch.rand(1, generator=seeded(2**64 - 1)) != torch.rand(1, generator=seeded(-(2**63)))
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(AudiogenError, match=f"seed is {seed}; .* from"):
            seeded(seed)
