"""Quantised samples: silence stays silent, errors stay within half a step, and streamed equals whole."""

import pytest
import torch
from streams import check_stream

from audiogen import registry
from audiogen.codecs.pcm import LAWS, PcmCodec, PcmConfig
from audiogen.errors import AudiogenError
from audiogen.protocols import AudioTokens, Codec

WAVE = torch.linspace(-1, 1, 2001).view(1, 1, -1)


@pytest.mark.parametrize("law", LAWS)
def test_every_code_comes_back_from_its_sound(law):
    codec = registry.build("codec", "pcm", {"law": law})
    assert isinstance(codec, Codec)
    codes = torch.arange(256).view(1, 1, -1)
    assert torch.equal(codec.encode(codec.decode(AudioTokens.from_codes(codec.spec, codes))).codes, codes)


def test_silence_is_the_middle_code_and_stays_silence():
    codec = PcmCodec(PcmConfig())
    tokens = codec.encode(torch.zeros(1, 1, 3))
    assert tokens.codes.tolist() == [[[128] * 3]] and not codec.decode(tokens).any()


def test_linear_errors_are_at_most_half_a_step():
    codec = PcmCodec(PcmConfig(law="linear"))
    error = (codec.decode(codec.encode(WAVE)) - WAVE).abs()
    assert error[WAVE < 1 - 1 / 128].max() <= 0.5 / 128 + 1e-6


def test_mu_law_spends_its_codes_on_quiet_sound():
    error = {}
    for law in LAWS:
        codec = PcmCodec(PcmConfig(law=law))
        error[law] = (codec.decode(codec.encode(0.01 * WAVE)) - 0.01 * WAVE).square().mean()
    assert error["mu"] < error["linear"] / 100


@pytest.mark.parametrize("law", LAWS)
def test_streamed_equals_whole_on_ragged_chunks(law):
    """50 seeds of twenty rows: 1,000 streams of each law."""
    for seed in range(50):
        check_stream(PcmCodec(PcmConfig(law=law)), seed, rows=20, longest=300, chunk=80)


@pytest.mark.parametrize("wrong", [{"law": "alaw"}, {"levels": 255}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(AudiogenError, match=r"law|levels"):
        PcmConfig(**wrong)
