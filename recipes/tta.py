"""The recipe of sound from captions: codes, a MAGNeT or MusicGen, made clips, and how true they are to their captions.

Stages: `prepare` decodes the corpora, `tokenize` encodes every clip with the codec, `train` exports `train/bundle`,
`generate` makes a clip for each test caption, `score` judges them beside the recordings.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import load_bundle
from audiogen.data.batches import BatchStream
from audiogen.data.corpora import read_wave
from audiogen.data.sound import SoundCollate
from audiogen.errors import AudiogenError
from audiogen.infer.captions import caption_encoder
from audiogen.infer.sound import SoundGenerator, SoundOptions
from audiogen.protocols import Codec, CodecSpec
from audiogen.recipes.common import (
    BUNDLE,
    bundle_inputs,
    corpora_inputs,
    mean_figures,
    new_model,
    train_and_export,
    train_inputs,
    write_table,
)
from audiogen.recipes.items import do_items, read_rows, write_array
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.recipes.speech import clip_id, prepare_speech, prepared_cuts
from audiogen.score.sound import MADE, RECORDED, RESYNTHESIS, JudgedClip, score_sounds
from audiogen.train.loop import SingleObjective

if TYPE_CHECKING:
    from lhotse import MonoCut

CODES, CLIPS = "codes", "clips.jsonl"
CODED = ("train", "valid")  # splits that are encoded


@dataclass
class SoundData:
    """What a model of sound is trained and judged on.

    Attributes:
        train: Corpora whose `train` split is used; `name*3` takes one three times.
        valid: Corpora whose `valid` split is watched during training.
        test: The corpus whose `test` split has the captions that are tried.
        attributes: Entries of the manifest that a classifier learns to hear, e.g. `[label]`.
        measured: Those of `tempo` and `key` that are entries of the manifest too, and are measured in every clip.
        min_duration: Shorter clips are left out, seconds.
        max_duration: Longer clips are not trained on, seconds.
        batch_seconds: Sound a batch holds at most, seconds.
        test_clips: At most so many captions are tried.
        judge_clips: At most so many training clips are what the judges learn from.
    """

    train: list[str] = MISSING
    valid: list[str] = MISSING
    test: str = MISSING
    attributes: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    min_duration: float = 0.3
    max_duration: float = 30.0
    batch_seconds: float = 80.0
    test_clips: int = 40
    judge_clips: int = 600


@dataclass
class TtaRun(RunConfig):
    """Settings of a recipe of sound from captions.

    Attributes:
        model: The model of sound to train.
        codec_bundle: The bundle of the codec whose codes it says.
        codebooks: It says the first so many of them.
        t5: The frozen T5 that reads captions, by hub name or folder; empty if the model reads them itself.
        init_from: A bundle to start from, if any.
        data: The corpora.
        infer: How to draw.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    codec_bundle: str = MISSING
    codebooks: int = 4
    t5: str = ""
    init_from: str = ""
    data: SoundData = field(default_factory=SoundData)
    infer: SoundOptions = field(default_factory=SoundOptions)


class Prepare:
    """Decode the corpora at the codec's rate."""

    name = "prepare"

    def inputs(self, config: TtaRun) -> dict[str, Any]:
        """The corpora and which clips are taken."""
        splits = {split: corpora_inputs(names, config.data_root) for split, names in _splits(config).items()}
        return {**splits, "min_duration": config.data.min_duration, "max_duration": config.data.max_duration}

    def run(self, config: TtaRun, folder: Path) -> None:
        """Fill `audio/` and `manifest.jsonl`, which keeps what the judges look for."""
        kept = (*config.data.attributes, *config.data.measured)

        def describe(cut: MonoCut) -> dict[str, Any]:
            return {name: cut.custom[name] for name in kept if name in cut.custom}

        durations = config.data.min_duration, config.data.max_duration
        rate = _codec(config).spec.sample_rate
        prepare_speech(_splits(config), config.data_root, rate, folder, durations, describe)


class Tokenize:
    """Encode every clip, all at one level."""

    name = "tokenize"

    def inputs(self, config: TtaRun) -> dict[str, Any]:
        """The codec and how many of its codebooks."""
        return {"codec": bundle_inputs(config.codec_bundle), "codebooks": config.codebooks}

    def run(self, config: TtaRun, folder: Path) -> None:
        """Write `codes/<clip>.npy`, int16 [K, T], and `clips.jsonl`."""
        (folder / CODES).mkdir(exist_ok=True)
        codec = _codec(config)
        cuts = [cut for split in CODED for cut in prepared_cuts(_folder(config, Prepare), split)]

        @torch.inference_mode()
        def encode(cut: MonoCut) -> dict[str, Any]:
            wave = audio.at_level(read_wave(cut, codec.spec.sample_rate)[None])
            codes = codec.encode(wave[None]).codes[0, : config.codebooks]
            write_array(folder / CODES / f"{clip_id(cut)}.npy", codes.numpy().astype(np.int16))
            return {"frames": codes.shape[1]}

        do_items(((clip_id(cut), cut) for cut in cuts), folder / CLIPS, encode, "encoding")


class Train:
    """The model's own loss on codes and captions."""

    name = "train"

    def inputs(self, config: TtaRun) -> dict[str, Any]:
        """Model, schedule, captions and batches."""
        data = {"train": list(config.data.train), "valid": list(config.data.valid)}
        data |= {"batch_seconds": config.data.batch_seconds, "captions": _captions(config)}
        return train_inputs(config, _model(config), config.init_from, data=data)

    def run(self, config: TtaRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        described, codec = _model(config), _codec(config)
        model = new_model(described, config.init_from, config.train.seed)
        captions = caption_encoder(_captions(config))
        collate = SoundCollate(lambda cut: _codes(config, cut), captions, model.config.window)
        train, valid = (prepared_cuts(_folder(config, Prepare), split, _splits(config)[split]) for split in CODED)
        stream = BatchStream(train, collate, config.data.batch_seconds, config.train.seed)
        watched = BatchStream(valid, collate, config.data.batch_seconds, shuffle=False)
        bundle = described.bundle(
            model,
            assets={
                "captions": _captions(config),
                "options": dataclasses.asdict(config.infer.masked),
                "languages": ["en"],
            },
            codec={
                "spec": codec.spec.to_dict(),
                "bundle": config.codec_bundle,
                "codes_sha256": codec.codes_digest(),
            },
            training={"corpora": {"train": list(config.data.train)}, "init_from": Path(config.init_from).name},
        )
        train_and_export(
            SingleObjective(model), stream.batches, config, folder, bundle, lambda: mean_figures(model, watched.epoch())
        )


class Generate:
    """Make a clip for every test caption, and lay beside them the recordings and what the codec makes of those."""

    name = "generate"

    def inputs(self, config: TtaRun) -> dict[str, Any]:
        """Which captions and how."""
        return {"test_clips": config.data.test_clips, "infer": dataclasses.asdict(config.infer)}

    def run(self, config: TtaRun, folder: Path) -> None:
        """Write `<system>/<number>.wav`, and `clips.jsonl`: system, caption, what it asks for, how long it took."""
        codec = _codec(config)
        generator = SoundGenerator(load_bundle(_folder(config, Train) / BUNDLE, "sound"), codec)
        clips = _test_clips(config)
        systems = (RECORDED, RESYNTHESIS, MADE)
        for system in systems:
            (folder / system).mkdir(exist_ok=True)

        @torch.inference_mode()
        def make(item: tuple[str, int, MonoCut]) -> dict[str, Any]:
            system, number, cut = item
            caption, wave, began = cut.supervisions[0].text, read_wave(cut, codec.spec.sample_rate)[None], time.time()
            if system == RESYNTHESIS:
                tokens = codec.encode(audio.at_level(wave)[None])
                wave = codec.decode(replace(tokens, codes=tokens.codes[:, : config.codebooks]))[0]
            elif system == MADE:
                wave = generator.generate(caption, cut.duration, config.infer, config.train.seed + number)[0]
            path = f"{system}/{number:03d}.wav"
            audio.write(folder / path, wave, codec.spec.sample_rate)
            asked = {name: cut.custom[name] for name in (*config.data.attributes, *config.data.measured)}
            took = {"took_s": time.time() - began} if system == MADE else {}
            return {"system": system, "audio": path, "text": caption, "asked": asked, **took}

        items = [(system, number, cut) for system in systems for number, cut in enumerate(clips)]
        do_items(((f"{item[0]}/{item[1]:03d}", item) for item in items), folder / CLIPS, make, "making clips")


class Score:
    """How near the clips come to the recordings, and how much of what was asked for is heard in them."""

    name = "score"

    def inputs(self, config: TtaRun) -> dict[str, Any]:
        """What the judges learn from and look for."""
        data = config.data
        return {"attributes": data.attributes, "measured": data.measured, "judge_clips": data.judge_clips}

    def run(self, config: TtaRun, folder: Path) -> None:
        """Write the table."""
        made, data, rate = _folder(config, Generate), config.data, _codec(config).spec.sample_rate
        lessons = [
            JudgedClip(read_wave(cut, rate)[None], {name: cut.custom[name] for name in data.attributes})
            for cut in list(prepared_cuts(_folder(config, Prepare), "train"))[: data.judge_clips]
        ]
        systems: dict[str, list[JudgedClip]] = {}
        for row in read_rows(made / CLIPS):
            clip = JudgedClip(audio.read(made / row["audio"]), row["asked"], row.get("took_s"))
            systems.setdefault(row["system"], []).append(clip)
        write_table(folder, score_sounds(config.model.name, systems, lessons, rate, data.attributes, data.measured))


def _splits(config: TtaRun) -> dict[str, list[str]]:
    return {"train": list(config.data.train), "valid": list(config.data.valid), "test": [config.data.test]}


def _folder(config: TtaRun, stage: type) -> Path:
    return Path(config.exp_dir) / stage.name


def _codec(config: TtaRun) -> Codec:
    return load_bundle(config.codec_bundle, "codec").model


def _spec(config: TtaRun) -> CodecSpec:
    """The codec as the model knows it, with the codebooks it says."""
    return replace(_codec(config).spec, num_codebooks=config.codebooks)


def _model(config: TtaRun) -> ModelConfig:
    """The model's settings with what follows from the codec."""
    return config.model.completed(codec=_spec(config).to_dict())


def _captions(config: TtaRun) -> dict[str, Any]:
    """How a bundle describes what reads its captions."""
    network = config.model.config["network"]
    if bool(config.t5) != (network["text"] == "features"):
        raise AudiogenError(f"t5={config.t5!r} does not go with a network of text={network['text']}")
    if config.t5:
        return {"name": "t5", "source": config.t5}
    return {"name": "words", "rows": network["text_size"]}


def _test_clips(config: TtaRun) -> list[MonoCut]:
    return list(prepared_cuts(_folder(config, Prepare), "test"))[: config.data.test_clips]


def _codes(config: TtaRun, cut: MonoCut) -> Tensor:
    """Codes [K, T] of a clip."""
    return torch.from_numpy(np.load(_folder(config, Tokenize) / CODES / f"{clip_id(cut)}.npy")).long()


STAGES = (Prepare(), Tokenize(), Train(), Generate(), Score())
