"""Every recipe from data to scores on a tiny corpus."""

import json
from pathlib import Path

import pytest
from tiny_recipes import THREE_STEPS, TINY_CODEC, TINY_RECOGNIZER, TINY_VOICE, Judge, Judges

from audiogen.checkpoint import load_bundle
from audiogen.recipes import asr, tts
from audiogen.recipes.run import run


def settings(data_root: Path, exp_dir: Path) -> list[str]:
    return [f"data_root={data_root}", f"exp_dir={exp_dir}", *THREE_STEPS]


def figures(exp_dir: Path) -> dict[str, float]:
    return {row["name"]: row["value"] for row in json.loads((exp_dir / "score" / "scores.json").read_text())["rows"]}


def test_recogniser(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asr, "OutsideRecognizer", Judge)
    corpora = ["data.train=[tones*2]", "data.valid=[tones]", "data.test=[tones]"]
    overrides = ["recipe=asr_english", *settings(data_root, tmp_path), *corpora, *TINY_RECOGNIZER]
    assert run(overrides) == ["prepare", "tokenize", "train", "generate", "score"]
    assert run(overrides) == []
    assert {"tones: ours: CER", "tones: judge: WER"} <= figures(tmp_path).keys()
    bundle = load_bundle(tmp_path / "train" / "bundle", "recognizer")
    assert bundle.assets["tokenizer"] and bundle.assets["lexicon"]["counts"]["cat"] == 6
    assert (tmp_path / "train" / "log.png").stat().st_size > 0


def test_aligner(data_root: Path, tmp_path: Path) -> None:
    corpora = ["data.train=[tones]", "data.valid=[tones]", "data.test=[tones]"]
    run(["recipe=aligner_english", *settings(data_root, tmp_path), *corpora, *TINY_RECOGNIZER])
    assert figures(tmp_path)["tones: clips"] == 2


def test_codec_and_voice(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpora = ["data.train={speech:[tones],sounds:[tones]}", "data.valid=[tones]", "data.test=[tones]"]
    codec = ["recipe=codec_default", *settings(data_root, tmp_path / "codec"), *corpora, *TINY_CODEC]
    start = ["objective.start_codebooks_after=1", "data.batch_size=2", "data.segment_seconds=0.4"]
    assert run([*codec, *start, "stop_stage=generate"]) == ["prepare", "train", "generate"]
    monkeypatch.setattr(tts, "SpeechJudges", Judges)
    (tmp_path / "sentences.txt").write_text("Cat, tack.\nDog.\n")
    voice = [
        "recipe=tts_kathleen",
        *settings(data_root, tmp_path / "voice"),
        *TINY_VOICE,
        "data.train=[tones]",
        "data.valid=[tones]",
        "data.test=tones",
        "~data.voices.kathleen",
        "+data.voices.toni=tone",
        "data.batch_seconds=4",
        f"codec_bundle={tmp_path / 'codec' / 'train' / 'bundle'}",
        "aligner_bundle=''",
        f"recognizer_bundle={tmp_path / 'codec' / 'train' / 'bundle'}",
        f"sentences={tmp_path / 'sentences.txt'}",
        "infer.max_dwell=3",
    ]
    assert run(voice) == ["prepare", "tokenize", "train", "generate", "score"]
    assert (tmp_path / "voice" / "generate" / "unseen sentences" / "001.wav").exists()
