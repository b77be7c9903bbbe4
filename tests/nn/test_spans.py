"""Span masks and schedules against published counts, and what re-masking never does."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.spans import SpanRule, cosine_schedule, expected_rates, random_spans, start_table

RULES = [SpanRule(3, arrangement, scoring) for arrangement in ("grid", "free") for scoring in ("max", "prod")]


def counts(steps: int, total: int) -> list[int]:
    return [max(1, int(share * total)) for share in cosine_schedule(steps)]


def test_starts_of_spans_are_those_of_the_public_code() -> None:
    table = start_table(500, 3)
    assert [int(table[percent]) for percent in (10, 25, 50, 75, 90)] == [18, 46, 103, 185, 268]
    assert int(start_table(1500, 3)[50]) == 310


def test_expected_rate_is_the_rate_seen() -> None:
    masks = random_spans(torch.full((400,), 0.5), 120, 3, torch.Generator().manual_seed(0))
    assert abs(masks.float().mean() - expected_rates(120, 3)[int(start_table(120, 3)[50])]) < 0.01


def test_random_spans_hold_whole_spans() -> None:
    masks = random_spans(torch.rand(50), 40, 4, torch.Generator().manual_seed(1))
    for row in masks.int().tolist():
        runs = "".join(map(str, row)).rstrip("1").split("0")
        assert all(len(run) == 0 or len(run) >= 4 for run in runs)
    assert bool(masks.any(1).all())


def test_schedules_are_those_of_the_public_code() -> None:
    assert counts(10, 166) == [166, 163, 155, 143, 127, 106, 82, 56, 28, 1]
    expected = [166, 165, 163, 160, 157, 152, 145, 138, 130, 122, 112, 101, 90, 79, 66, 53, 40, 27, 13, 1]
    assert counts(20, 166) == expected
    assert counts(1, 166) == [166]
    assert cosine_schedule(20)[-1] == 0  # exactly, so that guidance ends exactly where it should


@pytest.mark.parametrize("frames", [2, 30, 31])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_masks_shrink_by_the_schedule_and_take_nothing_back(rule: SpanRule, frames: int) -> None:
    generator = torch.Generator().manual_seed(frames)
    wanted = torch.ones(4, frames, dtype=torch.bool)
    wanted[1, : frames // 2] = False
    wanted[2, frames - frames // 3 :] = False
    masked = wanted
    for share in cosine_schedule(8)[1:]:
        before, masked = masked, rule.remask(torch.rand(4, frames, generator=generator), masked, wanted, share)
        assert not bool((masked & ~before).any())
        for row in range(4):
            if rule.arrangement == "grid":
                padded = torch.nn.functional.pad(torch.stack([masked[row], wanted[row]]), (0, -frames % 3))
                got, total = padded.unflatten(1, (-1, 3)).any(2).sum(1).tolist()
                assert got == max(1, int(share * total))
            else:
                got, target = int(masked[row].sum()), max(1, int(share * int(wanted[row].sum())))
                assert target <= got < target + 3


def test_the_worst_spans_are_masked() -> None:
    masked = torch.ones(1, 9, dtype=torch.bool)
    said = torch.tensor([[0.9, 0.1, 0.1, 0.3, 0.3, 0.3, 0.5, 0.8, 0.4]])
    half = torch.tensor(0.4)  # one span of three
    by_best = SpanRule(3, "grid", "max").remask(said, masked, masked, half)
    by_product = SpanRule(3, "grid", "prod").remask(said, masked, masked, half)
    anywhere = SpanRule(3, "free", "prod").remask(said, masked, masked, half)
    assert by_best[0].nonzero().flatten().tolist() == [3, 4, 5]
    assert by_product[0].nonzero().flatten().tolist() == [0, 1, 2]
    assert anywhere[0].nonzero().flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("options", [{"span": 0}, {"arrangement": "stride1"}, {"scoring": "sum"}])
def test_mistakes_are_told(options: dict) -> None:
    with pytest.raises(AudiogenError):
        SpanRule(**options)
