"""The speaker: the same speech whole and streamed, long text in sentences, timed phones, voices from recordings."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer import speak
from audiogen.infer.speak import Speaker, SpeakOptions
from audiogen.models.valle_r import VallER, VallERConfig
from audiogen.nn.state import State
from audiogen.protocols import AudioTokens, CodecSpec
from audiogen.text.frontend import TextFrontend

SPEC = CodecSpec("toy", sample_rate=24_000, hop_length=320, num_codebooks=3, codebook_size=16)
SAYS = SpeakOptions(max_dwell=3)


@dataclass
class Held(State):
    """The frames that the toy codec holds back."""

    codes: Tensor


class ToyCodec(nn.Module):
    """A frame is its codes' sum for 320 samples, spoken one frame late."""

    spec = SPEC

    def init_state(self, batch_size: int = 1) -> Held:
        return Held(torch.zeros(batch_size, 3, 0, dtype=torch.long))

    def decode_step(self, tokens: AudioTokens, state: Held, final: bool = False) -> tuple[Tensor, Held]:
        codes = torch.cat([state.codes, tokens.codes], 2)
        settled = codes.shape[2] if final else max(codes.shape[2] - 1, 0)
        wave = codes[:, :, :settled].sum(1).repeat_interleave(320, 1)[:, None] / 64
        return wave, Held(codes[:, :, settled:])

    def encode(self, wave: Tensor, lengths: Tensor | None = None, merge: int = 1) -> AudioTokens:
        frames = -(-wave.shape[-1] // 320 // merge) * merge
        return AudioTokens.from_codes(SPEC, torch.full((1, 3, frames), 5))


@pytest.fixture(params=[True, False], ids=["pointer", "plain"])
def speaker(request) -> Speaker:
    frontend = TextFrontend("en")
    torch.manual_seed(0)
    small = dict(dim=32, heads=2, feedforward=48, coarse_layers=1, fine_layers=1, chunk=8, context=1)
    config = VallERConfig(SPEC, len(frontend.inventory), pointer=request.param, **small)
    voice = {"codes": [[3] * 8, [1, 2] * 4, [4] * 8], "phones": ["sil", "ˈæ", "sil"], "durations": [1, 2, 1]}
    assets = {"frontend": frontend.to_dict(), "voices": {"ann": voice, "bob": {**voice, "codes": [[9] * 8] * 3}}}
    bundle = Bundle("acoustic", "valle_r", {}, assets=assets, model=VallER(config).eval())
    return Speaker(bundle, Bundle("codec", "toy", {}, model=ToyCodec()))


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
    if not speaker._model.config.pointer:
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
    monkeypatch.setattr(speak, "load_bundle", lambda name, kind: recogniser)
    heard = []

    def align(bundle, wave, phones):
        heard.append((wave.shape, phones))
        spoken = [phone for phone in phones if phone != "sil"]
        return [(phone, 0.2 + 0.1 * i, 0.3 + 0.1 * i) for i, phone in enumerate(spoken)]

    monkeypatch.setattr(speak, "align", align)
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


def test_an_unknown_voice_is_refused(speaker):
    with pytest.raises(AudiogenError, match="unknown voice 'anne'; did you mean 'ann'"):
        next(speaker.stream("One.", "anne"))


@pytest.mark.parametrize("wrong", [{"speed": 9.0}, {"max_dwell": 0}, {"pointer_temperature": -1.0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(AudiogenError, match="must be"):
        SpeakOptions(**wrong)


def test_a_bundle_without_voices_is_refused():
    bundle = Bundle("acoustic", "valle_r", {}, assets={"frontend": TextFrontend("en").to_dict()})
    with pytest.raises(AudiogenError, match="lacks its 'voices'"):
        Speaker(bundle, Bundle("codec", "toy", {}))
