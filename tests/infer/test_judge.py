"""The judge of phones: what it hears, and that phones which were skipped or added fit worse."""

from types import SimpleNamespace

import pytest
import torch

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.judge import PhoneJudge

SYMBOLS = ["sil", "æ", "t", "k"]


class Ear(torch.nn.Module):
    """Hears the same phones in everything, a frame each with a blank before it."""

    config, blank = SimpleNamespace(sample_rate=16_000, lookaheads=[6, 13]), len(SYMBOLS)

    def log_probs(self, wave, lookahead):
        assert wave.shape == (1, 8_000) and lookahead == 13
        labels = torch.tensor([4, 3, 4, 1, 4, 2, 4])
        return torch.full((1, 7, 5), 0.01).scatter(2, labels[None, :, None], 0.96).log(), torch.tensor([7])


def test_what_is_said_fits_best():
    bundle = Bundle("recognizer", "ear", {}, assets={"inventory": {"symbols": SYMBOLS}}, model=Ear())
    judge, wave = PhoneJudge(bundle), torch.zeros(1, 12_000)
    assert judge.heard(wave, 24_000) == ["k", "æ", "t"]
    fits = [judge.misfit(phones.split(), wave, 24_000) for phones in ("sil k ˈæ t sil", "k æ", "k æ t k", "t æ k")]
    assert fits[0] == min(fits) and fits[0] < 0.5 * min(fits[1:])
    assert judge.misfit(["k"] * 9, wave, 24_000) == float("inf")
    assert judge.heard(wave[:, :0], 24_000) == [] and judge.misfit(["k"], wave[:, :0], 24_000) == float("inf")


def test_a_recogniser_of_characters_is_refused():
    with pytest.raises(AudiogenError, match="hears no phones"):
        PhoneJudge(Bundle("recognizer", "ear", {}, model=Ear()))
