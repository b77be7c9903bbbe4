"""The speaker: the same speech whole and streamed, long text in sentences, timed phones, voices from recordings."""

import gc
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny_speaker import SAYS, tiny_speaker
from torch import nn

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer import recordings, speak
from audiogen.infer.recordings import Coded
from audiogen.infer.script import Line
from audiogen.infer.speak import Speaker, SpeakOptions
from audiogen.text.frontend import TextFrontend


@pytest.fixture(params=[True, False], ids=["pointer", "plain"])
def speaker(request) -> Speaker:
    return tiny_speaker(request.param)


def test_a_stream_is_the_whole_in_chunks(speaker):
    text = "Good morning. How are you?"
    whole = speaker.synthesize(text, options=SAYS)
    chunks = list(speaker.stream(text, options=SAYS))
    assert len(chunks) > 3 and all(chunk.shape[0] == 1 and chunk.shape[1] > 0 for chunk in chunks)
    torch.testing.assert_close(torch.cat(chunks, 1), whole.wave)
    assert whole.sample_rate == 24_000


def test_working_ahead_changes_nothing(speaker, monkeypatch):
    text = "Good morning. How are you?"
    overlapped = speaker.synthesize(text, options=SAYS)
    monkeypatch.setattr(speak, "ahead", lambda items: items)
    alone = speaker.synthesize(text, options=SAYS)
    assert torch.equal(overlapped.wave, alone.wave) and overlapped.phones == alone.phones


def test_ahead_gives_the_same_items_and_passes_on_errors():
    made = []

    def items():
        for number in range(1, 4):
            made.append(number)
            yield number
        raise AudiogenError("no fourth")

    stream = speak.ahead(items())
    assert next(stream) == 1 and next(stream) == 2 and next(stream) == 3
    assert made == [1, 2, 3]
    with pytest.raises(AudiogenError, match="no fourth"):
        next(stream)


def test_a_stream_may_be_left(speaker):
    stream = speaker.stream("Good morning. How are you?", options=SAYS)
    next(stream)
    stream.close()
    assert speaker.synthesize("One.", options=SAYS).wave.shape[1] > 0


def test_phones_have_times(speaker):
    speech = speaker.synthesize("Good morning. How are you?", options=SAYS)
    frontend = TextFrontend("en")
    if not speaker.model.config.pointer:
        assert speech.phones == []
        return
    assert [phone for phone, _, _ in speech.phones] == [
        *frontend.phones("Good morning."),
        *frontend.phones("How are you?"),
    ]
    ends = [end for _, _, end in speech.phones]
    assert [start for _, start, _ in speech.phones] == pytest.approx([0, *ends[:-1]])
    assert ends[-1] == pytest.approx(speech.wave.shape[1] / 24_000)


def test_a_seed_decides_the_reading(speaker):
    waves = [speaker.synthesize("One.", options=SAYS, seed=seed).wave for seed in (1, 1, 2)]
    assert torch.equal(waves[0], waves[1])
    assert waves[0].shape != waves[2].shape or not torch.equal(waves[0], waves[2])


def test_voices_differ(speaker):
    assert speaker.voices == ["ann", "bob"]
    sure = replace(SAYS, temperature=0, pointer_temperature=0)
    first, default, second = (speaker.synthesize("One.", voice, sure).wave for voice in ("ann", None, "bob"))
    assert torch.equal(first, default)
    assert first.shape != second.shape or not torch.equal(first, second)


def test_a_voice_from_a_recording(speaker, tmp_path: Path, monkeypatch):
    recogniser = Bundle("recognizer", "toy", {}, model=nn.Module())
    recogniser.model.config = replace_rate(16_000)
    monkeypatch.setattr(recordings, "load_bundle", lambda name, kind: recogniser)
    heard = []

    def align(bundle, wave, phones):
        heard.append((wave.shape, phones))
        spoken = [phone for phone in phones if phone != "sil"]
        return [(phone, 0.2 + 0.1 * i, 0.3 + 0.1 * i) for i, phone in enumerate(spoken)]

    monkeypatch.setattr(recordings, "align", align)
    audio.write(tmp_path / "me.wav", torch.rand(1, 44_100 * 2) - 0.5, 44_100)
    voice = speaker.voice_from_recording(tmp_path / "me.wav", "yes")
    assert heard[0][0] == (32_000,)
    assert voice.codes.shape == (3, 150) and int(voice.durations.sum()) == 75
    assert TextFrontend("en").inventory.decode(voice.phones.tolist()) == ["sil", *heard[0][1][1:-1], "sil"]
    same = speaker.voice_from_recording(torch.rand(2 * 24_000), "yes", 24_000)
    assert torch.equal(same.durations, voice.durations)
    assert speaker.synthesize("One.", voice, SAYS).wave.shape[1] > 0
    with pytest.raises(AudiogenError, match=r"lasts 0\.5 s; it must be 1 to 15 s"):
        speaker.voice_from_recording(torch.rand(12_000), "yes", 24_000)
    with pytest.raises(AudiogenError, match="needs a transcript"):
        speaker.voice_from_recording(torch.rand(48_000), " ", 24_000)


def replace_rate(rate: int):
    @dataclass
    class Config:
        sample_rate: int

    return Config(rate)


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), ("  \n", "empty"), ("😀", "nothing to say"), ("a" * 100_000, "100,000")]
)
def test_text_that_cannot_be_spoken_is_refused(speaker, text, message):
    with pytest.raises(AudiogenError, match=message):
        speaker.synthesize(text, options=SAYS)


def test_what_cannot_be_said_between_sentences_is_passed_over(speaker):
    said = speaker.synthesize("One. 😀! Two.", options=SAYS).phones
    assert said == [] or [phone for phone, _, _ in said].count("sil") == 4


def test_given_durations_are_kept_exactly(speaker):
    frame = 1 / speaker.frame_rate
    line = Line(("sil", "j", "ˈɛ", "s", "sil"), (2 * frame, 3 * frame, 50 * frame, frame, 4 * frame))
    if not speaker.model.config.pointer:
        with pytest.raises(AudiogenError, match="no phone pointer"):
            speaker.synthesize([line], options=SAYS)
        return
    speech = speaker.synthesize([line], "bob", SAYS)
    assert speech.wave.shape[1] == 60 * 640
    assert speech.lines[0].seconds == pytest.approx(line.seconds)
    some = Line(line.phones, (None, None, 7 * frame, None, None))
    free, preset = (speaker.synthesize([one], options=SAYS).lines[0].seconds for one in (line, some))
    assert free[2] == pytest.approx(50 * frame) and preset[2] == pytest.approx(7 * frame)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25])
def test_a_speed_changes_the_length_by_so_much(speaker, speed):
    text = "Good morning to you [[sil:0.32]] all."
    if not speaker.model.config.pointer:
        return
    says = SpeakOptions(min_dwell=2, max_dwell=9, pointer_temperature=1)
    natural, changed = (
        speaker.synthesize(text, options=replace(says, speed=x)).wave.shape[1] / 640 for x in (1, speed)
    )
    assert changed - 12 == pytest.approx((natural - 12) / speed, abs=1)


def test_what_was_said_can_be_said_again_in_another_voice(speaker):
    text = "Good morning. How are you?"
    first = speaker.synthesize(text, options=SAYS)
    if not speaker.model.config.pointer:
        assert first.lines == speaker.lines(text)
        return
    again = speaker.synthesize(first.lines, "bob", SAYS, seed=5)
    assert again.phones == first.phones and again.wave.shape == first.wave.shape
    assert [line.phones for line in first.lines] == [
        line.phones for line in speaker.lines("Good morning. How are you?")
    ]


def test_the_timing_of_a_recording_is_followed(speaker, monkeypatch):
    def timings(self, aligner, phones):
        spoken = [phone for phone in phones if phone != "sil"]
        ends = torch.linspace(0.5, 2.9, len(spoken) + 1, dtype=torch.double).square().div(3).tolist()
        said = [(phone, *bounds) for phone, bounds in zip(spoken, pairwise(ends), strict=True)]
        return [("sil", 0.0, ends[0]), *said, ("sil", ends[-1], self.seconds)]

    monkeypatch.setattr(recordings.Recording, "timings", timings)
    if not speaker.model.config.pointer:
        return
    text, recording = "Good morning. How are you?", torch.zeros(3 * 16_000)
    speech = speaker.synthesize(speaker.timed_like(recording, text, 16_000), "bob", SAYS)
    phones = [phone for sentence in ("Good morning.", "How are you?") for phone in speaker.frontend.phones(sentence)]
    wanted = timings(recordings.Recording(recording[None], 16_000), None, phones)
    assert [phone for phone, _, _ in speech.phones] == [phone for phone, _, _ in wanted]
    for (_, _, end), (_, _, asked) in zip(speech.phones, wanted, strict=True):
        assert abs(end - asked) <= 1 / speaker.frame_rate


def test_sentences_spoken_together_are_those_spoken_one_by_one(speaker, monkeypatch):
    text = "One. Two. Three. Four. Five. Six."
    together = speaker.synthesize(text, options=SAYS)
    monkeypatch.setattr(speak, "TOGETHER", 1)
    alone = speaker.synthesize(text, options=SAYS)
    torch.testing.assert_close(together.wave, alone.wave)
    assert together.lines == alone.lines and len(alone.lines) == 6


def test_the_best_of_several_readings_is_kept(speaker):
    class Judge:
        def misfit(self, phones, wave, sample_rate):
            heard.append(wave)
            return abs(len(heard) - 3)

    heard = []
    (speech,) = speaker.sentences("One.", options=SAYS, readings=4, judge=Judge())
    assert len(heard) == 4 and not any(torch.equal(heard[0], other) for other in heard[1:])
    torch.testing.assert_close(speech.wave, heard[2])


def test_speech_goes_on_where_a_recording_ends(speaker, monkeypatch):
    ids = torch.tensor(speaker.frontend.inventory.encode(["sil", "ˈæ", "sil"]))
    known = Coded(speaker._voices["ann"].codes, ids, torch.tensor([1, 2, 1]), 1.0, 2)
    monkeypatch.setattr(speaker, "_coded", lambda *recording: known)
    speech = speaker.continue_recording(torch.zeros(24_000), "a", "One. Two.", SAYS)
    assert speech.lines[0].phones == tuple(speaker.frontend.phones("One.")[1:])
    assert speech.lines[1].phones == tuple(speaker.frontend.phones("Two."))
    if speaker.model.config.pointer:
        assert speech.phones[-1][2] == pytest.approx(speech.wave.shape[1] / 24_000)


def test_memory_does_not_grow_with_the_text(speaker):
    def most_held(sentences: int) -> int:
        held = []
        for number, _ in enumerate(speaker.stream("So it is. " * sentences, options=SAYS)):
            if number % 5 == 4:
                held.append(
                    sum(t.untyped_storage().nbytes() for t in gc.get_objects() if issubclass(type(t), torch.Tensor))
                )
        return max(held)

    assert most_held(12) < 1.1 * most_held(4)


def test_an_unknown_voice_is_refused(speaker):
    with pytest.raises(AudiogenError, match="unknown voice 'anne'; did you mean 'ann'"):
        next(speaker.stream("One.", "anne"))


@pytest.mark.parametrize(
    "wrong", [{"speed": 9.0}, {"max_dwell": 0}, {"min_dwell": 20}, {"pointer_temperature": -1.0}, {"pause": 0.0}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(AudiogenError, match="must be"):
        SpeakOptions(**wrong)


def test_a_bundle_without_voices_is_refused():
    bundle = Bundle("acoustic", "valle_r", {}, assets={"frontend": TextFrontend("en").to_dict()})
    with pytest.raises(AudiogenError, match="lacks its 'voices'"):
        Speaker(bundle, Bundle("codec", "toy", {}))
