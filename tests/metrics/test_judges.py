import math

import pytest
import torch

from audiogen.metrics import judges

RATE = 16_000


def buzz(pitch: float, tilt: float) -> torch.Tensor:
    time = torch.arange(2 * RATE) / RATE
    wave = sum(torch.sin(2 * math.pi * pitch * k * time) / k**tilt for k in range(1, int(4000 / pitch)))
    return (0.05 * wave * (1 + torch.sin(2 * math.pi * 4 * time)))[None]


def test_the_level_is_the_same_for_quiet_and_loud_waves():
    quiet, loud = judges._judged(buzz(120, 1) * 0.01, RATE), judges._judged(buzz(120, 1), RATE)
    assert abs(quiet - loud).max() < 1e-3
    assert 20 * math.log10((quiet**2).mean() ** 0.5) == pytest.approx(judges.LEVEL, abs=0.5)
    assert (judges._judged(torch.zeros(1, 100), RATE) == 0).all()


def test_speakers_are_told_apart():
    pytest.importorskip("resemblyzer")
    encoder = judges.OutsideSpeakerEncoder()
    low, low_again, high = (encoder.embed(wave, RATE) for wave in (buzz(100, 1), buzz(101, 1), buzz(260, 0.5)))
    assert low.norm() == pytest.approx(1, abs=1e-5)
    assert judges.similarity(low, low_again) > judges.similarity(low, high)
    centroid = judges.speaker_centroid([low, low_again])
    assert judges.similarity(centroid, low) > 0.9


def test_the_outside_recogniser_keeps_no_memory():
    pytest.importorskip("pocketsphinx")
    recognizer = judges.OutsideRecognizer()
    first = recognizer.transcribe(buzz(120, 1), RATE)
    recognizer.transcribe(buzz(200, 0.5), RATE)
    assert recognizer.transcribe(buzz(120, 1), RATE) == first
