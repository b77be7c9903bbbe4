"""The recogniser recipe, for characters (transcription) and for phones (forced alignment).

Stages: `prepare` decodes the corpora at 16 kHz, `tokenize` turns transcripts into labels, `train` exports
`train/bundle`, `generate` transcribes the test clips, `score` gives error rates.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import MISSING

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle
from audiogen.data.augment import Augment
from audiogen.data.batches import BatchStream
from audiogen.data.collate import RecognitionCollate
from audiogen.data.corpora import SPLITS, read_wave
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.align import align
from audiogen.infer.listen import Listener, ListenOptions
from audiogen.infer.word_search import SearchWeights
from audiogen.metrics.judges import OutsideRecognizer
from audiogen.metrics.tables import Table
from audiogen.metrics.text import spoken_words
from audiogen.recipes.common import (
    BUNDLE,
    bundle_inputs,
    mean_figures,
    new_model,
    train_and_export,
    train_inputs,
    write_table,
)
from audiogen.recipes.items import do_items, read_rows
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.recipes.speech import clip_id, prepare_speech, prepared_cuts, speech_inputs
from audiogen.score.transcribe import UNITS, error_figures
from audiogen.text.frontend import TextFrontend
from audiogen.text.normalize import normalize
from audiogen.text.phones import ENGLISH_SOUNDS, INVENTORY, SILENCE, PhoneInventory, unstressed
from audiogen.text.tokenizer import CharTokenizer
from audiogen.text.trigrams import count_words
from audiogen.train.loop import SingleObjective

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

SAMPLE_RATE = 16_000
LABELS, TRANSCRIPTS = "labels.jsonl", "transcripts.jsonl"


@dataclass
class AsrData:
    """What a recogniser is trained and judged on.

    Attributes:
        train: Corpora whose `train` split is used; `name*3` takes one three times.
        valid: Corpora whose `valid` split is watched during training.
        test: Corpora whose `test` split is transcribed.
        min_duration: Shorter clips are left out, seconds.
        max_duration: Longer clips are not trained on, seconds.
        batch_seconds: Sound a batch holds at most, seconds.
        augment: Whether training clips are changed in speed, level, noise and room.
    """

    train: list[str] = MISSING
    valid: list[str] = MISSING
    test: list[str] = MISSING
    min_duration: float = 0.2
    max_duration: float = 20.0
    batch_seconds: float = 60.0
    augment: bool = True


@dataclass
class AsrRun(RunConfig):
    """Settings of a recogniser recipe.

    Attributes:
        model: The recogniser to train.
        init_from: A bundle to start from, if any.
        timings_from: For phones and words, the bundle that times clips which come without timings, so that they too
            teach frame by frame; without one they teach by CTC.
        frozen: Modules that keep the weights they start with, such as `encoder` while a new head is learnt.
        labels: `words`, heard as phones without stress and read by a dictionary; `characters`; or `phones`, for an
            aligner.
        data: The corpora.
        infer: How to listen when transcribing.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    init_from: str = ""
    timings_from: str = ""
    frozen: list[str] = field(default_factory=list)
    labels: str = "characters"
    data: AsrData = field(default_factory=AsrData)
    infer: ListenOptions = field(default_factory=ListenOptions)


class Labeller(Protocol):
    """What a recogniser writes.

    Attributes:
        symbols: The labels.
        inventory: Of phones, if that is what the labels are: clips with timings then teach frame by frame.
    """

    symbols: Sequence[str]
    inventory: PhoneInventory | None

    def describe(self, cut: MonoCut) -> dict[str, Any]:
        """The `labels` of a clip's transcript, and its `phones` with times where they were found here."""

    def assets(self, transcripts: Iterable[str]) -> dict[str, Any]:
        """What a bundle needs to read the labels back, and what helps with it."""


class Characters:
    """Letters, of the transcript as it is spoken."""

    inventory = None

    def __init__(self) -> None:
        self.tokenizer = CharTokenizer()
        self.symbols = self.tokenizer.symbols

    def describe(self, cut: MonoCut) -> dict[str, Any]:
        """Letters of the normalised text."""
        return {"labels": self.tokenizer.encode(normalize(cut.supervisions[0].text))}

    def assets(self, transcripts: Iterable[str]) -> dict[str, Any]:
        """The tokenizer."""
        return {"tokenizer": self.tokenizer.to_dict()}


class Phones:
    """Phones without silence, which is left to the blank: as timed where they are, else as the text is read."""

    inventory = INVENTORY

    def __init__(self, timings_from: str = "") -> None:
        self.frontend = TextFrontend()
        self.symbols = self.inventory.symbols
        self.aligner = load_bundle(timings_from, kind="recognizer") if timings_from else None

    def describe(self, cut: MonoCut) -> dict[str, Any]:
        """Phones of the alignment or the text; with an aligner, that one's timings where the clip has none."""
        items = (cut.supervisions[0].alignment or {}).get("phone") or []
        timings = [(item.symbol, item.start, item.end) for item in items]
        if not timings:
            phones = self.frontend.phones(cut.supervisions[0].text)
            if self.aligner is None:
                return {"labels": self._labels(phones)}
            timings = align(self.aligner, read_wave(cut, SAMPLE_RATE), phones)
        labels = self._labels(phone for phone, _, _ in timings)
        return {"labels": labels, "phones": [(self.sound(phone), start, end) for phone, start, end in timings]}

    def sound(self, phone: str) -> str:
        """What of a phone is told apart: all of it."""
        return phone

    def assets(self, transcripts: Iterable[str]) -> dict[str, Any]:
        """The inventory."""
        return {"inventory": self.inventory.to_dict()}

    def _labels(self, phones: Iterable[str]) -> list[int]:
        return self.inventory.encode(self.sound(phone) for phone in phones if phone != SILENCE)


class Words(Phones):
    """Phones without stress, which a dictionary and a language model turn into words."""

    inventory = ENGLISH_SOUNDS

    def sound(self, phone: str) -> str:
        """The phone without its stress."""
        return unstressed(phone)

    def assets(self, transcripts: Iterable[str]) -> dict[str, Any]:
        """The inventory, and the words of the transcripts for the search."""
        texts = [spoken_words(text) for text in dict.fromkeys(transcripts)]
        weights = dataclasses.asdict(SearchWeights())
        return {**super().assets(transcripts), "words": {**count_words(texts), "weights": weights}}


class Prepare:
    """Decode the corpora once."""

    name = "prepare"

    def inputs(self, config: AsrRun) -> dict[str, Any]:
        """The corpora and which lengths are taken."""
        splits = speech_inputs(_splits(config), config.data_root)
        return {**splits, "min_duration": config.data.min_duration, "max_duration": config.data.max_duration}

    def run(self, config: AsrRun, folder: Path) -> None:
        """Fill `audio/` and `manifest.jsonl`."""
        durations = config.data.min_duration, config.data.max_duration
        prepare_speech(_splits(config), config.data_root, SAMPLE_RATE, folder, durations)


class Tokenize:
    """Turn transcripts into labels; clips that cannot be written with them are left out and named."""

    name = "tokenize"

    def inputs(self, config: AsrRun) -> dict[str, Any]:
        """What the labels are."""
        symbols = list(_labeller(config).symbols)
        return {"labels": config.labels, "symbols": symbols, "timings_from": bundle_inputs(config.timings_from)}

    def run(self, config: AsrRun, folder: Path) -> None:
        """Write `labels.jsonl`."""
        labeller, prepared = _labeller(config), Path(config.exp_dir) / Prepare.name
        cuts = [cut for split in SPLITS for cut in prepared_cuts(prepared, split)]
        rows = do_items(
            ((clip_id(cut), cut) for cut in cuts), folder / LABELS, lambda cut: _label(labeller, cut), "labels"
        )
        refused = [row for row in rows if "refused" in row]
        if len(refused) == len(rows):
            raise AudiogenError(f"no transcript can be written in {config.labels}: {refused[0]['refused']}")
        for row in refused[:5]:
            print(f"left out {row['id']}: {row['refused']}", flush=True)


class Train:
    """CTC, and the cross-entropy of frames where the corpus has timings; the loss is the model's own."""

    name = "train"

    def inputs(self, config: AsrRun) -> dict[str, Any]:
        """Model, schedule and batches."""
        data = {
            "train": list(config.data.train),
            "valid": list(config.data.valid),
            "batch_seconds": config.data.batch_seconds,
            "augment": config.data.augment,
        }
        return train_inputs(config, _model(config), config.init_from, frozen=list(config.frozen), data=data)

    def run(self, config: AsrRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        data, labeller, described = config.data, _labeller(config), _model(config)
        model = new_model(described, config.init_from, config.train.seed)
        for name in config.frozen:
            model.get_submodule(name).requires_grad_(False)
        train, valid = (_labelled_cuts(config, split) for split in ("train", "valid"))
        stream = _stream(config, train, labeller, shuffle=True)
        watched = _stream(config, valid, labeller, shuffle=False)
        training = {"corpora": {"train": list(data.train)}, "labels": config.labels}
        bundle = described.bundle(
            model, assets=labeller.assets(cut.supervisions[0].text for cut in train), training=training
        )
        train_and_export(
            SingleObjective(model), stream.batches, config, folder, bundle, lambda: mean_figures(model, watched.epoch())
        )


class Generate:
    """Transcribe the test clips."""

    name = "generate"

    def inputs(self, config: AsrRun) -> dict[str, Any]:
        """How to listen."""
        return {"infer": dataclasses.asdict(config.infer)}

    def run(self, config: AsrRun, folder: Path) -> None:
        """Write `transcripts.jsonl`: reference, text and words with times of every clip, and how long it took."""
        listener = Listener(trained_bundle(config), config.infer)
        cuts = prepared_cuts(Path(config.exp_dir) / Prepare.name, "test")
        do_items(
            ((clip_id(cut), cut) for cut in cuts),
            folder / TRANSCRIPTS,
            lambda cut: _transcribe(listener, cut),
            "listening",
        )


class Score:
    """Word and character error rates, ours and those of the outside judge on the same clips."""

    name = "score"

    def inputs(self, config: AsrRun) -> dict[str, Any]:
        """Which judges."""
        return {"judge": OutsideRecognizer.name}

    def run(self, config: AsrRun, folder: Path) -> None:
        """Write the judge's transcripts to `judged.jsonl`, and the table."""
        prepared, judge = Path(config.exp_dir) / Prepare.name, OutsideRecognizer()
        heard = read_rows(Path(config.exp_dir) / Generate.name / TRANSCRIPTS)
        judged = do_items(
            ((row["id"], row["audio"]) for row in heard),
            folder / "judged.jsonl",
            lambda path: {"text": judge.transcribe(audio.read(prepared / path), SAMPLE_RATE)},
            judge.name,
        )
        table = Table("Recognition of test clips", units=UNITS)
        for corpus in dict.fromkeys(row["corpus"] for row in heard):
            ours = [row for row in heard if row["corpus"] == corpus]
            theirs = [other for row, other in zip(heard, judged, strict=True) if row["corpus"] == corpus]
            said = [row["reference"] for row in ours]
            speed = sum(row["took_s"] for row in ours) / sum(row["duration_s"] for row in ours)
            figures = error_figures(f"{corpus}: ours", said, [row["text"] for row in ours])
            table.rows.append({**figures, "real-time factor": speed})
            table.rows.append(error_figures(f"{corpus}: {judge.name}", said, [row["text"] for row in theirs]))
        write_table(folder, table)


def trained_bundle(config: RunConfig) -> Bundle:
    """What the stage `train` exported."""
    return load_bundle(Path(config.exp_dir) / Train.name / BUNDLE)


def _model(config: AsrRun) -> ModelConfig:
    """The model's settings with the number of labels."""
    return config.model.completed(vocab_size=len(_labeller(config).symbols))


def _stream(config: AsrRun, cuts: CutSet, labeller: Labeller, shuffle: bool) -> BatchStream:
    """Batches of labelled clips; those to be shuffled are to be trained on, so changes to their sound are for them."""
    augment = Augment() if shuffle and config.data.augment else None
    collate = RecognitionCollate(lambda cut: cut.custom["labels"], augment, labeller.inventory)
    return BatchStream(cuts, collate, config.data.batch_seconds, config.train.seed, shuffle)


def _splits(config: AsrRun) -> dict[str, list[str]]:
    data = config.data
    return {"train": list(data.train), "valid": list(data.valid), "test": list(data.test)}


def _labeller(config: AsrRun) -> Labeller:
    if config.labels == "characters":
        return Characters()
    if config.labels == "phones":
        return Phones(config.timings_from)
    if config.labels == "words":
        return Words(config.timings_from)
    raise unknown_name("labels", config.labels, ("words", "characters", "phones"))


def _label(labeller: Labeller, cut: MonoCut) -> dict[str, Any]:
    """A clip's labels, or why its transcript cannot be written in them."""
    try:
        return labeller.describe(cut)
    except AudiogenError as error:
        return {"refused": str(error)}


def _labelled_cuts(config: AsrRun, split: str) -> CutSet:
    """The prepared clips of a split with their labels and timings; those that were refused are left out."""
    from lhotse import CutSet

    exp_dir = Path(config.exp_dir)
    rows = {row["id"]: row for row in read_rows(exp_dir / Tokenize.name / LABELS) if row.get("labels")}
    cuts = prepared_cuts(exp_dir / Prepare.name, split, _splits(config)[split])
    return CutSet.from_cuts(_labelled(cut, rows[clip_id(cut)]) for cut in cuts if clip_id(cut) in rows)


def _labelled(cut: MonoCut, row: dict[str, Any]) -> MonoCut:
    """A cut with `labels` in its `custom`, and the phone timings of its row if it has any."""
    from lhotse.supervision import AlignmentItem
    from lhotse.utils import fastcopy

    supervision = cut.supervisions[0]
    if "phones" in row:
        timings = [AlignmentItem(symbol, start, end - start) for symbol, start, end in row["phones"]]
        supervision = supervision.with_alignment("phone", timings)
    return fastcopy(cut, supervisions=[supervision], custom={**cut.custom, "labels": row["labels"]})


def _transcribe(listener: Listener, cut: MonoCut) -> dict[str, Any]:
    began = time.perf_counter()
    transcript = listener.transcribe(read_wave(cut, SAMPLE_RATE))
    took = time.perf_counter() - began
    return {
        "corpus": cut.custom["corpus"],
        "audio": f"audio/{clip_id(cut)}.wav",
        "reference": cut.supervisions[0].text,
        "text": transcript.text,
        "words": [list(word) for word in transcript.words],
        "duration_s": cut.duration,
        "took_s": took,
    }


STAGES = (Prepare(), Tokenize(), Train(), Generate(), Score())
