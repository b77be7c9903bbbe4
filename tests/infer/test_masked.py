"""MAGNeT's decoding: the plain algorithm's codes, and what no option may break."""

from dataclasses import replace

import pytest
import torch

from audiogen.bench.masked import SHORTCUTS, plain_fill_in
from audiogen.errors import AudiogenError
from audiogen.infer.masked import MaskedOptions, Rescorer, fill_in
from audiogen.models.code_lm import CodeLMConfig
from audiogen.models.magnet import Magnet, MagnetConfig
from audiogen.models.musicgen import MusicGen, MusicGenConfig
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("tiny", 16_000, 320, num_codebooks=3, codebook_size=23)
SIZES = CodeLMConfig(dim=32, heads=2, layers=2, text_size=50, text_layers=1)
FRAMES, SEEDS = 40, (5, 6, 7)
CHOICES = [
    {},
    {"scoring": "prod"},
    {"arrangement": "free", "scoring": "prod"},
    {"arrangement": "free", "steps": (1, 2)},
    {"top_k": 5, "top_p": 1.0},
    {"temperature": 0.0, "guidance": 1.0},
]


@pytest.fixture(scope="module")
def model() -> Magnet:
    torch.manual_seed(0)
    return _lively(Magnet(MagnetConfig(SPEC, SIZES)))


@pytest.fixture(scope="module")
def rescorer_model() -> MusicGen:
    torch.manual_seed(1)
    return _lively(MusicGen(MusicGenConfig(SPEC, SIZES)))


def _lively(model):
    """With louder weights, so that predictions differ; in double precision, so that rounding decides no draw."""
    for parameter in model.requires_grad_(False).eval().parameters():
        parameter.mul_(2)
    return model.double()


def text() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randint(1, 50, (3, 4, 2)), torch.tensor([[True] * 4, [True, True, False, False], [True] * 4])


def fill(model: Magnet, options: MaskedOptions, rows=slice(None), codes=None, given=None, rescorer=None):
    memory = model.network.remember(*(x[rows] for x in text()))
    seeds = SEEDS[rows]
    codes = torch.zeros(len(seeds), 3, FRAMES, dtype=torch.long) if codes is None else codes
    given = torch.zeros(len(seeds), FRAMES, dtype=torch.bool) if given is None else given
    return fill_in(model, memory, codes, given, options, seeds, rescorer)


@pytest.mark.parametrize("options", [MaskedOptions(steps=(6, 3)), MaskedOptions(steps=(5, 2), scoring="prod")], ids=str)
def test_codes_are_those_of_the_plain_algorithm(model: Magnet, options: MaskedOptions) -> None:
    ours = fill(model, options)
    assert torch.equal(ours, plain_fill_in(model, *text(), FRAMES, options, SEEDS))
    for shortcuts in SHORTCUTS.values():
        alone = plain_fill_in(model, *(x[:1] for x in text()), FRAMES, options, SEEDS[:1], shortcuts)
        assert torch.equal(ours[:1], alone)


@pytest.mark.parametrize("changes", CHOICES, ids=str)
def test_a_clip_is_the_same_alone_and_among_others(model: Magnet, changes: dict) -> None:
    options = replace(MaskedOptions(steps=(5, 2)), **changes)
    together = fill(model, options)
    assert int(together.max()) < 23
    for row in range(3):
        assert torch.equal(fill(model, options, slice(row, row + 1))[0], together[row])


@pytest.mark.parametrize("changes", CHOICES, ids=str)
def test_what_is_given_stays(model: Magnet, changes: dict) -> None:
    options = replace(MaskedOptions(steps=(5, 2)), **changes)
    codes = torch.randint(23, (3, 3, FRAMES), generator=torch.Generator().manual_seed(3))
    given = torch.zeros(3, FRAMES, dtype=torch.bool)
    given[0, :10] = given[1, :8] = given[1, 31:] = given[2] = True  # a beginning, both ends, everything
    filled = fill(model, options, codes=codes, given=given)
    assert torch.equal(filled.masked_select(given[:, None]), codes.masked_select(given[:, None]))
    assert int(filled.max()) < 23
    assert torch.equal(
        fill(model, options, codes=torch.zeros_like(codes) + codes * given[:, None], given=given), filled
    )


def test_seeds_and_captions_decide(model: Magnet) -> None:
    memory, options = model.network.remember(*text()), MaskedOptions(steps=(4, 2))
    nothing = torch.zeros(3, 3, FRAMES, dtype=torch.long), torch.zeros(3, FRAMES, dtype=torch.bool)
    first = fill_in(model, memory, *nothing, options, (1, 1, 1))
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, fill_in(model, memory, *nothing, options, (1, 1, 1)))
    assert not torch.equal(first, fill_in(model, memory, *nothing, options, (2, 2, 2)))
    assert not torch.equal(first, fill_in(model, None, *nothing, options, (1, 1, 1)))


def test_a_rescorer_has_the_say_its_weight_gives_it(model: Magnet, rescorer_model: MusicGen) -> None:
    rescorer = Rescorer(rescorer_model, rescorer_model.network.remember(*text()))
    plain = fill(model, MaskedOptions(steps=(6, 3)))
    weightless = MaskedOptions(steps=(6, 3), rescorer_weight=0.0)
    assert torch.equal(fill(model, weightless, rescorer=rescorer), plain)
    weighty = replace(weightless, rescorer_weight=0.9)
    assert not torch.equal(fill(model, weighty, rescorer=rescorer), plain)


def test_a_rescorer_gives_the_probabilities_of_its_own_steps(rescorer_model: MusicGen) -> None:
    rescorer = Rescorer(rescorer_model, None)
    codes = torch.randint(23, (2, 3, 9))
    codes[:, 2] = 23
    pattern = rescorer_model.config.pattern.build(3, 9)
    hidden = rescorer_model.network.causal_hidden(codes, None, pattern)
    frame, row = 4, 1
    logits = rescorer_model.network.heads[1](hidden[row, int(pattern.steps[1, frame]) - 1])
    expected = logits.float().softmax(0)[codes[row, 1, frame]]
    torch.testing.assert_close(rescorer.probabilities(codes, 1)[row, frame], expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskedOptions(steps=()), "at least 1"),
        (lambda: MaskedOptions(steps=(3, 0)), "at least 1"),
        (lambda: MaskedOptions(rescorer_weight=1.5), "between 0 and 1"),
        (lambda: MaskedOptions(temperature=-1), "temperature"),
        (lambda: MaskedOptions(arrangement="stride1"), "arrangement"),
    ],
)
def test_mistakes_are_told(make, message: str) -> None:
    with pytest.raises(AudiogenError, match=message):
        make()
