"""Changes to sound: repeatable, finite, and as large as asked for."""

import math

import pytest
import torch

from audiogen.data.augment import Augment, add_noise, change_speed, reverberate

RATE = 16_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def wave():
    time = torch.arange(RATE) / RATE
    return 0.1 * torch.sin(2 * math.pi * 440 * time)


def test_calls_repeat_and_differ_by_seed(wave):
    changed = [Augment()(wave, RATE, generator(seed)) for seed in range(20)]
    for seed, (changed_wave, speed) in enumerate(changed):
        again, speed_again = Augment()(wave, RATE, generator(seed))
        assert torch.equal(changed_wave, again) and speed == speed_again
        assert len(changed_wave) == pytest.approx(RATE / speed, abs=1)
        assert changed_wave.isfinite().all() and changed_wave.abs().max() <= 1
    assert {speed for _, speed in changed} == {0.9, 1.0, 1.1}


def test_speed_raises_pitch(wave):
    fast = change_speed(wave, RATE, 1.1)
    peak = int(torch.fft.rfft(fast).abs().argmax()) * RATE / len(fast)
    assert peak == pytest.approx(484, abs=2)


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_noise_has_its_level_and_colour(wave, colour):
    noise = add_noise(wave, 20.0, colour, generator()) - wave
    assert 20 * math.log10(wave.norm() / noise.norm()) == pytest.approx(20, abs=0.1)
    power = torch.fft.rfft(noise).abs() ** 2
    fall = 10 * math.log10(power[400:800].mean() / power[3200:6400].mean())
    assert fall == pytest.approx(colour * 10 * math.log10(8), abs=1)


def test_reverb_keeps_level_and_fades(wave):
    assert reverberate(wave, RATE, 0.3, generator()).norm() == pytest.approx(float(wave.norm()), rel=1e-3)
    click = torch.zeros(RATE)
    click[0] = 1.0
    tail = reverberate(click, RATE, 0.3, generator())
    assert tail[1:800].norm() > 10 * tail[4000:4800].norm() > 0
    assert tail[4900:].norm() < 1e-4


def test_silence_stays_finite():
    assert Augment(reverb_share=1, noise_share=1)(torch.zeros(100), RATE, generator())[0].isfinite().all()
