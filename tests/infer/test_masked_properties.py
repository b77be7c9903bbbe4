"""What MAGNeT's decoding promises, for any schedule, length, prompt and arrangement."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from audiogen.infer import masked
from audiogen.infer.masked import MaskedOptions, fill_in
from audiogen.models.code_lm import CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.nn.spans import cosine_schedule
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("tiny", 16_000, 320, num_codebooks=2, codebook_size=23)
SIZES = CodeLMConfig(dim=16, heads=2, layers=2, text_size=50, text_layers=1)
OPTIONS = st.builds(
    MaskedOptions,
    steps=st.lists(st.integers(1, 6), min_size=1, max_size=2).map(tuple),
    temperature=st.sampled_from([0.5, 3.0]),
    top_p=st.sampled_from([0.8, 1.0]),
    top_k=st.sampled_from([0, 5]),
    guidance=st.sampled_from([0.0, 1.0, 4.0]),
    last_guidance=st.sampled_from([1.0, 2.0]),
    arrangement=st.sampled_from(["grid", "free"]),
    scoring=st.sampled_from(["max", "prod"]),
)


@pytest.fixture(scope="module")
def model() -> Magnet:
    torch.manual_seed(0)
    return Magnet(MagnetConfig(SPEC, SIZES)).eval().requires_grad_(False).double()  # so that rounding decides no draw


@st.composite
def requests(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Codes [B, K, T] and which frames of them are given, bool [B, T]: a beginning and an end, perhaps none."""
    rows, frames = draw(st.integers(1, 3)), draw(st.integers(2, 35))
    codes = torch.randint(23, (rows, 2, frames), generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    ends = [(draw(st.integers(0, frames)), draw(st.integers(0, frames))) for _ in range(rows)]
    place = torch.arange(frames)
    return codes, torch.stack([(place < begin) | (place >= frames - end) for begin, end in ends])


def decode(model: Magnet, codes: Tensor, given: Tensor, options: MaskedOptions, rows: slice = slice(None)) -> Tensor:
    text = torch.randint(1, 50, (3, 4, 2), generator=torch.Generator().manual_seed(2))
    memory = model.network.remember(text[: len(codes)][rows], torch.ones(3, 4, dtype=torch.bool)[: len(codes)][rows])
    return fill_in(model, memory, codes[rows], given[rows], options, range(len(codes))[rows])


@given(request=requests(), options=OPTIONS)
def test_every_step_keeps_its_promises(model: Magnet, request: tuple[Tensor, Tensor], options: MaskedOptions) -> None:
    codes, known = request
    say, steps = masked._Stage._say, []

    def watched(stage, before, hidden, *rest):
        after, chances = say(stage, before, hidden, *rest)
        steps.append((stage._codebook, before, hidden, after))
        return after, chances

    with patch.object(masked._Stage, "_say", watched):
        filled = decode(model, codes, known, options)
    assert torch.equal(filled.masked_select(known[:, None]), codes.masked_select(known[:, None]))
    assert 0 <= int(filled.min()) and int(filled.max()) < 23
    for codebook in range(2):
        stage = [step for step in steps if step[0] == codebook]
        may_change, shares = ~known, cosine_schedule(options.steps_of(codebook))
        for (_, before, hidden, after), share in zip(stage, [] if known.all() else shares, strict=True):
            assert not bool((hidden & ~may_change).any())  # what is no longer hidden is never said again
            assert torch.equal(before[~hidden], after[~hidden])
            for row in range(len(codes)):
                assert counts_follow(options.arrangement, hidden[row], ~known[row], share)
            may_change = hidden


def counts_follow(arrangement: str, hidden: Tensor, wanted: Tensor, share: Tensor) -> bool:
    """Whether as much is hidden as the schedule says: spans of the grid, or frames, up to a span more."""
    if not bool(wanted.any()):
        return not bool(hidden.any())
    if arrangement == "free":
        target = max(1, int(share * int(wanted.sum())))
        return target <= int(hidden.sum()) < target + 3
    spans = torch.nn.functional.pad(torch.stack([hidden, wanted]), (0, -len(hidden) % 3)).unflatten(1, (-1, 3)).any(2)
    found, total = spans.sum(1).tolist()
    return found == max(1, int(share * total))


@given(request=requests(), options=OPTIONS)
def test_a_clip_is_the_same_alone_and_in_any_subset(
    model: Magnet, request: tuple[Tensor, Tensor], options: MaskedOptions
) -> None:
    together = decode(model, *request, options)
    for rows in (slice(0, 1), slice(1, None)):
        if len(together[rows]):
            assert torch.equal(decode(model, *request, options, rows), together[rows])
