"""The codecs of mel frames (vocoder, latents, semantic codes): shapes, streaming, ragged batches, training passes."""

import pytest
import torch
from streams import check_stream, wave_of

from audiogen import codecs, registry  # noqa: F401
from audiogen.codecs import whole
from audiogen.protocols import AudioTokens, Codec

FRAMES = {"n_fft": 64, "num_mels": 8, "decoder_dim": 12, "decoder_depth": 2, "kernel_size": 3}
ENCODER = {"encoder_dim": 12, "encoder_depth": 2}
TINY = {
    "mel_vocoder": {**FRAMES, "hop_length": 16},
    "mel_latents": {**FRAMES, **ENCODER, "frame_hop": 16, "frames_per_latent": 3, "latent_dim": 4},
    "semantic_rvq": {**FRAMES, **ENCODER, "hop_length": 16, "latent_dim": 4, "num_codebooks": 3, "codebook_size": 16},
}


def built(name: str):
    torch.manual_seed(0)
    return registry.build("codec", name, TINY[name])


@pytest.fixture(scope="module", params=TINY)
def codec(request):
    return built(request.param).eval().requires_grad_(False)


def test_offers_the_protocol(codec):
    assert isinstance(codec, Codec)


def test_formats_are_those_that_the_systems_expect():
    vocoder, latents, semantic = (registry.lookup("codec", name) for name in TINY)
    specs = [entry.cls(entry.config_class(decoder_depth=1)).spec for entry in (vocoder, latents, semantic)]
    assert (specs[0].latent_dim, float(specs[0].frame_rate)) == (100, 93.75)
    assert (specs[1].latent_dim, float(specs[1].frame_rate)) == (16, 23.4375)
    assert (specs[2].num_codebooks, specs[2].codebook_size, specs[2].sample_rate) == (8, 1024, 16_000)
    assert specs[2].frame_rate == 50


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 47, 48, 49, 500])
def test_every_sample_comes_back(codec, samples):
    tokens = codec.encode(wave_of(samples))
    values = tokens.codes if tokens.latents is None else tokens.latents
    assert values.shape[-1] == codec.spec.num_frames(samples) == int(tokens.lengths)
    assert codec.decode(tokens).shape == (1, 1, samples)


@pytest.mark.parametrize("seed", range(100))
def test_streamed_equals_whole_on_ragged_chunks(codec, seed):
    """100 seeds of ten rows: 1,000 streams of each codec."""
    check_stream(codec, seed, rows=10, longest=600, chunk=150)


def test_a_recording_of_several_blocks_is_the_recording_in_one(codec, monkeypatch):
    wave = wave_of(1000, rows=2)
    tokens = codec.encode(wave)
    heard = codec.decode(tokens)
    monkeypatch.setattr(whole, "BLOCK_SECONDS", 0.004)
    again, field = codec.encode(wave), "codes" if tokens.latents is None else "latents"
    torch.testing.assert_close(getattr(again, field), getattr(tokens, field), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(codec.decode(tokens), heard, atol=1e-5, rtol=0)


def test_ragged_rows_equal_single_rows(codec):
    long, short = wave_of(330, seed=1), wave_of(129, seed=2)
    batch = torch.randn(2, 1, 330)  # whatever follows the end of a row is not heard
    batch[0], batch[1, :, :129] = long[0], short[0]
    together = codec.encode(batch, torch.tensor([330, 129]))
    heard = codec.decode(together)
    for row, wave in enumerate((long, short)):
        alone = codec.encode(wave)
        assert together.lengths[row] == alone.lengths[0]
        field = "codes" if alone.latents is None else "latents"
        cut = getattr(together, field)[row, :, : alone.lengths[0]]
        torch.testing.assert_close(cut, getattr(alone, field)[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(heard[row, :, : wave.shape[-1]], codec.decode(alone)[0], atol=1e-5, rtol=0)


def test_sessions_batched_equal_sessions_alone(codec):
    waves = [wave_of(160, seed=seed) for seed in (1, 2)]
    warm = [codec.decode_step(*codec.encode_step(wave, codec.init_state()))[1] for wave in waves]
    tokens, state = codec.encode_step(torch.cat(waves), type(warm[0]).cat(warm))
    heard, _ = codec.decode_step(tokens, state)
    for row, (wave, before) in enumerate(zip(waves, warm, strict=True)):
        alone, _ = codec.decode_step(*codec.encode_step(wave, before))
        torch.testing.assert_close(heard[row], alone[0], atol=1e-5, rtol=0)


def test_no_frame_depends_on_samples_after_its_margin(codec):
    wave = wave_of(960)
    changed = wave.clone()
    changed[..., 480:] = 0.3
    first, second = (codec.encode(x) for x in (wave, changed))
    known = (480 - 24) // codec.spec.hop_length  # the window reaches 24 samples beyond a frame
    field = "codes" if first.latents is None else "latents"
    assert torch.equal(getattr(first, field)[..., :known], getattr(second, field)[..., :known])
    assert not torch.equal(getattr(first, field), getattr(second, field))


@pytest.mark.parametrize("name", TINY)
def test_training_gradients_reach_every_weight(name):
    codec = built(name)
    wave = wave_of(480, rows=2)
    made = codec(wave, 3) if name == "semantic_rvq" else codec(wave)
    assert made.wave.shape == (2, 480)
    loss = (made.wave - wave[:, 0]).square().mean() + sum(made.losses.values())
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in codec.parameters())
    assert set(made.losses) == {"mel_latents": {"kl"}, "semantic_rvq": {"commitment"}}.get(name, set())


def test_the_divergence_is_that_of_the_posterior():
    codec = built("mel_latents")
    codec.encoder.output.weight.data.zero_()
    codec.encoder.output.bias.data.copy_(torch.tensor([1.0] * 4 + [2.0] * 4))  # means 1, log-variances 2
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(1.0, torch.tensor(2.0 / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(codec(wave_of(96)).losses["kl"], expected)
    torch.testing.assert_close(codec.encode(wave_of(96)).latents, torch.ones(1, 4, 2))


def test_fewer_codebooks_decode_too():
    codec = built("semantic_rvq")
    tokens = codec.encode(wave_of(160))
    assert codec.decode(AudioTokens.from_codes(codec.spec, tokens.codes[:, :1])).shape == (1, 1, 160)
