"""Distances between sets of clips and the classifier, on clips whose answers are known."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.metrics.sound import Classifier, divergence, features, frechet_distance, kernel_distance


def test_frechet_distance_of_normal_samples() -> None:
    torch.manual_seed(0)
    first = torch.randn(4000, 3)
    second = 2 * torch.randn(4000, 3) + torch.tensor([3.0, 0.0, 0.0])
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(9 + 3 * (2 - 1) ** 2, rel=0.1)
    with pytest.raises(AudiogenError, match="2 clips on each side"):
        frechet_distance(first, second[:1])


def test_kernel_distance_has_no_bias_and_an_interval_that_holds_it() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(400, 4, generator=generator)
    same = [kernel_distance(torch.randn(20, 4, generator=generator), real) for _ in range(40)]
    assert abs(sum(distance for distance, _ in same) / 40) < 0.02  # however few the clips
    assert min(distance for distance, _ in same) < 0
    assert sum(low <= 0 <= high for _, (low, high) in same) >= 32
    moved, (low, high) = kernel_distance(torch.randn(20, 4, generator=generator) + 1, real)
    assert 0 < low < moved < high
    with pytest.raises(AudiogenError, match="2 clips on each side"):
        kernel_distance(real, real[:1])


def test_kernel_distance_is_the_mean_over_pairs() -> None:
    made, real = torch.tensor([[0.0], [2.0]]), torch.tensor([[-1.0], [1.0], [0.0]])  # real of mean 0, deviation 1
    within = (1 + 0.0) ** 3, ((1 - 1.0) ** 3 + 1 + 1) / 3
    across = (1 + 1 + 1 + (1 - 2) ** 3 + (1 + 2) ** 3 + 1) / 6
    assert kernel_distance(made, real)[0] == pytest.approx(sum(within) - 2 * across, abs=1e-4)


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
