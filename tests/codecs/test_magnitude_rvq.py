"""The default codec: shapes, streaming, merging, ragged batches."""

import pytest
import torch
from streams import check_stream, wave_of

from audiogen import registry
from audiogen.checkpoint import load_bundle
from audiogen.codecs import magnitude_rvq
from audiogen.errors import AudiogenError
from audiogen.protocols import AudioTokens, Codec


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    tiny = {"encoder_dim": 16, "encoder_depth": 2, "decoder_dim": 24, "decoder_depth": 2, "latent_dim": 8}
    return registry.build("codec", "magnitude_rvq", {**tiny, "codebook_size": 32}).eval().requires_grad_(False)


def test_offers_the_protocol_and_exact_frame_rate(codec):
    assert isinstance(codec, Codec)
    assert codec.spec.frame_rate == 75


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 5000])
def test_every_sample_is_in_a_frame_and_comes_back(codec, samples):
    tokens = codec.encode(wave_of(samples))
    assert tokens.codes.shape == (1, 8, -(-samples // 320))
    assert codec.decode(tokens).shape == (1, 1, samples)


@pytest.mark.parametrize("seed", range(100))
def test_streamed_equals_whole_on_ragged_chunks(codec, seed):
    """100 seeds of ten rows: 1,000 streams."""
    check_stream(codec, seed, rows=10, longest=6000, chunk=3000)


def test_a_recording_of_several_blocks_is_the_recording_in_one(codec, monkeypatch):
    wave = wave_of(20_000)
    tokens = codec.encode(wave)
    heard = codec.decode(tokens)
    monkeypatch.setattr(magnitude_rvq, "BLOCK_FRAMES", 9)
    assert torch.equal(codec.encode(wave).codes, tokens.codes)
    torch.testing.assert_close(codec.decode(tokens), heard, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def shipped():
    return load_bundle("codec-24khz", "codec").model


def test_the_shipped_codec_streams_to_the_same_codes(shipped):
    """A sweep in noise, in ragged chunks: matrix products of a few rows and of many must agree."""
    time = torch.arange(30_000) / 24_000
    wave = 0.3 * torch.sin(2000 * time * (1 + time))[None, None] + wave_of(30_000, seed=3) * 0.3
    whole = shipped.encode(wave)
    state, codes = shipped.init_state(), []
    pieces = wave.split([321, 1, 7_000, 0, 640, 15_038, 7_000], dim=-1)
    for number, piece in enumerate(pieces, start=1):
        tokens, state = shipped.encode_step(piece, state, final=number == len(pieces))
        codes.append(tokens.codes)
    assert torch.equal(torch.cat(codes, -1), whole.codes)


def test_silence_stays_silent(shipped):
    heard = shipped.decode(shipped.encode(torch.zeros(1, 1, 24_000)))
    assert heard.square().mean().sqrt() < 1e-3  # −60 dBFS


def test_codes_are_the_nearest_vectors_of_what_is_left(shipped):
    """Against distances in double precision, where two vectors are not equally near to 1e-5 of them."""
    latents = shipped.quantizer.vectors[0][:200].double() + shipped.quantizer.vectors[1][50:250].double() * 0.7
    codes, residual = shipped.quantizer.encode(latents[None].float())[0], latents
    for vectors, index in zip(shipped.quantizer.vectors.double(), codes, strict=True):
        distances = torch.cdist(residual, vectors)
        chosen = distances.gather(1, index[:, None])[:, 0]
        assert (chosen <= distances.min(1).values * (1 + 1e-5) + 1e-5).all()
        residual = residual - vectors[index]


def test_sessions_batched_equal_sessions_alone(codec):
    a, b = wave_of(1600, seed=1), wave_of(1600, seed=2)
    warm = [codec.encode_step(wave, codec.init_state())[1] for wave in (a, b)]
    joined, _ = codec.encode_step(torch.cat([b, a]), type(warm[0]).cat(warm))
    alone = [codec.encode_step(wave, state)[0].codes for wave, state in zip((b, a), warm, strict=True)]
    assert torch.equal(joined.codes, torch.cat(alone))


@pytest.mark.parametrize("merge", [1, 2, 3])
def test_ragged_rows_equal_single_rows(codec, merge):
    long, short = wave_of(3300, seed=1), wave_of(1290, seed=2)
    batch = torch.zeros(2, 1, 3300)
    batch[0], batch[1, :, :1290] = long[0], short[0]
    together = codec.encode(batch, torch.tensor([3300, 1290]), merge)
    for row, wave in enumerate((long, short)):
        alone = codec.encode(wave, merge=merge)
        assert together.lengths[row] == alone.lengths[0]
        assert torch.equal(together.codes[row, :, : alone.lengths[0]], alone.codes[0])


def test_merging_holds_the_first_codebook_and_takes_residuals_of_the_unmerged_input(codec):
    wave = wave_of(3300)
    plain, merged = codec.encode(wave), codec.encode(wave, merge=2)
    assert merged.codes.shape[-1] == 12
    assert torch.equal(merged.codes[:, 0, ::2], merged.codes[:, 0, 1::2])
    _, _, _, latents = codec(wave, None)
    residual = latents - codec.quantizer.vectors[0][merged.codes[:, 0, : latents.shape[1]]]
    second = torch.cdist(residual, codec.quantizer.vectors[1]).argmin(-1)
    assert torch.equal(second[:, :10], merged.codes[:, 1, :10])
    assert not torch.equal(plain.codes[:, 0], merged.codes[:, 0, :11])


def test_nothing_before_a_frame_depends_on_what_follows_it(codec):
    wave = wave_of(6400)
    changed = wave.clone()
    changed[..., 3200:] = 0.3
    assert torch.equal(codec.encode(wave).codes[..., :10], codec.encode(changed).codes[..., :10])


def test_fewer_codebooks_decode_too(codec):
    tokens = codec.encode(wave_of(3200))
    assert codec.decode(AudioTokens.from_codes(codec.spec, tokens.codes[:, :2])).shape == (1, 1, 3200)


def test_a_window_that_is_no_multiple_of_the_hop_is_refused():
    with pytest.raises(AudiogenError, match="1000"):
        registry.build("codec", "magnitude_rvq", {"n_fft": 1000})
