"""Editing: what differs is found, new words are put in, and every sample outside them stays as it was."""

import pytest
import torch
from tiny_speaker import SAYS, tiny_speaker

from audiogen.audio import resample
from audiogen.errors import AudiogenError
from audiogen.infer import edit as editing
from audiogen.infer import recordings
from audiogen.infer.edit import Change, edit
from audiogen.text.frontend import TextFrontend

RATE = 16_000
SAID = "we eat at noon"


@pytest.fixture
def edited(monkeypatch):
    """Edits a recording of `SAID`, whose phones last 0.16 s each after 0.2 s of silence."""

    def timings(self, aligner, phones):
        spoken = [phone for phone in phones if phone != "sil"]
        times = [("sil", 0.0, 0.2), *((phone, 0.2 + 0.16 * i, 0.36 + 0.16 * i) for i, phone in enumerate(spoken))]
        return [*times, ("sil", times[-1][2], self.seconds)]

    monkeypatch.setattr(recordings.Recording, "timings", timings)
    wave = torch.rand(2 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    speaker = tiny_speaker()
    return wave, lambda wanted, **how: edit(speaker, wave, SAID, wanted, SAYS, sample_rate=RATE, **how)


@pytest.mark.parametrize(
    "wanted", ["we eat at one", "they eat at noon", "we eat late at noon", "we eat noon", "eat at noon"]
)
def test_all_but_the_new_sound_is_kept(edited, wanted):
    wave, to = edited
    result = to(wanted)
    ((start, end),) = result.new
    start, end = round(start * RATE), round(end * RATE)
    after = result.wave.shape[1] - end
    assert result.sample_rate == RATE and end > start
    assert torch.equal(result.wave[0, :start], wave[:start])
    assert torch.equal(result.wave[0, end:], wave[len(wave) - after :])


def test_the_best_of_several_is_kept(edited):
    class Judge:
        def misfit(self, phones, wave, sample_rate):
            heard.append(wave)
            return abs(len(heard) - 2)

    heard = []
    result = edited[1]("we eat at one", readings=3, judge=Judge())
    ((start, _),) = result.new
    begun, faded = round(start * RATE), round(0.01 * RATE)
    again = resample(heard[1], 24_000, RATE)
    assert len(heard) == 3 and not torch.equal(heard[0], heard[2])
    kept = result.wave[:, begun + faded : begun + again.shape[1] - faded]
    torch.testing.assert_close(kept, again[:, faded : again.shape[1] - faded])


def test_two_changes_are_two_stretches(edited):
    wave, to = edited
    result = to("they eat at one")
    (first, begin), (second, end) = result.new
    kept = result.wave[0, round(begin * RATE) : round(second * RATE)]
    assert 0 < first < begin < second < end
    assert len(kept) > 0.4 * RATE and bool((wave.unfold(0, len(kept), 1) == kept).all(1).any())


def test_changes_are_found_word_by_word():
    frontend = TextFrontend("en")
    words = [editing._words(frontend, text) for text in ("go now", "go, right now", "go", "no now")]
    timings = [("sil", 0, 1), ("ɡ", 1, 2), ("ˈoʊ", 2, 3), ("sil", 3, 4), ("n", 4, 5), ("ˈaʊ", 5, 6), ("sil", 6, 7)]
    found = [list(editing._changes(words[0], wanted, timings)) for wanted in words[1:]]
    assert found[0] == [Change(3, 3, ["sil", *words[1][1].phones[1:]])]
    assert found[1] == [Change(4, 6, [])]
    assert found[2] == [Change(1, 3, words[3][0].phones)]


@pytest.mark.parametrize(
    ("wanted", "said"), [(SAID, "what the recording says"), ("no one", "no word of the recording")]
)
def test_texts_that_change_nothing_or_all_are_refused(edited, wanted, said):
    with pytest.raises(AudiogenError, match=said):
        edited[1](wanted)


def test_plain_valle_does_not_edit():
    with pytest.raises(AudiogenError, match="pointer"):
        edit(tiny_speaker(pointer=False), torch.zeros(RATE), SAID, "we eat")
