"""SQ-Codec: rounding, streaming, causality, its look-ahead, and released names."""

import pytest
import torch
from streams import check_stream

from audiogen import codecs, registry  # noqa: F401
from audiogen.codecs.sq_codec import ScalarQuantizer
from audiogen.errors import AudiogenError
from audiogen.protocols import AudioTokens, Codec

TINY = {"init_channel": 2, "latent_hidden_dim": 4, "downsample_factors": [2, 3], "res_kernel_size": 3}


@pytest.fixture(scope="module", params=[1, 2])
def codec(request):
    torch.manual_seed(0)
    built = registry.build("codec", "sq_codec", {**TINY, "num_samples": request.param})
    return built.double().eval().requires_grad_(False)


def wave_of(samples, rows=1, seed=0):
    return torch.randn(rows, 1, samples, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def test_rounding_has_so_many_levels_is_idempotent_and_bounded():
    quantizer = ScalarQuantizer(3, 4)
    rounded = quantizer(torch.linspace(-10, 10, 4001))
    assert sorted(set(rounded.mul(3).round().int().tolist())) == list(range(-3, 4))
    assert torch.equal(quantizer(rounded), rounded) and rounded.abs().max() == 1


def test_the_gradient_of_rounding_is_one():
    x = torch.linspace(-0.99, 0.99, 50).requires_grad_()
    ScalarQuantizer(9, 4)(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_codes_are_values_and_back():
    quantizer = ScalarQuantizer(9, 4)
    x = torch.rand(2, 4, 50) * 2 - 1
    torch.testing.assert_close(quantizer.decode(quantizer.encode(x)), quantizer(x))
    code = quantizer.encode(x)[0, 2, 0]
    torch.testing.assert_close(quantizer.vectors[2, code], quantizer(x)[0, 2, 0] * torch.eye(4)[2])


def test_offers_the_protocol(codec):
    assert isinstance(codec, Codec)
    assert codec.spec.hop_length == 6 * codec.config.num_samples and codec.spec.codebook_size == 19


@pytest.mark.parametrize("samples", [1, 11, 12, 13, 500])
def test_every_sample_comes_back(codec, samples):
    tokens = codec.encode(wave_of(samples))
    assert tokens.codes.shape == (1, 4, codec.spec.num_frames(samples))
    assert codec.decode(tokens).shape == (1, 1, samples)


@pytest.mark.parametrize("seed", range(50))
def test_streamed_equals_whole_on_ragged_chunks(codec, seed):
    """50 seeds of twenty rows, two codecs: 1,000 streams of each."""
    check_stream(codec, seed, rows=20, longest=200, chunk=80, tolerance=1e-12)


def test_ragged_rows_equal_single_rows(codec):
    long, short = wave_of(330, seed=1), wave_of(129, seed=2)
    batch = torch.zeros(2, 1, 330, dtype=torch.double)
    batch[0], batch[1, :, :129] = long[0], short[0]
    batch[1, :, 129:] = 5.0
    together = codec.encode(batch, torch.tensor([330, 129]))
    alone = codec.encode(short)
    assert torch.equal(together.codes[1, :, : alone.lengths[0]], alone.codes[0])


def test_sessions_batched_equal_sessions_alone(codec):
    a, b = wave_of(60, seed=1), wave_of(60, seed=2)
    warm = [codec.encode_step(wave, codec.init_state())[1] for wave in (a, b)]
    joined, _ = codec.encode_step(torch.cat([b, a]), type(warm[0]).cat(warm))
    alone = [codec.encode_step(wave, state)[0].codes for wave, state in zip((b, a), warm, strict=True)]
    assert torch.equal(joined.codes, torch.cat(alone))


def test_no_frame_depends_on_later_samples_and_no_sample_on_frames_beyond_the_look_ahead(codec):
    hop = codec.spec.hop_length
    wave, changed = wave_of(20 * hop), wave_of(20 * hop)
    changed[..., 10 * hop + codec.config.num_samples :] += 1
    torch.testing.assert_close(codec.latents(wave)[..., :11], codec.latents(changed)[..., :11])
    codes = codec.encode(wave).codes
    other = codes.clone()
    other[..., 10:] = 0
    before, after = (codec.decode(AudioTokens.from_codes(codec.spec, c)) for c in (codes, other))
    settled = (10 - codec.config.look_ahead) * hop
    torch.testing.assert_close(before[..., :settled], after[..., :settled])
    assert (before - after)[..., settled : settled + hop].abs().max() > 1e-6


def test_latents_decode_as_their_codes_do_and_overshoot_is_brought_back(codec):
    wave = wave_of(120)
    tokens, latents = codec.encode(wave), codec.latents(wave)
    heard = codec.decode(tokens)
    for same in (latents, codec.quantizer(latents)):
        again = codec.decode(AudioTokens(codec.spec, tokens.lengths, latents=same, num_samples=tokens.num_samples))
        torch.testing.assert_close(again, heard)
    far = AudioTokens(codec.spec, tokens.lengths, latents=latents * 1e6)
    edge = AudioTokens(codec.spec, tokens.lengths, latents=latents.sign())
    torch.testing.assert_close(codec.decode(far), codec.decode(edge))


def test_training_rebuilds_the_wave_with_gradients_through_rounding():
    torch.manual_seed(0)
    codec = registry.build("codec", "sq_codec", {**TINY, "levels": 200})
    wave = torch.randn(2, 1, 120)
    rebuilt = codec(wave).wave
    assert rebuilt.shape == (2, 120)
    (rebuilt - wave[:, 0]).square().mean().backward()
    slopes = ".activation"  # have no gradient where nothing is negative
    assert all(p.grad.abs().sum() > 0 for name, p in codec.named_parameters() if slopes not in name)


def test_names_are_those_of_released_weights():
    names = set(registry.build("codec", "sq_codec", {**TINY, "num_samples": 2}).state_dict())
    assert {
        "encoder.0.weight",
        "encoder.1.conv.weight",
        "encoder.2.convs.4.conv1.weight",
        "encoder.2.convs.4.activation2.weight",
        "encoder.3.down_conv.layer.weight",
        "encoder.3.down_conv.activation.weight",
        "encoder.4.bias",
        "decoder.1.up_conv.layer.weight",
        "decoder.2.convs.0.conv2.bias",
    } <= names
    assert not {name for name in names if not name.startswith(("encoder.", "decoder."))}


@pytest.mark.parametrize("wrong", [{"delay_kernel_size": 4}, {"downsample_factors": [2, 0]}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(AudiogenError, match=str(next(iter(wrong.values()))).replace("[", r"\[")):
        registry.build("codec", "sq_codec", {**TINY, **wrong})
