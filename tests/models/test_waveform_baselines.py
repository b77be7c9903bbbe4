"""WaveNet and SampleRNN: a stream is the whole in pieces of any length, nothing sees the future, and they learn."""

import pytest
import torch

from audiogen import registry
from audiogen.data.waveforms import WaveformBatch
from audiogen.errors import AudiogenError
from audiogen.protocols import CodecSpec

SPEC = CodecSpec("pcm", 8000, 1, num_codebooks=1, codebook_size=256).to_dict()
TINY = {
    "wavenet": {"dim": 8, "skip": 16, "end": 16, "cycles": 2, "layers": 4},
    "samplernn": {"dim": 16, "ratios": [4, 2, 3]},
}


def tiny(name, **options):
    torch.manual_seed(0)
    return registry.build("waveform", name, {"codec": SPEC, **TINY[name], **options}).eval()


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_a_stream_is_the_whole(name):
    model, labels = tiny(name, classes=2), torch.tensor([0, 1])
    codes = torch.randint(0, 256, (2, 130))
    before = torch.nn.functional.pad(codes[:, :-1], (1, 0), value=model.config.start)
    whole = model(codes, labels)
    for sizes in ([1] * 130, [3, 0, 24, 1, 29, 25, 48], [130]):
        state, pieces = model.init_state(2, labels), []
        for piece in before.split(sizes, dim=1):
            logits, state = model.step(piece, state)
            pieces.append(logits)
        torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_nothing_sees_the_future(name):
    model, codes = tiny(name), torch.randint(0, 256, (1, 80))
    changed = codes.clone()
    changed[0, 41] = (codes[0, 41] + 100) % 256
    differs = (model(codes) != model(changed)).any(-1)[0]
    assert not differs[:42].any() and differs[42]


@torch.inference_mode()
def test_wavenet_hears_no_further_back_than_it_says():
    model, codes = tiny("wavenet").double(), torch.randint(0, 256, (1, 80))
    changed = codes.clone()
    changed[0, 10] = (codes[0, 10] + 100) % 256
    differs = (model(codes) != model(changed)).any(-1)[0].nonzero()[:, 0]
    assert differs.min() == 11 and differs.max() == 10 + model.config.receptive_field == 41


@pytest.mark.parametrize("name", TINY)
def test_sessions_can_be_joined_and_parted(name):
    model, codes, labels = tiny(name, classes=2), torch.randint(0, 256, (2, 9)), torch.tensor([0, 1])
    with torch.inference_mode():
        _, both = model.step(codes, model.init_state(2, labels))
        alone = [model.step(codes[i : i + 1], model.init_state(1, labels[i : i + 1]))[1] for i in range(2)]
        joined = type(both).cat([alone[1], alone[0]]).select([1, 0])
        more = torch.randint(0, 256, (2, 30))
        torch.testing.assert_close(model.step(more, joined)[0], model.step(more, both)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_it_learns_a_batch_by_heart(name):
    model = tiny(name, classes=2).train()
    wave = 40 * torch.sin(torch.arange(64) / torch.tensor([[2.0], [5.0]])) + 128
    batch = WaveformBatch(wave.long(), torch.tensor([64, 48]), torch.tensor([0, 1]))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(30):
        loss, figures = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert figures["bits"] < 5


def test_impossible_sizes_are_refused():
    with pytest.raises(AudiogenError, match="ratios"):
        tiny("samplernn", ratios=[8, 0])
    with pytest.raises(AudiogenError, match="one code a sample"):
        tiny("wavenet", codec={**SPEC, "hop_length": 2})


@pytest.mark.parametrize(("name", "millions"), [("wavenet", 4.24), ("samplernn", 35.0)])
def test_the_published_sizes(name, millions):
    with torch.device("meta"):
        model = registry.build("waveform", name, {"codec": SPEC})
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.04)
