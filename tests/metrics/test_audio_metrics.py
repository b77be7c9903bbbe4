import math

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.metrics import audio as metrics

RATE = 24_000


@pytest.fixture(scope="module")
def voice() -> torch.Tensor:
    """Two seconds of a buzz whose pitch and vowel move, in syllables: enough like speech for every measure."""
    time = torch.arange(2 * RATE) / RATE
    pitch = 120 + 30 * torch.sin(2 * math.pi * 0.7 * time)
    phase = 2 * math.pi * torch.cumsum(pitch / RATE, 0)
    buzz = sum(torch.sin(k * phase) / k * (1 + torch.cos(2 * math.pi * (k / 9 + time))) for k in range(1, 30))
    syllables = (torch.sin(2 * math.pi * 3 * time) > -0.5).float()
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return (0.1 * buzz * syllables + 0.001 * noise)[None]


def noisy(wave: torch.Tensor, decibels: float) -> torch.Tensor:
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(1))
    return wave + noise * (wave.square().mean() / noise.square().mean()).sqrt() * 10 ** (-decibels / 20)


def test_snr_is_the_ratio_that_was_mixed(voice):
    assert metrics.snr(voice, noisy(voice, 12.0)) == pytest.approx(12.0, abs=1e-3)


def test_si_sdr_ignores_gain_and_snr_does_not(voice):
    louder = 2 * noisy(voice, 12.0)
    assert metrics.si_sdr(voice, louder) == pytest.approx(12.0, abs=0.2)
    assert metrics.snr(voice, louder) < 1


def test_mel_distance_grows_with_noise_and_measures_gain_in_decibels(voice):
    assert metrics.mel_distance(voice, voice, RATE) == 0
    assert metrics.mel_distance(voice, noisy(voice, 30), RATE) < metrics.mel_distance(voice, noisy(voice, 10), RATE)
    assert metrics.mel_distance(voice, voice * 2, RATE) == pytest.approx(6.02, abs=0.1)


def test_pesq_and_stoi_fall_with_noise(voice):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    clean, dirty = noisy(voice, 40), noisy(voice, 5)
    assert metrics.pesq_wb(voice, clean, RATE) > metrics.pesq_wb(voice, dirty, RATE)
    assert metrics.stoi(voice, clean, RATE) > metrics.stoi(voice, dirty, RATE)
    with pytest.raises(AudiogenError, match="needs speech"):
        metrics.pesq_wb(voice * 0, voice * 0, RATE)


def test_opus_spends_about_the_bits_asked_for_and_more_bits_sound_closer(voice):
    coded = {rate: metrics.opus(voice, RATE, rate) for rate in (6_000, 12_000, 24_000)}
    for rate, result in coded.items():
        assert result.wave.shape == voice.shape
        assert result.bits_per_second == pytest.approx(rate, rel=0.35)
    distances = [metrics.mel_distance(voice, result.wave, RATE) for result in coded.values()]
    assert distances == sorted(distances, reverse=True)


def test_what_cannot_be_compared_or_coded_is_an_error(voice):
    with pytest.raises(AudiogenError, match="equal length"):
        metrics.snr(voice, voice[:, 1:])
    with pytest.raises(AudiogenError, match="not 22050"):
        metrics.opus(voice, 22_050, 6_000)
    with pytest.raises(AudiogenError, match="6000 to 256000"):
        metrics.opus(voice, RATE, 3_000)
