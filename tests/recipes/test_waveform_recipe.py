"""The waveform recipe from data to scores on tones, with classes and without."""

import json
from pathlib import Path

import pytest
from tiny_recipes import THREE_STEPS

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle, save_bundle
from audiogen.recipes import diffwave
from audiogen.recipes.items import read_rows
from audiogen.recipes.run import run
from audiogen.registry import build

STAGES = ["prepare", "train", "judge", "generate", "score"]
TINY = [
    "codec.config.sample_rate=4000",
    "model.config.dim=16",
    "model.config.layers=1",
    "model.config.state_size=8",
    "data.train=[tones]",
    "data.valid=[tones]",
    "data.test=[tones]",
    "data.batch_seconds=4",
    "judge.steps=3",
    "judge.warmup_steps=1",
    "recognizer_bundle=''",
    "infer.clips=2",
    "infer.seconds=0.3",
]


def figures(folder: Path) -> dict[str, float]:
    rows = json.loads((folder / "score" / "scores.json").read_text())["rows"]
    return {row["name"]: row["value"] for row in rows}


def test_classes_are_asked_for_and_judged(data_root: Path, tmp_path: Path) -> None:
    overrides = ["recipe=waveform_digits", f"data_root={data_root}", f"exp_dir={tmp_path}", *THREE_STEPS, *TINY]
    assert run(overrides) == STAGES
    assert run(overrides) == []
    bundle = load_bundle(tmp_path / "train" / "bundle", "waveform")
    assert bundle.config["classes"] == len(bundle.assets["labels"]) == 6
    assert bundle.assets["labels"][0] == "Cat, dog."
    made = read_rows(tmp_path / "generate" / "clips.jsonl")
    assert [row["label"] for row in made] == bundle.assets["labels"] and len(made[0]["audio"]) == 2
    assert audio.check(tmp_path / "generate" / made[0]["audio"][0]).samplerate == 4000
    found = figures(tmp_path)
    assert found["generated: clips"] == 12 and found["generated, cut: clips"] == 8
    assert found["training recordings: FID"] == pytest.approx(0, abs=1e-6)
    assert 0 < found["sashimi: bits a sample"] < 9 and found["sashimi: samples/s"] > 0
    assert run([*overrides, "infer.temperature=0.9", "force=true"]) == ["generate", "score"]


def test_recordings_without_classes_are_cut_into_pieces(data_root: Path, tmp_path: Path) -> None:
    plain = ["data.label=''", "data.level=null", "data.tail_seconds=0", "data.segment_seconds=0.5"]
    overrides = ["recipe=waveform_digits", f"data_root={data_root}", f"exp_dir={tmp_path}", *THREE_STEPS, *TINY, *plain]
    assert run(overrides) == STAGES
    rows = [row for row in read_rows(tmp_path / "prepare" / "clips.jsonl") if "train0" in row["id"]]
    assert [row["id"][-4:] for row in rows] == ["0000", "0001", "0002"]
    lengths = [audio.check(tmp_path / "prepare" / row["audio"]).frames for row in rows]
    assert lengths == [2000, 2000, 1400]
    counts = {f"counts, {before} codes before: bits a sample" for before in range(3)}
    assert figures(tmp_path).keys() == {"sashimi: bits a sample", "sashimi: samples/s", *counts}
    assert load_bundle(tmp_path / "train" / "bundle").config["classes"] == 0


def test_diffusion_makes_clips_of_every_class(data_root: Path, tmp_path: Path) -> None:
    overrides = ["recipe=diffwave_digits", f"data_root={data_root}", f"exp_dir={tmp_path}", *THREE_STEPS, *TINY]
    overrides += ["infer.steps=[2,3]"]
    assert run(overrides) == STAGES
    assert load_bundle(tmp_path / "train" / "bundle", "diffusion").config["classes"] == 6
    assert {"2 steps: FID", "3 steps: right", "test recordings: IS"} <= figures(tmp_path).keys()


def test_a_vocoder_makes_test_clips_again(
    data_root: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["recipe=diffwave_vocoder", f"data_root={data_root}", f"exp_dir={tmp_path}", *THREE_STEPS, *TINY]
    overrides += ["infer.steps=[2]", "model.config.num_mels=8", "data.segment_seconds=8"]
    overrides.remove("infer.seconds=0.3")
    assert run([*overrides, "stop_stage=generate"]) == STAGES[:-1]  # PESQ judges no tones
    made = read_rows(tmp_path / "generate" / "clips.jsonl")
    assert [row["id"] for row in made] == ["2-tones-test0", "2-tones-test1"]
    again = audio.check(tmp_path / "generate" / made[0]["audio"][0])
    assert again.frames == audio.check(tmp_path / "prepare" / "audio" / "tones-test0.wav").frames

    def beside(rate: int) -> str:
        config = {
            "sample_rate": rate,
            "hop_length": 16,
            "n_fft": 64,
            "num_mels": 8,
            "decoder_dim": 8,
            "decoder_depth": 1,
        }
        folder = tmp_path_factory.mktemp("vocoder")
        save_bundle(folder, Bundle("codec", "mel_vocoder", config, model=build("codec", "mel_vocoder", config)))
        return f"vocoder_bundle={folder}"

    # In place of PESQ: how far off the loudest sample is.
    monkeypatch.setattr(diffwave, "quality", lambda a, b, rate: dict.fromkeys(diffwave.QUALITY, float((a - b).max())))
    assert run([*overrides, beside(4000)]) == ["score"]
    assert {"2 steps: STOI", "mel_vocoder: STOI", "mel_vocoder: samples/s"} <= figures(tmp_path).keys()
    assert run([*overrides, beside(8000), "force=true"]) == ["score"]
    assert figures(tmp_path)["mel_vocoder: STOI"] > 0
