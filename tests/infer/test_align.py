"""Forced alignment: timings without gaps, pauses where the sound has them, clips that do not fit refused."""

from types import SimpleNamespace

import pytest
import torch

from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.align import align
from audiogen.text.phones import INVENTORY

pytest.importorskip("torchaudio")
BLANK = len(INVENTORY)


class Heard:
    """A recogniser that hears a given phone, or silence, in each 20 ms frame."""

    config = SimpleNamespace(sample_rate=16_000, lookaheads=[0])
    blank = BLANK
    label_seconds = 0.02

    def __init__(self, frames: list[str]):
        self.labels = torch.tensor([BLANK if p == "sil" else INVENTORY.encode([p])[0] for p in frames])

    def log_probs(self, wave, lookahead):
        probabilities = torch.full((1, len(self.labels), BLANK + 1), 0.1 / BLANK)
        probabilities[0, torch.arange(len(self.labels)), self.labels] = 0.9
        return probabilities.log(), torch.tensor([len(self.labels)])


def aligned(frames: list[str], phones: list[str]):
    bundle = Bundle("recognizer", "heard", {}, assets={"inventory": INVENTORY.to_dict()}, model=Heard(frames))
    return align(bundle, torch.zeros(320 * len(frames) - 100), phones)


def test_timings_cover_the_clip_and_pauses_are_heard():
    frames = ["sil"] * 5 + ["h"] * 3 + ["sil"] * 2 + ["ˈaɪ"] * 10 + ["sil"] * 6 + ["ˈaɪ"] * 4 + ["sil"] * 3
    timings = aligned(frames, ["sil", "h", "ˈaɪ", "ˈaɪ", "sil"])
    assert [symbol for symbol, _, _ in timings] == ["sil", "h", "ˈaɪ", "sil", "ˈaɪ", "sil"]
    assert [start for _, start, _ in timings] == pytest.approx([0, 0.1, 0.18, 0.4, 0.52, 0.6])
    assert [end for _, _, end in timings][:-1] == [start for _, start, _ in timings][1:]
    assert timings[-1][2] == pytest.approx((320 * len(frames) - 100) / 16_000)


def test_clips_that_do_not_fit_are_refused():
    with pytest.raises(AudiogenError, match=r"5 phones do not fit into 0\.05 s"):
        aligned(["h"] * 3, ["h", "h", "h", "h", "h"])
    with pytest.raises(AudiogenError, match="do not fit the sound"):
        aligned(["sil"] * 20 + ["s"] * 20, ["m", "n", "m", "n"] * 5)
    with pytest.raises(AudiogenError, match="would last from"):
        aligned(["h"] * 60, ["h"])
    with pytest.raises(AudiogenError, match="hears no phones"):
        align(Bundle("recognizer", "heard", {}), torch.zeros(10), ["h"])
