"""What the stages of the waveform recipe share: its settings, and the prepared clips as codes or as recordings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING
from torch import Tensor

from audiogen import audio
from audiogen.data.batches import BatchStream
from audiogen.data.corpora import MANIFEST, load_cuts, read_wave
from audiogen.data.waveforms import WaveformBatch, WaveformCollate
from audiogen.errors import AudiogenError
from audiogen.protocols import AudioTokens, Codec
from audiogen.recipes.common import (
    corpora_inputs,
)
from audiogen.recipes.items import do_items, read_rows, write_rows
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.recipes.speech import prepared_cuts
from audiogen.train.loop import TrainConfig

if TYPE_CHECKING:
    from lhotse import MonoCut

CLIPS = "clips.jsonl"


@dataclass
class WaveformData:
    """What a waveform model is trained and judged on.

    Attributes:
        train: Corpora whose `train` split is used.
        valid: Corpora whose `valid` split is watched during training.
        test: Corpora whose `test` split is what generated clips should be like.
        label: The entry of a clip that names its class, such as `text` or `label`; empty for a model without classes.
        level: Root mean square to which every clip is brought, dBFS; as it is if null.
        min_duration: Shorter clips are left out, seconds.
        segment_seconds: Longer clips are cut into pieces of this length.
        tail_seconds: Silence after every piece, by which the model learns to end; 0 for sound without end.
        batch_seconds: Sound a batch holds at most, seconds.
    """

    train: list[str] = MISSING
    valid: list[str] = MISSING
    test: list[str] = MISSING
    label: str = ""
    level: float | None = None
    min_duration: float = 0.1
    segment_seconds: float = 8.0
    tail_seconds: float = 0.0
    batch_seconds: float = 8.0


@dataclass
class WaveformClips:
    """What is generated: `clips` of each class, at most `seconds` long, by a draw of that temperature and top-p.

    `guidance` is how far a draw leans towards the class, also by default in the bundle; 1 is no further than learnt.
    """

    clips: int = 100
    seconds: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0


@dataclass
class WaveformRun(RunConfig):
    """Settings of a waveform recipe.

    Attributes:
        codec: How samples become codes.
        model: The model to train.
        init_from: A bundle to start from, if any.
        data: The corpora.
        judge: How to train the classifier.
        recognizer_bundle: A recogniser that also tells whether the class was said, if classes are words.
        infer: What to generate.
    """

    codec: ModelConfig = field(default_factory=ModelConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    init_from: str = ""
    data: WaveformData = field(default_factory=WaveformData)
    judge: TrainConfig = field(default_factory=lambda: TrainConfig(2000, 3e-3, 100, ema_decay=0.99))
    recognizer_bundle: str = ""
    infer: WaveformClips = field(default_factory=WaveformClips)


class Prepare:
    """Decode the corpora once, at the codec's rate, in pieces."""

    name = "prepare"

    def inputs(self, config: WaveformRun) -> dict[str, Any]:
        """The corpora, and how clips are cut and levelled."""
        data, splits = config.data, _splits(config)
        corpora = {split: corpora_inputs(names, config.data_root) for split, names in splits.items()}
        cut = {name: getattr(data, name) for name in ("label", "level", "min_duration", "segment_seconds")}
        return {**corpora, **cut, "rate": config.codec.build().spec.sample_rate}

    def run(self, config: WaveformRun, folder: Path) -> None:
        """Fill `audio/` and `manifest.jsonl`."""
        (folder / "audio").mkdir(exist_ok=True)
        rate = config.codec.build().spec.sample_rate
        items = [
            (piece.id, (split, piece))
            for split, names in _splits(config).items()
            for cut in load_cuts(names, config.data_root, split, config.data.min_duration)
            for piece in _pieces(cut, config.data)
        ]
        rows = do_items(items, folder / CLIPS, lambda item: _write(folder, config.data, rate, *item), "decoding")
        write_rows(folder / MANIFEST, rows)


def clip_batches(config: WaveformRun, split: str, tail_seconds: float = 0.0, shuffle: bool = False) -> BatchStream:
    """Batches of the prepared clips of a split as codes, each clip with a tail of silence."""
    codec, data = config.codec.build(), config.data

    def codes_of(wave: Tensor) -> Tensor:
        return codec.encode(wave[None, None]).codes[0, 0]

    collate = WaveformCollate(codes_of, codec.spec.sample_rate, tail_seconds, class_names(config))
    cuts = prepared_cuts(Path(config.exp_dir) / Prepare.name, split)
    return BatchStream(cuts, collate, data.batch_seconds, config.train.seed, shuffle)


def code_rows(config: WaveformRun, split: str) -> list[Tensor]:
    """The codes [T] of every prepared clip of a split."""
    batches = clip_batches(config, split).epoch()
    return [row[:length] for batch in batches for row, length in zip(batch.codes, batch.lengths, strict=True)]


@dataclass
class Recordings:
    """Clips as waves [B, N], of which `lengths` [B] samples count, with their classes `labels` [B]."""

    wave: Tensor
    lengths: Tensor
    labels: Tensor


def recordings(codec: Codec, batches: Iterable[WaveformBatch]) -> Iterator[Recordings]:
    """Batches of codes as they sound."""
    for batch in batches:
        wave = codec.decode(AudioTokens.from_codes(codec.spec, batch.codes[:, None]))[:, 0]
        yield Recordings(wave, batch.lengths, batch.labels)


def class_names(config: WaveformRun) -> list[str]:
    """The classes of the prepared training clips, in the order in which they first come; none without `data.label`."""
    if not config.data.label:
        return []
    rows = read_rows(Path(config.exp_dir) / Prepare.name / MANIFEST)
    return list(dict.fromkeys(row["label"] for row in rows if row["split"] == "train"))


def _splits(config: WaveformRun) -> dict[str, list[str]]:
    data = config.data
    return {"train": list(data.train), "valid": list(data.valid), "test": list(data.test)}


def _pieces(cut: MonoCut, data: WaveformData) -> Iterator[MonoCut]:
    """A clip, or if it is long the pieces of it."""
    if cut.duration <= data.segment_seconds:
        yield cut
        return
    for number in range(math.ceil((cut.duration - data.min_duration) / data.segment_seconds)):
        start = number * data.segment_seconds
        piece = cut.truncate(offset=start, duration=min(data.segment_seconds, cut.duration - start))
        yield piece.with_id(f"{cut.id}-{number:04d}")


def _write(folder: Path, data: WaveformData, rate: int, split: str, cut: MonoCut) -> dict[str, Any]:
    """One piece as a file and its manifest row."""
    row = {"split": split, "corpus": cut.custom["corpus"], "audio": f"audio/{cut.id}.wav"}
    if data.label:
        row["label"] = _label(cut, data.label)
    wave = read_wave(cut, rate)[None]
    if data.level is not None:
        wave = audio.at_level(wave, data.level)
    audio.write(folder / row["audio"], wave, rate, "PCM_16")
    return row


def _label(cut: MonoCut, key: str) -> str:
    """The class of a clip."""
    label = cut.supervisions[0].text if key == "text" else cut.custom.get(key)
    if not isinstance(label, str):
        raise AudiogenError(f"{cut.id} has no {key!r} to name its class; data.label is an entry of every clip")
    return label
