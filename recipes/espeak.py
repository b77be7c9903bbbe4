"""The recipe of the built-in corpus: English sentences said by many synthetic voices, with exact phone timings.

Its one stage, `prepare`, leaves the corpus in `prepare/espeak`, which any recipe takes as `data.train=[<that folder>]`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audiogen.data.corpora import load_cuts
from audiogen.data.synthetic import SyntheticConfig, make_corpus
from audiogen.recipes.common import corpora_inputs
from audiogen.recipes.runner import file_hash
from audiogen.recipes.settings import RunConfig

CORPUS = "espeak"


@dataclass
class EspeakRun(RunConfig):
    """Settings of the synthetic corpus.

    Attributes:
        speech: How much, by whom and how.
        transcripts: Corpora whose training transcripts may be said besides generated sentences; what their `valid` and
            `test` splits say is never said.
        sentences: A file of sentences, one a line, that are never said either.
    """

    speech: SyntheticConfig = field(default_factory=SyntheticConfig)
    transcripts: list[str] = field(default_factory=list)
    sentences: str = ""


class Prepare:
    """Say it all."""

    name = "prepare"

    def inputs(self, config: EspeakRun) -> dict[str, Any]:
        """What is said, by whom and how."""
        sentences = file_hash(Path(config.sentences)) if config.sentences else ""
        transcripts = corpora_inputs(config.transcripts, config.data_root)
        return {"speech": dataclasses.asdict(config.speech), "transcripts": transcripts, "sentences": sentences}

    def run(self, config: EspeakRun, folder: Path) -> None:
        """Write the corpus `espeak`."""
        excluded = Path(config.sentences).read_text(encoding="utf-8").splitlines() if config.sentences else []
        for split in ("valid", "test"):
            excluded += _texts(config, split)
        make_corpus(folder / CORPUS, config.speech, _texts(config, "train"), excluded)


def _texts(config: EspeakRun, split: str) -> list[str]:
    """The transcripts of a split of all corpora."""
    return [cut.supervisions[0].text for name in config.transcripts for cut in load_cuts(name, config.data_root, split)]


STAGES = (Prepare(),)
