"""`kill -9` in every stage of a recipe: no finished item is done again, nothing is torn, the losses are the same."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_recipes import TINY_RECOGNIZER, Judge

STAGES = ("prepare", "tokenize", "train", "generate", "score")
SETTINGS = [
    "recipe=asr_english",
    "labels=characters",
    "init_from=''",
    "timings_from=''",
    "data.train=[tones]",
    "data.valid=[tones]",
    "data.test=[tones]",
    "train.steps=5",
    "train.log_every=1",
    "train.valid_every=5",
    "train.checkpoint_every=2",
    *TINY_RECOGNIZER,
]
JOURNALS = {
    "prepare": "clips.jsonl",
    "tokenize": "labels.jsonl",
    "generate": "transcripts.jsonl",
    "score": "judged.jsonl",
}


def run_and_die(overrides: Sequence[str], dying: Path | None, after: int) -> None:
    """Run a recipe in a process of its own; killed when the stage folder `dying` exists and `after` items are done."""
    from rich.progress import Progress

    from audiogen.recipes import asr
    from audiogen.recipes.run import run

    asr.OutsideRecognizer = Judge
    seen = 0

    def count(*_: object, **__: object) -> None:
        nonlocal seen
        if dying is not None and dying.exists():
            seen += 1
            if seen == after:
                os.kill(os.getpid(), signal.SIGKILL)

    Progress.advance = Progress.update = count
    run(list(overrides))


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Processes that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["audiogen.recipes.run", "lightning_fabric", "lhotse", "matplotlib.pyplot"])
    return context


def test_kill_in_every_stage(
    processes: multiprocessing.context.ForkServerContext, data_root: Path, tmp_path: Path
) -> None:
    def start(exp_dir: Path, dying: str | None = None, after: int = 0) -> int:
        overrides = [*SETTINGS, f"data_root={data_root}", f"exp_dir={exp_dir}"]
        folder = exp_dir / f"{dying}.partial" if dying else None
        process = processes.Process(target=run_and_die, args=(overrides, folder, after))
        process.start()
        process.join()
        return process.exitcode

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    before: dict[str, bytes] = {}
    for stage in STAGES:
        # Of training, three steps: the newest checkpoint is of the second, so the third is done again.
        assert start(killed, stage, after=3 if stage == "train" else 1) == -signal.SIGKILL
        assert not (killed / stage).exists()
        if stage in JOURNALS:
            before[stage] = (killed / f"{stage}.partial" / JOURNALS[stage]).read_bytes()
            assert before[stage].count(b"\n") == 1
            with (killed / f"{stage}.partial" / JOURNALS[stage]).open("ab") as journal:
                journal.write(b'{"id": "half a li')
    first_clip = sorted((killed / "prepare" / "audio").iterdir(), key=lambda path: path.stat().st_mtime_ns)[0]
    assert start(killed) == 0
    assert start(whole) == 0

    for stage, journal in JOURNALS.items():
        text = (killed / stage / journal).read_bytes()
        assert text.startswith(before[stage])
        ids = [json.loads(line)["id"] for line in text.splitlines()]
        assert len(ids) == len(set(ids))
    assert first_clip.stem in before["prepare"].decode()
    assert not [path for path in killed.rglob("*") if path.name.endswith((".tmp", ".partial"))]
    assert losses(killed) == losses(whole)
    assert (killed / "train" / "bundle" / "weights.safetensors").read_bytes() == (
        whole / "train" / "bundle" / "weights.safetensors"
    ).read_bytes()


def losses(exp_dir: Path) -> list[tuple[int, float]]:
    entries = map(json.loads, (exp_dir / "train" / "log.jsonl").read_text().splitlines())
    return [(entry["step"], entry["loss"]) for entry in entries if "loss" in entry]
