"""Piano pieces: repeatable, in tune, and as long as asked for."""

import json
from pathlib import Path

import pytest
import torch

from audiogen import audio
from audiogen.data.piano import HIGHEST, LOWEST, Note, _struck, play, tones
from audiogen.errors import AudiogenError

pytest.importorskip("lhotse")

from audiogen.data.piano import recorded_notes
from audiogen.recipes.run import run

RATE = 8000


def test_a_seed_is_a_piece():
    notes = tones(RATE)
    first, again, other = (play(notes, seed, 3.0, RATE) for seed in (1, 1, 2))
    assert first.shape == (3 * RATE,) and first.abs().max() < 1
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("midi", [LOWEST + 1, 57, 69, HIGHEST])
def test_notes_are_shifted_into_tune(midi):
    sound = _struck(tones(RATE), Note(0.0, 2.0, midi, 1.0), RATE)
    spectrum = torch.fft.rfft(sound[: 2 * RATE] * torch.hann_window(2 * RATE)).abs()
    assert abs(int(spectrum.argmax()) / 2 - 440 * 2 ** ((midi - 69) / 12)) < 1.5


def test_recordings_need_their_pitch(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    audio.write(tmp_path / "notes" / "a.wav", tones(RATE)[69 - 69 % 3], RATE)
    row = {"id": "a", "audio": "a.wav", "split": "train"}
    manifest = tmp_path / "notes" / "manifest.jsonl"
    manifest.write_text(json.dumps({**row, "midi": 69}) + "\n")
    assert list(recorded_notes("notes", str(tmp_path), RATE)) == [69]
    manifest.write_text(json.dumps(row) + "\n")
    with pytest.raises(AudiogenError, match="midi"):
        recorded_notes("notes", str(tmp_path), RATE)


def test_the_corpus_has_every_split(tmp_path: Path):
    few = ["pieces=4", "seconds=1", "notes=''", f"data_root={tmp_path}"]
    assert run(["recipe=piano_corpus", f"exp_dir={tmp_path}", *few]) == ["prepare"]
    rows = [json.loads(line) for line in (tmp_path / "prepare/piano/manifest.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows] == ["train", "train", "valid", "test"]
    assert audio.check(tmp_path / "prepare/piano" / rows[0]["audio"]).duration == 1
