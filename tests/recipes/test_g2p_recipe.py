"""The pronunciation recipe needs no data root, so all of it runs here, on a sliver of the dictionary."""

import json
from pathlib import Path

from audiogen.checkpoint import load_bundle
from audiogen.recipes.items import read_rows
from audiogen.recipes.run import run

SPLITS = ("train", "valid", "test")


def test_all_stages_on_a_sliver_of_the_dictionary(tmp_path: Path) -> None:
    overrides = ["recipe=g2p_english", f"exp_dir={tmp_path}", "every=200", "g2p.config.dim=16", "g2p.config.layers=1"]
    overrides += ["train.steps=6", "train.valid_every=3", "train.checkpoint_every=3", "test_percent=10"]
    assert run(overrides) == ["prepare", "train", "generate", "score"]
    assert run(overrides) == []
    words = {split: {row["word"] for row in read_rows(tmp_path / "prepare" / f"{split}.jsonl")} for split in SPLITS}
    assert not words["train"] & words["test"] and len(words["test"]) > 20
    bundle = load_bundle(tmp_path / "train" / "bundle", kind="g2p")
    assert bundle.config["phones"] == len(bundle.assets["phones"]) == 69
    assert {row["word"] for row in read_rows(tmp_path / "generate" / "said.jsonl")} == words["test"]
    rows = json.loads((tmp_path / "score" / "scores.json").read_text())["rows"]
    assert len(rows) == 4 and all(row["value"] >= 0 for row in rows)
