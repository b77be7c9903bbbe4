"""Trains and scores plain VALL-E, + merge, + pointer and VALL-E R (arXiv 2406.07855 §5.3), three seeds each.

Same data, same steps, same size. What is prepared is shared by all runs, codes by those that merge alike. Each run is
the recipe `tts_ablation` and goes on where it was stopped; the table pools the utterances of all seeds.
"""

import argparse
import sys
from pathlib import Path

from audiogen import api
from audiogen.checkpoint import load_bundle
from audiogen.errors import AudiogenError
from audiogen.infer.judge import PhoneJudge
from audiogen.metrics.tables import Row, Table
from audiogen.recipes.common import BUNDLE, write_table
from audiogen.recipes.compose import compose_run
from audiogen.recipes.items import read_rows
from audiogen.recipes.run import TASKS, run
from audiogen.recipes.settings import RunConfig
from audiogen.recipes.tts import UTTERANCES
from audiogen.score.hard import NOTE as HARD_NOTE
from audiogen.score.hard import hard_readings, hard_row
from audiogen.score.say import NOTE, system_row

MODELS = {
    "plain VALL-E": "valle_unmerged",
    "+ merge": "valle",
    "+ pointer": "valle_r_unmerged",
    "VALL-E R": "valle_r",
}
SEEDS = (0, 1, 2)
TOP_PS = (0.1, 0.4, 0.7, 1.0)
HARD = Path(__file__).parents[2] / "tts" / "local" / "hard_sentences.tsv"
SAID = "unseen sentences"
UNITS = ("clips", "outside WER", "outside WER, 95 %", "our CER", "speaker similarity", "real-time factor")
HARD_UNITS = ("readings", "runaways", "early stops", "PER", "PER, 95 %", "skipped", "added")


def main(arguments: list[str]) -> int:
    """Run all that is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="compose every run and show it, without running it")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of every run")
    given = parser.parse_intermixed_args(arguments)
    try:
        folders = {name: [_one(name, seed, given.overrides, given.dry_run) for seed in SEEDS] for name in MODELS}
        if not given.dry_run:
            root = folders["VALL-E R"][0].parent
            rows = [_row(name, runs, _compose(given.overrides)) for name, runs in folders.items()]
            write_table(root, Table("VALL-E R's ablation", rows, _units(), f"{NOTE} {HARD_NOTE}"))
    except AudiogenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _one(name: str, seed: int, overrides: list[str], dry_run: bool) -> Path:
    """One run of one model; returns its folder."""
    settings = [*overrides, f"model={MODELS[name]}", f"train.seed={seed}"]
    config = _compose(settings)
    folder = Path(config.exp_dir) / f"{MODELS[name]}-{seed}"
    if dry_run:
        shape = f"pointer={config.model.config.get('pointer', True)} merge={config.model.config.get('merge', 2)}"
        print(f"{folder}: {shape} steps={config.train.steps}")
        return folder
    codes = Path(config.exp_dir) / f"codes-{config.model.config.get('merge', 2)}"
    run([*settings, f"exp_dir={codes}", "stop_stage=tokenize"])
    folder.mkdir(parents=True, exist_ok=True)
    for stage in ("prepare", "tokenize"):
        if not (folder / stage).exists():
            (folder / stage).symlink_to((codes / stage).resolve())
    run([*settings, f"exp_dir={folder}"])
    return folder


def _row(name: str, folders: list[Path], config: RunConfig) -> Row:
    """What all seeds of a model said, judged together."""
    judged = []
    for folder in folders:
        utterances = read_rows(folder / "generate" / UTTERANCES)
        heard = read_rows(folder / "score" / "judged.jsonl")
        judged += [row for row, said in zip(heard, utterances, strict=True) if said["system"] == SAID]
    judge = PhoneJudge(load_bundle(config.recognizer_bundle, "recognizer"))
    sentences = HARD.read_text(encoding="utf-8").splitlines()
    readings, steps = [], 0.0
    for folder in folders:
        speaker = api.load(folder / "train" / BUNDLE, "acoustic")
        readings += hard_readings(speaker, judge, sentences, SEEDS, TOP_PS, f"{name}, {folder.name}")
        steps = 10 * speaker.frame_rate
    hard = {f"hard: {column}": figure for column, figure in hard_row(name, readings).items()}
    return {**system_row(name, judged), "AR steps for 10 s": steps, **hard}


def _units() -> dict[str, str]:
    return dict.fromkeys((*UNITS, "AR steps for 10 s", *(f"hard: {column}" for column in HARD_UNITS)), "")


def _compose(overrides: list[str]) -> RunConfig:
    return compose_run(overrides, {name: task.settings for name, task in TASKS.items()})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
