"""SaShiMi: a stream is the convolution over a whole second, nothing sees the future, and it learns."""

import pytest
import torch

from audiogen import registry
from audiogen.data.waveforms import WaveformBatch
from audiogen.errors import AudiogenError
from audiogen.models.sashimi import Sashimi, SashimiConfig
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("pcm", 16_000, 1, num_codebooks=1, codebook_size=256)
KINDS = [(ssm, unet) for ssm in ("s4", "s4d", "mamba") for unet in (False, True)]


def tiny(ssm="s4d", unet=False, **options):
    torch.manual_seed(0)
    return Sashimi(SashimiConfig(SPEC, dim=16, layers=1, state_size=16, ssm=ssm, unet=unet, **options)).eval()


def delayed(codes, config):
    return torch.nn.functional.pad(codes[:, :-1], (1, 0), value=config.start)


@pytest.mark.parametrize(("layers", "options", "millions"), [(8, {}, 4.07), (2, {}, 1.29), (8, {"glu": True}, 4.76)])
def test_sizes_are_the_papers(layers, options, millions):
    model = Sashimi(SashimiConfig(SPEC, layers=layers, **options))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("layers", [1, 2])
def test_with_scalar_norms_the_size_is_exactly_the_papers(layers):
    model = Sashimi(SashimiConfig(SPEC, layers=layers, scalar_norm=True))
    gains = 1152  # of the weight norm around the pools' matrices there
    assert sum(parameter.numel() for parameter in model.parameters()) + gains == 462_028 * layers + 363_136


@pytest.mark.parametrize(("ssm", "unet"), KINDS)
@torch.inference_mode()
def test_a_stream_in_any_pieces_is_the_whole(ssm, unet):
    model = tiny(ssm, unet, classes=3, glu=True)
    codes, labels = torch.randint(0, 256, (2, 403)), torch.tensor([0, 2])
    whole = model(codes, labels)
    state, parts = model.init_state(2, labels), []
    for part in delayed(codes, model.config).split([1, 2, 0, 20, 250, 1, 1, 128], dim=1):
        logits, state = model.step(part, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("ssm", "unet"), KINDS)
def test_nothing_sees_the_future(ssm, unet):
    model = tiny(ssm, unet)
    codes = torch.randint(0, 256, (1, 100))
    changed = codes.clone()
    changed[:, 50] = (codes[:, 50] + 100) % 256
    with torch.inference_mode():
        difference = (model(codes) - model(changed)).abs().amax(-1)[0]
    assert difference[:51].max() < 1e-5 < 1e-3 < difference[51]


@torch.inference_mode()
def test_sessions_can_be_joined_and_parted():
    model = tiny(classes=2)
    codes, labels = torch.randint(0, 256, (2, 9)), torch.tensor([0, 1])
    _, both = model.step(codes, model.init_state(2, labels))
    alone = [model.step(codes[i : i + 1], model.init_state(1, labels[i : i + 1]))[1] for i in range(2)]
    joined = type(both).cat([alone[1], alone[0]]).select([1, 0])
    next_codes = torch.tensor([[5], [250]])
    torch.testing.assert_close(model.step(next_codes, joined)[0], model.step(next_codes, both)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("ssm", "unet"), [("s4d", False), ("s4d", True), ("mamba", False)])
def test_it_learns_a_batch_by_heart(ssm, unet):
    model = tiny(ssm, unet, classes=2).train()
    wave = 40 * torch.sin(torch.arange(64) / torch.tensor([[2.0], [5.0]])) + 128
    batch = WaveformBatch(wave.long(), torch.tensor([64, 48]), torch.tensor([0, 1]))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(20):
        loss, figures = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert figures["bits"] < 5 < 8 == pytest.approx(torch.tensor(256.0).log2().item())


def test_padding_does_not_count():
    model = tiny()
    codes = torch.randint(0, 256, (1, 20))
    padded = torch.nn.functional.pad(codes, (0, 12))
    short, long = (model.loss(WaveformBatch(c, torch.tensor([20])))[0] for c in (codes, padded))
    torch.testing.assert_close(short, long)


def test_labels_are_asked_for_and_checked():
    with pytest.raises(AudiogenError, match="takes no labels"):
        tiny().init_state(1, torch.tensor([0]))
    for labels in (None, torch.tensor([4])):
        with pytest.raises(AudiogenError, match="from 0 to 3"):
            tiny(classes=3).init_state(1, labels)


def test_any_class_is_the_mean_of_all():
    model = tiny(classes=3)
    *each, of_any = model.init_state(4, torch.arange(4)).label
    torch.testing.assert_close(of_any, torch.stack(each).mean(0))


def test_now_and_then_a_clip_is_trained_as_one_of_any_class():
    torch.manual_seed(0)
    model, codes = tiny(classes=2, label_dropout=0.5).train(), torch.randint(0, 256, (1, 9)).repeat(64, 1)
    batch = WaveformBatch(codes, torch.full((64,), 9), torch.ones(64, dtype=torch.long))
    asked, of_any = (-model.log_likelihood(codes[:1], torch.tensor([9]), torch.tensor([label])) / 9 for label in (1, 2))
    share = (model.loss(batch)[0] - asked) / (of_any - asked)
    assert 0.25 < share < 0.75
    torch.testing.assert_close(model.eval().loss(batch)[0], asked[0])


def test_codes_begin_in_order():
    for rows in (tiny().embedding.weight, tiny().head.weight):
        near, far = (rows[1:] - rows[:-1]).norm(dim=1), (rows[128:] - rows[:-128]).norm(dim=1)
        assert near.max() < 0.5 * far.mean()


@pytest.mark.parametrize(
    "wrong", [{"label_dropout": 1.0}, {"ssm": "s5"}, {"state_size": 7}, {"codec": SPEC.to_dict() | {"hop_length": 320}}]
)
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(AudiogenError, match=r"label_dropout|ssm|state_size|hop"):
        registry.build("waveform", "sashimi", {"codec": SPEC.to_dict(), **wrong})
