"""Distances between sets of clips and the classifier, on clips whose answers are known."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.metrics.sound import Classifier, divergence, features, frechet_distance


def test_frechet_distance_of_normal_samples() -> None:
    torch.manual_seed(0)
    first = torch.randn(4000, 3)
    second = 2 * torch.randn(4000, 3) + torch.tensor([3.0, 0.0, 0.0])
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(9 + 3 * (2 - 1) ** 2, rel=0.1)
    with pytest.raises(AudiogenError, match="2 clips on each side"):
        frechet_distance(first, second[:1])


def test_a_classifier_learns_tones_from_noise() -> None:
    torch.manual_seed(0)
    time = torch.arange(16_000) / 16_000
    tones = [torch.sin(2 * torch.pi * hertz * time)[None] for hertz in range(200, 1000, 40)]
    noises = [torch.randn(1, 16_000) * 0.1 for _ in tones]
    clips = torch.stack([features(wave, 16_000) for wave in tones + noises])
    labels = ["tone"] * len(tones) + ["noise"] * len(noises)
    judge = Classifier(clips[::2], labels[::2])
    assert judge.accuracy(clips[1::2], labels[1::2]) == 1.0
    assert clips.shape[1] == 96
    chances = judge.chances(clips)
    assert divergence(chances, chances) == pytest.approx(0, abs=1e-6)
    assert divergence(chances[:5], chances[-5:]) > 0.5


def test_features_do_not_depend_on_level() -> None:
    wave = torch.randn(1, 16_000)
    torch.testing.assert_close(features(wave, 16_000), features(0.1 * wave, 16_000), atol=0.05, rtol=0)
