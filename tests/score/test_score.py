import json
import shutil
from itertools import cycle
from pathlib import Path

import pytest
import torch

from audiogen import audio, registry
from audiogen.api import load
from audiogen.checkpoint import Bundle, save_bundle
from audiogen.errors import AudiogenError
from audiogen.infer.recordings import Recording
from audiogen.infer.speak import Speaker
from audiogen.score import codec, hard
from audiogen.score.clips import corpus_clips
from audiogen.score.codec import score_codec
from audiogen.score.prosody import score_prosody
from audiogen.score.robustness import CHANGES, clipped, decibels, noisy, score_robustness
from audiogen.score.say import score_prompts, score_say
from audiogen.score.transcribe import score_transcribe, streams_equal
from audiogen.text.frontend import TextFrontend

RATE = 16_000


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """Clips of noise with transcripts, as a corpus: of two speakers, two in each of `valid` and `test`."""
    pytest.importorskip("lhotse")
    folder = tmp_path / "data" / "hiss"
    (folder / "audio").mkdir(parents=True)
    lines = []
    for index, seconds in enumerate((1.2, 1.0, 1.2, 1.0, 1.2, 1.0)):
        generator = torch.Generator().manual_seed(index)
        envelope = (torch.arange(int(seconds * RATE)) / RATE * 20).sin().clamp(min=0)
        audio.write(
            folder / "audio" / f"{index}.wav", 0.1 * torch.randn(1, len(envelope), generator=generator) * envelope, RATE
        )
        row = {"id": str(index), "audio": f"audio/{index}.wav", "split": "valid" if index > 3 else "test"}
        said = {"text": "One, two.", "speaker": f"hiss {index // 2}", "language": "en"}
        lines.append(json.dumps({**row, **said, "duration_s": seconds, "sampling_rate": RATE}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "hiss"


def test_clips_come_with_text_and_speaker_at_the_rate_asked_for(corpus, tmp_path):
    clips = corpus_clips(corpus, "test", str(tmp_path / "data"), sample_rate=8000, limit=2)
    assert [(clip.text, clip.speaker, clip.seconds) for clip in clips] == [
        ("One, two.", "hiss 0", 1.2),
        ("One, two.", "hiss 0", 1.0),
    ]
    assert clips[0].wave.shape == (1, 9600)
    with pytest.raises(AudiogenError, match="limit=0"):
        corpus_clips(corpus, "test", str(tmp_path / "data"), limit=0)


class Judge:
    """In the place of both outside judges: hears one word of two, and every voice as the same."""

    heard: list[int]

    def transcribe(self, wave: torch.Tensor, sample_rate: int) -> str:
        self.heard.append(sample_rate)
        return "one"

    def embed(self, wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
        return torch.eye(4)[0]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> type[Judge]:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    monkeypatch.setattr(Judge, "heard", [], raising=False)
    for name in ("OutsideRecognizer", "OutsideSpeakerEncoder"):
        monkeypatch.setattr(codec, name, Judge)
    return Judge


@pytest.fixture
def tiny_latents_bundle(bundles: Path) -> Path:
    """A codec of latents at 16 kHz."""
    sizes = {"encoder_dim": 8, "encoder_depth": 1, "decoder_dim": 8, "decoder_depth": 1}
    config = {"sample_rate": RATE, "n_fft": 320, "frame_hop": 80, "num_mels": 8, "latent_dim": 4, **sizes}
    model = registry.build("codec", "mel_latents", config)
    save_bundle(bundles / "tiny-latents", Bundle("codec", "mel_latents", config, licence="CC0-1.0", model=model))
    return bundles / "tiny-latents"


def test_codecs_are_scored_beside_opus_and_recordings(corpus, tmp_path, tiny_codec_bundle, tiny_latents_bundle, judge):
    table = score_codec(["tiny-codec", "tiny-latents"], [corpus], str(tmp_path / "data"), limit=2)
    rows = {row["name"]: row for row in table.rows}
    coded = [f"tiny-codec, {number}" for number in ("1 codebook", "2 codebooks", "4 codebooks")]
    assert list(rows) == ["recordings", *coded, "tiny-latents, latents", "Opus at 6", "Opus at 9", "Opus at 12"]
    assert list(table.units) == list(codec.UNITS) and all(row["clips"] == 2 for row in table.rows)
    assert all(row["outside WER"] == 0.5 and row["outside WER, 95 %"] == (0.5, 0.5) for row in table.rows)
    assert judge.heard == 2 * [RATE, *3 * [24_000], RATE, *3 * [24_000]]  # each once
    recordings = rows.pop("recordings")
    assert recordings.keys() == {"name", "clips", "outside WER", "outside WER, 95 %"}
    assert all(row["PESQ-WB"] >= 1 and row["mel distance"] > 0 for row in rows.values())
    assert all(row["speaker similarity"] == 1 for row in rows.values())
    assert 0.2 < rows["tiny-codec, 2 codebooks"]["bit rate"] < 0.85  # 2 of 32 codes at 75 Hz are 0.75 before coding
    latents = rows["tiny-latents, latents"]
    assert latents["sample rate"] == 16 and "bit rate" not in latents


def test_sounds_are_judged_by_their_spectra_alone(corpus, tmp_path, tiny_codec_bundle, judge):
    hiss, rain = tmp_path / "data" / corpus, tmp_path / "data" / "rain"
    shutil.copytree(hiss, rain)
    clips = [json.loads(line) for line in (hiss / "manifest.jsonl").read_text().splitlines()]
    for clip in clips:
        del clip["speaker"], clip["language"]
    (rain / "manifest.jsonl").write_text("\n".join(map(json.dumps, clips)) + "\n", encoding="utf-8")
    table = score_codec(["tiny-codec"], ["rain"], str(tmp_path / "data"), limit=1)
    assert list(table.units) == ["clips", "sample rate", "bit rate", "mel distance"] and not judge.heard
    assert [row["name"] for row in table.rows][-1] == "Opus at 12" and len(table.rows) == 6
    both = score_codec(["tiny-codec"], ["rain", corpus], str(tmp_path / "data"), limit=1)
    assert [row["name"] for row in both.rows][5:8] == [
        "rain: Opus at 12",
        "hiss: recordings",
        "hiss: tiny-codec, 1 codebook",
    ]


def test_only_residual_codes_are_judged_in_part():
    scalar = registry.build("codec", "sq_codec", {"init_channel": 2, "downsample_factors": [2, 3]})
    assert list(codec.versions(scalar, scalar.encode(torch.zeros(1, 1, 60)))) == ["32 codebooks"]


def test_codecs_are_scored_on_changed_speech(corpus, tmp_path, tiny_codec_bundle):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    table = score_robustness(["tiny-codec"], [corpus], str(tmp_path / "data"), limit=1)
    assert [row["name"] for row in table.rows] == [f"tiny-codec, {change}" for change in CHANGES]
    recorded, quiet, clipped, noisy, silent = table.rows
    assert quiet["level in"] == pytest.approx(-40, abs=0.01)
    assert clipped["level in"] > recorded["level in"] and noisy["level in"] > recorded["level in"]
    assert all(row["PESQ-WB"] >= 1 and row["mel distance"] > 0 for row in table.rows[:4])
    assert silent["level in"] == -120 and silent.keys() == {"name", "clips", "level in", "level out"}


def test_changed_speech_is_as_said():
    wave = 0.1 * torch.randn(1, 10_000, generator=torch.Generator().manual_seed(0))
    noise = noisy(wave) - wave
    assert decibels(wave) - decibels(noise) == pytest.approx(10, abs=0.2)
    assert clipped(wave).abs().max() == 1 and (clipped(wave).abs() == 1).float().mean() > 0.05


def test_a_recogniser_is_scored_beside_the_outside_one(corpus, tmp_path, tiny_recognizer_bundle):
    pytest.importorskip("pocketsphinx")
    table = score_transcribe("tiny-recognizer", [corpus], str(tmp_path / "data"), limit=1, every_way=True)
    ways = [row["name"] for row in table.rows if ", beam" in row["name"]]
    assert {name.split(": ")[1].split(", look")[0] for name in ways} == {"ctc, beam 1", "ctc, beam 8"}
    assert any(name.endswith("without memory") for name in ways)
    assert [row["name"] for row in table.rows if row["name"] not in ways] == ["hiss: ours", "hiss: pocketsphinx"]
    assert all(row["clips"] == 1 and row["real-time factor"] > 0 for row in table.rows)
    assert "1 of 1 clips" in table.note


def test_a_voice_is_scored_beside_recordings_and_codec(
    corpus, tmp_path, tiny_codec_bundle, tiny_voice_bundle, tiny_recognizer_bundle
):
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("resemblyzer")
    models = {"models": ["tiny-voice"], "recognizer": "tiny-recognizer", "codec": "tiny-codec"}
    table = score_say(["Oh.", "No."], corpus=corpus, data_root=str(tmp_path / "data"), int8=True, **models)
    names = ["recordings", "codec resynthesis", "tiny-voice", "tiny-voice, 8-bit weights"]
    assert [row["name"] for row in table.rows] == names
    recordings, resynthesis, voice, _ = table.rows
    assert [row["clips"] for row in table.rows] == [4, 4, 2, 2]
    assert recordings["real-time factor"] is None and recordings["odd lengths"] == 0
    assert resynthesis["real-time factor"] > 0 and voice["real-time factor"] > 0


def test_hard_sentences_are_counted_by_kind_and_cut(tiny_voice_bundle, monkeypatch):
    class Judge:
        """Hears a phone more in one sentence, and a phone less in the other."""

        def __init__(self, bundle):
            self.known = lambda phones: [phone for phone in phones if phone != "sil"]

        def heard(self, wave, sample_rate):
            said = next(texts)
            return ["k", *said] if said == phones["Oh no."] else said[:-1]

    phones = {text: Judge(None).known(TextFrontend().phones(text)) for text in ("Oh no.", "Cat.")}
    texts = cycle(phones.values())
    monkeypatch.setattr(hard, "PhoneJudge", Judge)
    monkeypatch.setattr(hard, "load_bundle", lambda name, kind: None)
    table = hard.score_hard(["word\tOh no.", "Cat."], ["tiny-voice"], seeds=(0, 1), top_ps=(0.5, 1.0))
    total, word, sentence, low, _ = table.rows
    assert [row["readings"] for row in table.rows] == [8, 4, 4, 4, 4]
    assert word["name"] == "tiny-voice, word" and sentence["name"] == "tiny-voice, sentence"
    assert low["name"] == "tiny-voice, top-p 0.5"
    assert word["PER"] == word["added"] == pytest.approx(1 / len(phones["Oh no."])) and word["skipped"] == 0
    assert sentence["PER"] == sentence["skipped"] == pytest.approx(1 / len(phones["Cat."]))
    assert total["runaways"] + total["early stops"] <= 8 and total["PER, 95 %"][0] <= total["PER"]


def test_the_timing_of_recordings_is_followed(corpus, tmp_path, tiny_codec_bundle, tiny_voice_bundle, monkeypatch):
    pytest.importorskip("resemblyzer")

    def timings(self, aligner, phones):
        spoken = [phone for phone in phones if phone != "sil"]
        step = self.seconds / len(spoken)
        return [(phone, index * step, (index + 1) * step) for index, phone in enumerate(spoken)]

    monkeypatch.setattr(Recording, "timings", timings)
    table = score_prosody("tiny-voice", corpus, str(tmp_path / "data"))
    assert [(row["name"], row["clips"]) for row in table.rows] == [("hiss 0", 2), ("hiss 1", 2)]
    for row in table.rows:
        assert 0 < row["pointer, largest error"] <= 1000 / 37.5
        assert row["by ear, median error"] <= row["by ear, 90 %"] <= 1000 / 37.5
        assert -1 <= row["to the reader"] <= 1 and -1 <= row["to the voice"] <= 1


def test_voice_prompts_are_compared_with_every_speaker(
    corpus, tmp_path, tiny_codec_bundle, tiny_voice_bundle, monkeypatch
):
    pytest.importorskip("resemblyzer")
    monkeypatch.setattr(Speaker, "voice_from_recording", lambda self, wave, transcript, sample_rate: self.voices[0])
    table = score_prompts(["Oh."], "tiny-voice", corpus, str(tmp_path / "data"))
    assert [row["name"] for row in table.rows] == ["hiss 0", "hiss 1"]
    assert all(row["to the default voice"] > 0.99 for row in table.rows)  # the prompt was swapped for it
    with pytest.raises(AudiogenError, match="two speakers"):
        score_prompts(["Oh."], "tiny-voice", corpus, str(tmp_path / "data"), max_speakers=1)


def test_streaming_in_any_chunks_gives_the_text_of_the_whole(tiny_recognizer_bundle):
    wave = 0.1 * torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    assert streams_equal(load("tiny-recognizer"), wave)
