"""Music made by one recipe and learnt by another, from captions to scores, and a bundle that then makes sound."""

import json
from pathlib import Path

import pytest
from tiny_recipes import THREE_STEPS

from audiogen import api
from audiogen.errors import AudiogenError
from audiogen.recipes.run import run

TINY = [
    "model.config.network.dim=32",
    "model.config.network.heads=2",
    "model.config.network.layers=1",
    "model.config.network.text_layers=1",
    "codebooks=2",
    "data.batch_seconds=4",
    "data.test_clips=2",
    "infer.masked.steps=[2,1]",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    made = ["music.pieces=40", "music.seconds=1.0", "music.sample_rate=8000"]
    assert run(["recipe=music_corpus", f"data_root={folder}", f"exp_dir={folder}", *made]) == ["prepare"]
    return folder / "prepare" / "music"


def overrides(corpus: Path, exp_dir: Path, *more: str) -> list[str]:
    data = [f"data.train=[{corpus}]", f"data.valid=[{corpus}]", f"data.test={corpus}", "codec_bundle=tiny-codec"]
    return ["recipe=text_to_music", f"data_root={corpus}", f"exp_dir={exp_dir}", *data, *TINY, *THREE_STEPS, *more]


@pytest.mark.parametrize("model", ["magnet", "musicgen"])
def test_from_captions_to_scores(corpus: Path, tmp_path: Path, tiny_codec_bundle: Path, model: str) -> None:
    asked = overrides(corpus, tmp_path / "exp", f"model={model}")
    assert run(asked) == ["prepare", "tokenize", "train", "generate", "score"]
    assert run(asked) == []
    figures = json.loads((tmp_path / "exp" / "score" / "scores.json").read_text())["rows"]
    names = {row["name"] for row in figures}
    assert {"recordings: tempo", "made: FAD", "made: melody", "noise: key", "codec resynthesis: KL, drums"} <= names
    assert {"made, captions shuffled: KID", "recordings: KID, 95 %, low", "chance: one answer for all: tempo"} <= names
    maker = api.load(tmp_path / "exp" / "train" / "bundle", "sound")
    assert maker.generate("a slow waltz", 0.5).shape == (1, 1, 12_000)


def test_a_manifest_of_music_says_what_is_in_it(corpus: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 40 and {row["split"] for row in rows} == {"train", "valid", "test"}
    assert {"text", "key", "tempo", "metre", "melody", "chords", "drums"} <= rows[0].keys()


def test_captions_and_network_must_go_together(corpus: Path, tmp_path: Path, tiny_codec_bundle: Path) -> None:
    with pytest.raises(AudiogenError, match="does not go with a network of text=words"):
        run(overrides(corpus, tmp_path / "exp", "t5=t5-base"))
