"""Figures of generated clips against values known by hand."""

import math

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.metrics.generated import am_score, frechet_distance, inception_score, modified_inception_score


def test_the_frechet_distance_of_gaussians():
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features + 2, features) == pytest.approx(8 * 4, rel=1e-5)
    flat = torch.linalg.qr(features - features.mean(0))[0]  # of covariance 1 / 399
    stretched = flat * torch.tensor([3.0] + [1.0] * 7)
    assert frechet_distance(stretched, flat) == pytest.approx((3 - 1) ** 2 / 399, rel=1e-4)


def test_scores_of_sure_and_of_clueless_classifiers():
    sure = torch.eye(10).repeat_interleave(20, 0)
    clueless = torch.full((200, 10), 0.1)
    assert inception_score(sure) == pytest.approx(10)
    assert inception_score(clueless) == pytest.approx(1)
    assert modified_inception_score(clueless) == pytest.approx(1)
    assert modified_inception_score(sure, torch.Generator().manual_seed(0)) > 1e6
    assert am_score(sure, sure) == pytest.approx(0, abs=1e-6)
    assert am_score(clueless, sure) == pytest.approx(math.log(10))
    one = torch.eye(10)[:1].repeat(200, 1)
    assert am_score(one, sure) > am_score(clueless, sure)


def test_one_clip_is_too_few():
    with pytest.raises(AudiogenError, match="at least 2"):
        inception_score(torch.ones(1, 10))
