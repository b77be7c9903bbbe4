"""The recipe of the built-in music: made-up pieces with captions that are true, by a seeded generator.

Its one stage, `prepare`, leaves the corpus in `prepare/music`, which any recipe takes as `data.train=[<that folder>]`.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audiogen import audio
from audiogen.data.corpora import MANIFEST
from audiogen.data.music import MusicConfig, draw_piece, render, split_of
from audiogen.errors import AudiogenError
from audiogen.recipes.items import do_items, write_rows
from audiogen.recipes.settings import RunConfig

CORPUS, PIECES = "music", "pieces.jsonl"


@dataclass
class MusicRun(RunConfig):
    """Settings of the made-up music; `music` says how much of it there is and how long the pieces are."""

    music: MusicConfig = field(default_factory=MusicConfig)


class Prepare:
    """Compose and play it all."""

    name = "prepare"

    def inputs(self, config: MusicRun) -> dict[str, Any]:
        """What decides the pieces."""
        return {"music": dataclasses.asdict(config.music)}

    def run(self, config: MusicRun, folder: Path) -> None:
        """Write the corpus `music`."""
        music, corpus = config.music, folder / CORPUS
        if music.pieces < 20:
            raise AudiogenError(f"music.pieces={music.pieces}; at least 20 give clips of every split")
        (corpus / "audio").mkdir(parents=True, exist_ok=True)

        def make(number: int) -> dict[str, Any]:
            piece, caption, notes = draw_piece(music, number)
            path = f"audio/{number:05d}.flac"
            audio.write(corpus / path, render(notes, music.seconds, music.sample_rate), music.sample_rate)
            return {"audio": path, "split": split_of(number), "text": caption, **piece.described()}

        rows = do_items(((f"{n:05d}", n) for n in range(music.pieces)), folder / PIECES, make, "composing")
        write_rows(corpus / MANIFEST, rows)


STAGES = (Prepare(),)
