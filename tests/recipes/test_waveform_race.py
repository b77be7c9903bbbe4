"""Runs of waveform models are compared at equal steps and at equal work, and not where they have not been."""

import json
from pathlib import Path

import pytest

from audiogen.checkpoint import Bundle, save_bundle
from audiogen.errors import AudiogenError
from audiogen.models.sashimi import Sashimi, SashimiConfig
from audiogen.protocols import CodecSpec
from audiogen.recipes import waveform_race


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 30 steps, each of 2 CPU seconds, validated every tenth."""
    spec = CodecSpec("pcm", 8000, 1, num_codebooks=1, codebook_size=16)
    model = Sashimi(SashimiConfig(spec, dim=16, layers=1, state_size=8, ssm="s4d"))
    config = {**vars(model.config), "codec": spec.to_dict()}
    save_bundle(tmp_path / "run" / "train" / "bundle", Bundle("waveform", "sashimi", config, model=model))
    entries = [entry for step in (10, 20, 30) for entry in ({"cpu_seconds": 20.0}, {"valid/bits": 50 / step})]
    steps = [10, 10, 20, 20, 30, 30]
    lines = [json.dumps({"step": step, **entry}) for step, entry in zip(steps, entries, strict=True)]
    (tmp_path / "run" / "train" / "log.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "run"


def test_a_run_is_read_at_a_step_and_between_validations_at_a_time(run, monkeypatch):
    monkeypatch.setattr(waveform_race, "DRAWN", 8)
    (row,) = waveform_race.race([run], steps=20, seconds=30).rows
    assert row["name"] == "run" and row["bits, 20 steps"] == 2.5 and row["bits, 30 s"] == pytest.approx(3.75)
    assert row["training"] == 0.5 and row["generation, batch 16"] > 0


def test_a_run_that_ended_before_is_an_error(run):
    with pytest.raises(AudiogenError, match="steps 40 lie outside its validations, 10 to 30"):
        waveform_race.race([run], steps=40, seconds=30)


def test_runs_that_have_not_ended_are_left_out_by_name(run, monkeypatch, capsys):
    monkeypatch.setattr(waveform_race, "DRAWN", 8)
    (run.parent / "slow" / "train.partial" / "bundle").mkdir(parents=True)
    options = ["--steps", "20", "--seconds", "30"]
    assert waveform_race.main([str(run), str(run.parent / "slow"), str(run.parent / "next"), *options]) == 0
    table = capsys.readouterr().out
    assert "| run |" in table and "| slow |" not in table and "Left out, as they have not ended: slow, next." in table
    assert waveform_race.main([str(run.parent / "slow"), *options]) == 2
    assert "no run has ended of slow" in capsys.readouterr().err
