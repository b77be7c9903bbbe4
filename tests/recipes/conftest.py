"""A corpus of tones that pretends to be speech."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 24_000
PITCHES = {"k": 700, "ˈæ": 300, "t": 1100, "d": 500, "ˈɔ": 220, "ɡ": 900}
WORDS = {"cat": ["k", "ˈæ", "t"], "dog": ["d", "ˈɔ", "ɡ"], "tack": ["t", "ˈæ", "k"], "god": ["ɡ", "ˈɔ", "d"]}
TEXTS = ("Cat, dog.", "Dog, tack.", "Tack, god.", "God, cat.", "Cat, tack.", "Dog, god.")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the corpus `tones`: one speaker, exact phone timings."""
    folder = tmp_path_factory.mktemp("data") / "tones"
    (folder / "audio").mkdir(parents=True)
    rows = []
    for split, count in (("train", 6), ("valid", 2), ("test", 2)):
        for number in range(count):
            rows.append(_clip(folder, f"{split}{number}", TEXTS[number], split))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


def _clip(folder: Path, name: str, text: str, split: str) -> dict:
    first, second = text.lower().rstrip(".").split(", ")
    phones = ["sil", *WORDS[first], "sil", *WORDS[second], "sil"]
    timings, waves = [], []
    for position, phone in enumerate(phones):
        time = np.arange(round(0.15 * RATE)) / RATE
        waves.append(0.3 * np.sin(2 * np.pi * PITCHES.get(phone, 0) * time) * np.hanning(len(time)))
        timings.append([phone, round(0.15 * position, 3), round(0.15 * (position + 1), 3)])
    noise = np.random.default_rng(len(name)).standard_normal(len(phones) * len(time))
    soundfile.write(folder / "audio" / f"{name}.wav", np.concatenate(waves) + 1e-3 * noise, RATE)
    described = {"text": text, "speaker": "tone", "language": "en-US", "split": split, "phones": timings}
    return {"id": name, "audio": f"audio/{name}.wav", **described}
