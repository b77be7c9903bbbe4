"""Tiny corpora made on the spot."""

import json
import math
from pathlib import Path

import pytest
import torch

from audiogen import audio


def tone(seconds: float, frequency: float, sample_rate: int = 16_000) -> torch.Tensor:
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    return 0.3 * torch.sin(2 * math.pi * frequency * time)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with `tones`: 12 clips of 0.3 to 0.85 s at 16 kHz, the last two in `valid`."""
    folder = tmp_path / "data" / "tones"
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(12):
        duration = 0.3 + 0.05 * i
        audio.write(folder / "audio" / f"t{i:02d}.flac", tone(duration, 200 + 50 * i), 16_000)
        row = {"id": f"t{i:02d}", "audio": f"audio/t{i:02d}.flac", "split": "train" if i < 10 else "valid"}
        row |= {"text": "a tone", "speaker": f"s{i % 2}", "language": "en", "pitch": i}
        rows.append(row | {"phones": [["sil", 0.0, 0.1], ["ə", 0.1, 0.2], ["ˈoʊ", 0.2, duration]]})
    write_lines(folder / "manifest.jsonl", rows)
    return folder.parent


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
