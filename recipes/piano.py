"""The recipe of a piano corpus: pieces out of recorded single notes, or of tones where there are none.

Its one stage, `prepare`, leaves the corpus in `prepare/piano`, which any recipe takes as `data.train=[<that folder>]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogen import audio
from audiogen.data.corpora import MANIFEST
from audiogen.data.piano import play, recorded_notes, tones
from audiogen.recipes.common import corpora_inputs
from audiogen.recipes.items import do_items, write_rows
from audiogen.recipes.settings import RunConfig

CORPUS = "piano"
HELD_OUT = 0.06  # share of the pieces for validation, and again for the test, as of the published piano sets


@dataclass
class PianoRun(RunConfig):
    """Settings of a piano corpus.

    Attributes:
        notes: The corpus of single notes; empty for tones.
        pieces: How many pieces.
        seconds: Length of each.
        sample_rate: Rate of the files.
        seed: Decides them all.
    """

    notes: str = "piano_notes"
    pieces: int = 50
    seconds: float = 36.0
    sample_rate: int = 16_000
    seed: int = 0


class Prepare:
    """Play it all."""

    name = "prepare"

    def inputs(self, config: PianoRun) -> dict[str, Any]:
        """The notes, and how many pieces of what length."""
        notes = corpora_inputs([config.notes] if config.notes else [], config.data_root)
        return {"notes": notes, **{key: getattr(config, key) for key in ("pieces", "seconds", "sample_rate", "seed")}}

    def run(self, config: PianoRun, folder: Path) -> None:
        """Write the corpus `piano`."""
        rate, corpus = config.sample_rate, folder / CORPUS
        (corpus / "audio").mkdir(parents=True, exist_ok=True)
        notes = recorded_notes(config.notes, config.data_root, rate) if config.notes else tones(rate)

        def make(number: int) -> dict[str, Any]:
            file = f"audio/{number:04d}.flac"
            piece = play(notes, config.seed * config.pieces + number, config.seconds, rate)
            audio.write(corpus / file, piece, rate)
            return {"audio": file, "split": _split(number, config.pieces)}

        items = [(f"{number:04d}", number) for number in range(config.pieces)]
        write_rows(corpus / MANIFEST, do_items(items, folder / "pieces.jsonl", make, "playing"))


def _split(number: int, pieces: int) -> str:
    """The last pieces are for the test, those before them for validation, at least one each."""
    others = max(1, round(HELD_OUT * pieces))
    if number >= pieces - others:
        return "test"
    return "valid" if number >= pieces - 2 * others else "train"


STAGES = (Prepare(),)
