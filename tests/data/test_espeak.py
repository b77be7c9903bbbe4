"""Speech, timings and transcriptions from espeak-ng."""

import json
import os
import signal

import pytest
import torch

from audiogen.data import espeak_worker
from audiogen.data.espeak import Espeak, ipa, to_inventory
from audiogen.errors import AudiogenError
from audiogen.text.phones import INVENTORY, SILENCE

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def espeak():
    with Espeak() as process:
        yield process


def assert_tiles(speech):
    assert speech.wave.dtype == torch.float32 and speech.wave.abs().max() <= 1
    assert speech.phones[0][:2] == (SILENCE, 0.0) and speech.phones[-1][0] == SILENCE
    assert speech.phones[-1][2] == pytest.approx(len(speech.wave) / speech.sample_rate)
    for (first, _, end), (second, start, _) in zip(speech.phones, speech.phones[1:], strict=False):
        assert end == start and not first == second == SILENCE
    INVENTORY.encode([symbol for symbol, _, _ in speech.phones])


def test_phones_come_back_as_given(espeak):
    phones = "sil ð ə |k w ˈɪ k |b ɹ ˈaʊ n |f ˈɑ k s sil dʒ ˈʌ m p t |ˈoʊ v ɚ |ɪ t sil".replace("|", "| ").split()
    phones = [" " if phone == "|" else phone for phone in phones]
    speech = espeak.say(phones=phones, voice="en-us+f3", rate=160)
    assert_tiles(speech)
    assert [symbol for symbol, _, _ in speech.phones] == [phone for phone in phones if phone != " "]


def test_phones_sound_where_they_are_said_to_be(espeak):
    speech = espeak.say(phones="s ˈɑ s sil m ˈɑ m".split())

    def interval(index):
        start, end = (round(second * speech.sample_rate) for second in speech.phones[index][1:])
        return speech.wave[start:end]

    def crossings(wave):
        return float(((wave[1:] * wave[:-1]) < 0).float().mean())

    assert [symbol for symbol, _, _ in speech.phones] == "sil s ˈɑ s sil m ˈɑ m sil".split()
    assert crossings(interval(1)) > 3 * crossings(interval(2)) and crossings(interval(3)) > 3 * crossings(interval(2))
    assert all(interval(i).abs().mean() < 0.002 < 0.01 < interval(i + 2).abs().mean() for i in (0, 4))


def test_voice_rate_and_pitch_matter(espeak):
    said = {"text": "Good morning to you all."}
    plain, again = espeak.say(**said), espeak.say(**said)
    assert torch.equal(plain.wave, again.wave) and plain.phones == again.phones
    assert len(espeak.say(**said, rate=300).wave) < 0.8 * len(plain.wave)
    for change in ({"voice": "en-us+f3"}, {"pitch": 90}, {"pitch_range": 90}):
        assert not torch.equal(espeak.say(**said, **change).wave, plain.wave)


@pytest.mark.parametrize(
    "language, text",
    [("en", "Ten people bought seven umbrellas."), ("de-DE", "Zwölf Bücher, bitte!"), ("nl", "Goedemorgen, u huis.")],
)
def test_other_languages_give_our_phones(espeak, language, text):
    assert_tiles(espeak.say(text=text, voice=language))
    assert INVENTORY.parse(espeak.ipa(text, language).replace("sil", ""))


def test_ipa():
    assert ipa("Guten Tag, Anna.", "de") == "ɡ ˈu t ə n t ˈɑ k sil ˈa n ɑ"
    assert to_inventory("ˈɜːθ (fr)n̩") == ["ˈɝ", "θ", "ə", "n"]


@pytest.mark.parametrize(
    "request_, message",
    [
        ({"text": "hi", "voice": "en-us+nobody"}, "has no voice 'en-us\\+nobody'"),
        ({"text": "hi", "voice": "qq"}, "has no voice 'qq'"),
        ({"text": " "}, "nothing to say"),
        ({"text": "a\0b"}, "NUL"),
        ({"phones": ["ʁ"]}, "'ʁ' is no English phone"),
        ({"phones": ["a"], "voice": "de"}, "cannot say phones"),
        ({"phones": []}, "nothing to say"),
        ({}, "either a text or phones"),
    ],
)
def test_bad_requests(espeak, request_, message):
    with pytest.raises(AudiogenError, match=message):
        espeak.say(**request_)
    assert_tiles(espeak.say(text="still here"))


def test_a_dead_process_is_replaced():
    with Espeak() as espeak:
        before = espeak.say(text="hello").wave
        espeak._process.kill()
        espeak._process.wait()
        assert torch.equal(espeak.say(text="hello").wave, before)


def test_a_process_that_does_not_start():
    with Espeak() as espeak:
        espeak._arguments = ["/no/such/library", "/no/data"]
        with pytest.raises(AudiogenError, match="does not run here"):
            espeak.say(text="hello")


def test_a_crash_costs_one_answer():
    class Crashing:
        def say(self, text):
            if text == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            return {"said": text}, b""

    requests = (json.dumps({"do": "say", "text": text}).encode() for text in ("a", "crash", "b"))
    read, write = os.pipe()
    with os.fdopen(write, "wb") as answers:
        espeak_worker.serve(Crashing(), requests, answers)
    with os.fdopen(read, "rb") as answers:
        first, crashed, second = map(json.loads, answers)
    assert (first, second) == ({"said": "a"}, {"said": "b"})
    assert "broke down" in crashed["error"]
