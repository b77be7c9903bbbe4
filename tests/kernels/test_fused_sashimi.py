"""The fused step is the plain step, for every kind of network, any number of sessions, and over a whole second."""

import pytest
import torch

pytest.importorskip("numba")

from audiogen.errors import AudiogenError
from audiogen.kernels.sashimi import FusedSashimi, FusedState
from audiogen.kernels.sashimi_step import draw
from audiogen.models.sashimi import Sashimi, SashimiConfig
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("pcm", 16_000, 1, num_codebooks=1, codebook_size=256)
KINDS = [
    {"ssm": "s4"},
    {"ssm": "s4d"},
    {"ssm": "s4", "unet": True, "glu": True},
    {"ssm": "s4d", "unet": True, "tied": False, "feedforward": 1},
    {"ssm": "s4", "pools": [2], "classes": 3, "expand": 3, "scalar_norm": True},
]


def perturbed(layers=2, state_size=16, **options):
    torch.manual_seed(0)
    model = Sashimi(SashimiConfig(SPEC, dim=16, layers=layers, state_size=state_size, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
            if parameter.dim() == 0:
                parameter.add_(0.1)
    return model


def some_labels(model, count):
    return torch.arange(count) % model.config.classes if model.config.classes else None


@pytest.mark.parametrize("sessions", [1, 5])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_it_is_the_plain_step(kind, sessions):
    model = perturbed(**kind)
    codes, labels = torch.randint(0, 256, (sessions, 70)), some_labels(model, sessions)
    plain, _ = model.step(codes, model.init_state(sessions, labels))
    fused = FusedSashimi(model)
    state, parts = fused.init_state(sessions, labels), []
    for part in codes.split([1, 0, 30, 39], dim=1):
        logits, state = fused.step(part, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sessions", [1, 6])
@torch.no_grad()
def test_with_half_the_bytes_it_is_the_plain_step_of_rounded_weights(sessions):
    torch.manual_seed(0)
    model = Sashimi(SashimiConfig(SPEC, dim=16, layers=2, state_size=16, glu=True)).eval()
    fused, codes = FusedSashimi(model, half=True), torch.randint(0, 256, (sessions, 40))
    for part in model.modules():
        if isinstance(part, torch.nn.Linear):
            part.weight.copy_(part.weight.bfloat16())
    logits, _ = fused.step(codes, fused.init_state(sessions))
    torch.testing.assert_close(logits, model.step(codes, model.init_state(sessions))[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("ssm", "unet"), [("s4", False), ("s4", True), ("s4d", False), ("s4d", True)])
@torch.no_grad()
def test_a_second_sample_by_sample_is_the_convolution(ssm, unet):
    model = perturbed(layers=1, state_size=64, ssm=ssm, unet=unet)
    codes = torch.randint(0, 256, (1, 16_000))
    whole = model(codes)
    fused = FusedSashimi(model)
    before = torch.nn.functional.pad(codes[:, :-1], (1, 0), value=model.config.start)
    logits, _ = fused.step(before, fused.init_state())
    torch.testing.assert_close(logits, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@torch.no_grad()
def test_it_goes_on_where_the_plain_model_is(kind):
    model = perturbed(**kind)
    codes, labels = torch.randint(0, 256, (2, 100)), some_labels(model, 2)
    plain, _ = model.step(codes, model.init_state(2, labels))
    fused = FusedSashimi(model)
    for heard in (0, 29, 64, 83):
        logits, _ = fused.step(codes[:, heard:], fused.hear(codes[:, :heard], labels))
        torch.testing.assert_close(logits, plain[:, heard:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_what_is_drawn_has_the_likelihood_the_model_gives_it():
    model = perturbed()
    fused, start = FusedSashimi(model), torch.full((3,), model.config.start)
    codes, likelihood, state = fused.draw(start, torch.rand(3, 40), fused.init_state(3))
    more, likelier, _ = fused.draw(codes[:, -1], torch.rand(3, 23), state)
    codes = torch.cat([codes, more], dim=1)
    chances = model(codes).log_softmax(-1).gather(2, codes[..., None]).sum((1, 2))
    torch.testing.assert_close((likelihood + likelier).float(), chances, atol=1e-3, rtol=0)


@torch.no_grad()
def test_draws_follow_the_distribution():
    model, sessions = perturbed(), 4000
    model.head.bias.mul_(20)
    fused, start = FusedSashimi(model), torch.full((sessions,), model.config.start)
    uniforms = (torch.arange(sessions)[:, None] + 0.5) / sessions
    chances = model(torch.zeros(1, 1, dtype=torch.long))[0, 0].softmax(-1)

    def shares(**options):
        codes, *_ = fused.draw(start, uniforms, fused.init_state(sessions), **options)
        return torch.bincount(codes[:, 0], minlength=256) / sessions

    torch.testing.assert_close(shares(), chances, atol=1.5 / sessions, rtol=0)
    sharper = chances.square() / chances.square().sum()
    torch.testing.assert_close(shares(temperature=0.5), sharper, atol=1.5 / sessions, rtol=0)
    assert shares(temperature=0.0)[chances.argmax()] == 1
    order = chances.argsort(descending=True)
    kept = int((chances[order].cumsum(0) < 0.5).sum()) + 1
    cut = torch.zeros(256).index_copy(0, order[:kept], chances[order[:kept]])
    torch.testing.assert_close(shares(top_p=0.5), cut / cut.sum(), atol=1.5 / sessions, rtol=0)


@torch.no_grad()
def test_whole_numbers_do_not_have_it_compiled_anew():
    fused = FusedSashimi(perturbed())
    last, uniforms = torch.tensor([fused.config.start]), torch.rand(1, 3)
    first, *_ = fused.draw(last, uniforms, fused.init_state(), 1.0, 1.0)
    known = len(draw.signatures)
    assert torch.equal(fused.draw(last, uniforms, fused.init_state(), 1, 1)[0], first)
    assert len(draw.signatures) == known


def test_sessions_can_be_joined_at_the_same_phase_only():
    fused = FusedSashimi(perturbed())
    codes = torch.randint(0, 256, (2, 21))
    both, _ = fused.step(codes, fused.init_state(2))
    states = [fused.step(codes[i : i + 1, :20], fused.init_state(1))[1] for i in range(2)]
    logits, _ = fused.step(codes[:, 20:], FusedState.cat(states))
    torch.testing.assert_close(logits[:, 0], both[:, 20], atol=1e-5, rtol=0)
    with pytest.raises(AudiogenError, match="phase"):
        FusedState.cat([states[0], fused.init_state(1)])


def test_codes_that_do_not_exist_are_refused():
    fused = FusedSashimi(perturbed(classes=2))
    state = fused.init_state(1, torch.tensor([1]))
    with pytest.raises(AudiogenError, match="from 0 to 255"):
        fused.step(torch.tensor([[256]]), state)
    with pytest.raises(AudiogenError, match="from 0 to 255"):
        fused.draw(torch.tensor([-1]), torch.rand(1, 1), state)


def test_what_it_cannot_step_is_refused():
    with pytest.raises(AudiogenError, match="multiple of 16"):
        FusedSashimi(Sashimi(SashimiConfig(SPEC, dim=24, layers=1, state_size=8)))
    with pytest.raises(AudiogenError, match="mamba"):
        FusedSashimi(Sashimi(SashimiConfig(SPEC, dim=16, layers=1, state_size=8, ssm="mamba")))
