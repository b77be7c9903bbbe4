"""Codebook patterns against the layouts written out by hand."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.nn.patterns import Pattern, PatternConfig

FILL = 9
CODES = torch.arange(1, 5).expand(1, 3, 4)  # frame t holds code t + 1 in every codebook


def rows(config: PatternConfig) -> list[str]:
    sequence = config.build(3, 4).spread(CODES, FILL)[0]
    return ["".join(map(str, row)).replace(str(FILL), "S") for row in sequence.tolist()]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (PatternConfig("delay"), ["S1234SS", "SS1234S", "SSS1234"]),
        (PatternConfig("delay", [0, 0, 2]), ["S1234SS", "S1234SS", "SSS1234"]),
        (PatternConfig("parallel"), ["S1234", "S1234", "S1234"]),
        (PatternConfig("unroll"), ["S1SS2SS3SS4SS", "SS1SS2SS3SS4S", "SSS1SS2SS3SS4"]),
        (PatternConfig("unroll", turns=[0, 1, 1]), ["S1S2S3S4S", "SS1S2S3S4", "SS1S2S3S4"]),
        (PatternConfig("coarse_first"), ["S1234SSSS", "SSSSS1234", "SSSSS1234"]),
        (PatternConfig("coarse_first", [0, 0, 1]), ["S1234SSSSS", "SSSSS1234S", "SSSSSS1234"]),
    ],
)
def test_layouts(config: PatternConfig, expected: list[str]) -> None:
    assert rows(config) == expected


@pytest.mark.parametrize("name", ["delay", "parallel", "unroll", "coarse_first"])
def test_what_is_spread_is_collected(name: str) -> None:
    pattern = PatternConfig(name).build(4, 7)
    codes = torch.randint(0, 9, (2, 4, 7))
    sequence = pattern.spread(codes, 99)
    assert torch.equal(pattern.collect(sequence), codes)
    assert torch.equal((sequence[0] != 99), pattern.holds())
    vectors = torch.randn(2, 4, pattern.num_steps, 5)
    before = pattern.collect(vectors, shift=1)
    assert torch.equal(before[1, 2, 3], vectors[1, 2, int(pattern.steps[2, 3]) - 1])


def test_steps_of_a_clip() -> None:
    pattern = PatternConfig("delay").build(4, 500)
    assert pattern.num_steps == 504 and pattern.trained_steps == 501
    whole = pattern.whole_frames()
    assert [whole[step] for step in (0, 3, 4, 5, 503)] == [0, 0, 1, 2, 500] and len(whole) == 504
    assert pattern.first_step(0) == 1 and pattern.first_step(30) == 31


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatternConfig("delays"), "did you mean 'delay'"),
        (lambda: PatternConfig("delay", [0, -1]), "least must be 0"),
        (lambda: PatternConfig("delay", [1, 2]), "least must be 0"),
        (lambda: PatternConfig("parallel", [0, 1]), "`delay` would be right"),
        (lambda: PatternConfig("unroll", turns=[0, 2]), "without a gap"),
        (lambda: PatternConfig("delay", turns=[0, 1]), "only `unroll`"),
        (lambda: PatternConfig("coarse_first", [1, 0]), "first codebook must be 0"),
        (lambda: PatternConfig("delay", [0, 1]).build(3, 4), "2 delays are given"),
        (lambda: PatternConfig().build(3, 0), "at least one codebook and frame"),
        (lambda: Pattern(torch.tensor([[0, 1]])), "the first is 1"),
        (lambda: Pattern(torch.tensor([[1, 1]])), "do not grow"),
    ],
)
def test_mistakes_are_told(make, message: str) -> None:
    with pytest.raises(AudiogenError, match=message):
        make()
