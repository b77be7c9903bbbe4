"""The pronunciation recipe: a network that learns from a dictionary to say the words it lacks.

Stages: `prepare` splits the shipped CMUdict by a hash of the word, `train` exports `train/bundle`, `generate` says the
words set aside, `score` counts what is wrong.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from audiogen.data.words import WordStream, word_batch
from audiogen.metrics.tables import Table
from audiogen.metrics.text import EditCounts, edit_counts
from audiogen.recipes.common import BUNDLE, new_model, train_and_export, train_inputs, write_table
from audiogen.recipes.items import read_rows, write_rows
from audiogen.recipes.runner import file_hash
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.text.lexicon import CMUDICT, cmudict
from audiogen.text.neural import NeuralG2P, Spelling, say
from audiogen.text.phones import split_stress
from audiogen.train.loop import SingleObjective

SPLITS = ("train", "valid", "test")


@dataclass
class G2PRun(RunConfig):
    """Settings of a pronunciation recipe.

    Attributes:
        g2p: The network; how many letters and phones it knows follows from the dictionary.
        init_from: A bundle to start from, if any.
        batch_size: Words a batch.
        valid_percent: How much of the dictionary is watched during training.
        test_percent: How much is set aside for the score.
        every: Use only every n-th word of the dictionary.
    """

    g2p: ModelConfig = field(default_factory=ModelConfig)
    init_from: str = ""
    batch_size: int = 128
    valid_percent: int = 1
    test_percent: int = 2
    every: int = 1


class Prepare:
    """Split the dictionary; all pronunciations of a word go the same way."""

    name = "prepare"

    def inputs(self, config: G2PRun) -> dict[str, Any]:
        """The dictionary and the shares."""
        shares = {"valid_percent": config.valid_percent, "test_percent": config.test_percent, "every": config.every}
        return {"dictionary": file_hash(CMUDICT), **shares}

    def run(self, config: G2PRun, folder: Path) -> None:
        """Write `train.jsonl`, `valid.jsonl`, `test.jsonl`: words with their pronunciations, the commonest first."""
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        lexicon = cmudict()
        for word in lexicon.words()[:: config.every]:
            rows[_split(word, config)].append({"word": word, "pronunciations": lexicon.pronunciations(word)})
        for split in SPLITS:
            write_rows(folder / f"{split}.jsonl", rows[split])


class Train:
    """CTC on the first pronunciation of every word."""

    name = "train"

    def inputs(self, config: G2PRun) -> dict[str, Any]:
        """Model, schedule and batches."""
        return train_inputs(config, config.g2p, config.init_from, batch_size=config.batch_size)

    def run(self, config: G2PRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        spelling = _spelling()
        settings = config.g2p.completed(letters=len(spelling.letters), phones=len(spelling.phones))
        model = new_model(settings, config.init_from, config.train.seed)
        entries = [(row["word"], row["pronunciations"][0]) for row in _words(config, "train")]
        entries = [(word, phones) for word, phones in entries if _places(phones) <= len(word) * model.config.slots]
        watched = _words(config, "valid")
        train_and_export(
            SingleObjective(model),
            WordStream(entries, spelling, config.batch_size, config.train.seed).batches,
            config,
            folder,
            settings.bundle(
                model,
                assets={**spelling.to_dict(), "languages": ["en"]},
                training={"corpora": {"train": f"CMUdict, {len(entries)} words"}},
            ),
            lambda: _watch(model, spelling, watched),
        )


class Generate:
    """Say the words set aside."""

    name = "generate"

    def inputs(self, config: G2PRun) -> dict[str, Any]:
        """Nothing but what the stages before decide."""
        return {}

    def run(self, config: G2PRun, folder: Path) -> None:
        """Write `said.jsonl`: each word, how the dictionary says it and what the network said."""
        network, rows = NeuralG2P(Path(config.exp_dir) / Train.name / BUNDLE), _words(config, "test")
        said = network.say([row["word"] for row in rows])
        write_rows(folder / "said.jsonl", [{**row, "said": phones} for row, phones in zip(rows, said, strict=True)])


class Score:
    """Count wrong phones and wrong words, with stress and without."""

    name = "score"

    def inputs(self, config: G2PRun) -> dict[str, Any]:
        """Nothing but what the stages before decide."""
        return {}

    def run(self, config: G2PRun, folder: Path) -> None:
        """Write `scores.json` and `scores.md`."""
        said = read_rows(Path(config.exp_dir) / Generate.name / "said.jsonl")
        table = Table(
            "Words of CMUdict set aside",
            units={"phone error rate": "", "words right": ""},
            note=f"{len(said)} words; a word counts by that of its pronunciations which is closest.",
        )
        for name, mark in (("with stress", list), ("without stress", _unstressed)):
            counts = [_closest(mark(row["said"]), list(map(mark, row["pronunciations"]))) for row in said]
            total = sum(counts, EditCounts())
            right = sum(count.errors == 0 for count in counts) / len(counts)
            table.rows.append({"name": name, "phone error rate": total.errors / total.length, "words right": right})
        write_table(folder, table)


def _split(word: str, config: G2PRun) -> str:
    """Where a word goes, by its hash; a possessive goes with its word, so that neither gives the other away."""
    stem = word.removesuffix("'s").removesuffix("'")
    percent = int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 100
    if percent < config.test_percent:
        return "test"
    return "valid" if percent < config.test_percent + config.valid_percent else "train"


def _spelling() -> Spelling:
    """All letters and phones of the dictionary, in a fixed order."""
    return Spelling("".join(sorted(set().union(*cmudict().words()))), sorted(cmudict().phones()))


def _words(config: G2PRun, split: str) -> list[dict[str, Any]]:
    return read_rows(Path(config.exp_dir) / Prepare.name / f"{split}.jsonl")


def _places(phones: Sequence[str]) -> int:
    """How many slots CTC needs for `phones`: a blank parts equal neighbours."""
    return len(phones) + sum(phone == before for phone, before in zip(phones[1:], phones, strict=False))


def _watch(model: nn.Module, spelling: Spelling, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Loss and share of words right."""
    said = say(model, spelling, [row["word"] for row in rows])
    right = sum(phones in row["pronunciations"] for phones, row in zip(said, rows, strict=True))
    with torch.no_grad():
        loss, _ = model.loss(word_batch([(row["word"], row["pronunciations"][0]) for row in rows], spelling))
    return {"loss": loss.item(), "words_right": right / len(rows)}


def _closest(said: Sequence[str], pronunciations: Sequence[Sequence[str]]) -> EditCounts:
    """The errors against that pronunciation which has the fewest."""
    return min((edit_counts(known, said) for known in pronunciations), key=lambda count: count.errors)


def _unstressed(phones: Sequence[str]) -> list[str]:
    """Phones without stress; the vowels that only differ by it are made one."""
    return [{"ə": "ʌ", "ɚ": "ɝ"}.get(base, base) for base in (split_stress(phone)[1] for phone in phones)]


STAGES = (Prepare(), Train(), Generate(), Score())
