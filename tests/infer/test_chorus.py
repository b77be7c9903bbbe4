"""A chorus: many listeners at once hear what each would hear alone, and what fails for one is told to all."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_speaker import SAYS, tiny_speaker

from audiogen.errors import AudiogenError
from audiogen.infer.chorus import Chorus

TEXTS = ["Good morning. How are you?", "One.", "Two. Three.", "So it is, and so it stays."]


@pytest.fixture
def chorus() -> Chorus:
    return Chorus(tiny_speaker(), SAYS)


def test_all_at_once_hear_what_each_hears_alone(chorus):
    def heard(number: int) -> torch.Tensor:
        return torch.cat(list(chorus.stream(TEXTS[number], ("ann", "bob")[number % 2], seed=number)), 1)

    with ThreadPoolExecutor(len(TEXTS)) as listeners:
        waves = list(listeners.map(heard, range(len(TEXTS))))
    slow = torch.cat(list(chorus.stream(TEXTS[3], "bob", seed=3, speed=0.5)), 1)
    assert slow.shape[1] == 2 * waves[3].shape[1]
    for number, wave in enumerate(waves):
        alone = chorus.speaker.synthesize(TEXTS[number], ("ann", "bob")[number % 2], SAYS, seed=number).wave
        torch.testing.assert_close(wave, alone)


def test_who_leaves_is_not_waited_for(chorus):
    leaving = chorus.stream("So it is, and so it stays.", seed=1)
    next(leaving)
    leaving.close()
    assert list(chorus.stream("One."))


def test_a_failure_is_told_and_the_chorus_goes_on(chorus, monkeypatch):
    fill = chorus.speaker.model.fill
    monkeypatch.setattr(chorus.speaker.model, "fill", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(chorus.stream("One."))
    monkeypatch.setattr(chorus.speaker.model, "fill", fill)
    assert list(chorus.stream("One."))
    with pytest.raises(AudiogenError, match="unknown voice"):
        list(chorus.stream("One.", "anne"))
