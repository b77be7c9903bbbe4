"""The diffusion recipe: a network that tells noise from sound, and what it makes in few steps.

Stages: `prepare` and `judge` are those of the waveform recipe, `train` exports `train/bundle`, `generate` makes clips
of every class, or the test clips again if the model takes log-mel frames, and `score` judges or compares them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle
from audiogen.data.corpora import read_wave
from audiogen.infer.diffusion import DiffusionGenerator
from audiogen.metrics.audio import quality
from audiogen.metrics.tables import Row, Table
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
from audiogen.recipes.judging import UNITS, Judge, judged_rows
from audiogen.recipes.speech import clip_id, prepared_cuts
from audiogen.recipes.waveform_clips import CLIPS, Group, groups, samples_per_second, write_clips
from audiogen.recipes.waveform_data import Prepare, WaveformRun, class_names, clip_batches, recordings
from audiogen.train.loop import SingleObjective

QUALITY = {"PESQ-WB": "", "STOI": "", "mel distance": "dB"}


@dataclass
class DiffusionClips:
    """What is generated: `clips` of each class and `seconds` long, or of the test clips at most `clips` again.

    Attributes:
        clips: How many.
        seconds: Length, where it does not follow from a recording.
        steps: Numbers of steps, each tried.
        chance: Share of the noise that is drawn anew at each step.
    """

    clips: int = 100
    seconds: float = 0.6
    steps: list[int] = field(default_factory=lambda: [6, 12, 50])
    chance: float = 0.0


@dataclass
class DiffusionRun(WaveformRun):
    """Settings of a diffusion recipe: those of waveforms, whose codec says how recordings are heard.

    Attributes:
        infer: What is generated.
        vocoder_bundle: A codec by mel frames whose resynthesis of the test clips stands beside, if any.
    """

    infer: DiffusionClips = field(default_factory=DiffusionClips)
    vocoder_bundle: str = ""


class Train:
    """The noise in recordings at every step of it; the loss is the model's own."""

    name = "train"

    def inputs(self, config: DiffusionRun) -> dict[str, Any]:
        """Model, schedule and batches."""
        return train_inputs(config, config.model, config.init_from, batch_seconds=config.data.batch_seconds)

    def run(self, config: DiffusionRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        codec, labels = config.codec.build(), [] if config.model.config["num_mels"] else class_names(config)
        settings = {**config.model.config, "classes": len(labels), "sample_rate": codec.spec.sample_rate}
        described = dataclasses.replace(config.model, config=settings)
        model = new_model(described, config.init_from, config.train.seed)
        stream, watched = clip_batches(config, "train", shuffle=True), clip_batches(config, "valid")
        training = {"corpora": {"train": list(config.data.train)}}
        train_and_export(
            SingleObjective(model),
            lambda start: recordings(codec, stream.batches(start)),
            config,
            folder,
            described.bundle(model, assets={"labels": labels}, training=training),
            lambda: mean_figures(model, recordings(codec, watched.epoch())),
        )


class Generate:
    """Make clips of every class, or test clips out of their log-mel frames, in every number of steps."""

    name = "generate"

    def inputs(self, config: DiffusionRun) -> dict[str, Any]:
        """How many, how long, in how many steps."""
        return dataclasses.asdict(config.infer)

    def run(self, config: DiffusionRun, folder: Path) -> None:
        """Write a folder of clips for every number of steps, and to `clips.jsonl` what they are."""
        generator = DiffusionGenerator(_bundle(config))
        items = _resyntheses(config, generator) if generator.model.mel is not None else _clips(config, generator)

        def make(key: str, label: str | None, work: Callable[[int], Tensor], steps: int) -> Row:
            began = time.perf_counter()
            waves = work(steps)
            took = time.perf_counter() - began
            files = write_clips(folder, f"{steps}/{key}", waves, generator.sample_rate)
            return {"steps": steps, "label": label, "audio": files, "samples": waves.numel(), "took_s": took}

        for steps in config.infer.steps:
            (folder / str(steps)).mkdir(exist_ok=True)
        asked = [(f"{steps}-{item[0]}", (*item, steps)) for steps in config.infer.steps for item in items]
        do_items(asked, folder / CLIPS, lambda item: make(*item), "generating")


class Score:
    """How clips compare with recordings: with those they were made of, or by the judge of their classes."""

    name = "score"

    def inputs(self, config: DiffusionRun) -> dict[str, Any]:
        """What hears the words, beside the judge, and what stands beside a vocoder."""
        bundles = {"recognizer": config.recognizer_bundle, "vocoder": config.vocoder_bundle}
        return {name: bundle_inputs(bundle) for name, bundle in bundles.items()}

    def run(self, config: DiffusionRun, folder: Path) -> None:
        """Write the table."""
        bundle, made = _bundle(config), read_rows(Path(config.exp_dir) / Generate.name / CLIPS)
        vocoder, parameters = bundle.model.mel is not None, sum(each.numel() for each in bundle.model.parameters())
        units = {**(QUALITY if vocoder else UNITS), "samples/s": ""}
        table = Table("Sound out of noise", units=units, note=f"{parameters:,} parameters.")
        for steps in config.infer.steps:
            own = [row for row in made if row["steps"] == steps]
            figures = {"samples/s": samples_per_second(own)}
            if vocoder:
                figures |= _mean_quality(config, _resynthesized(config, own))
            elif bundle.assets["labels"]:
                *recorded, generated = judged_rows(config, Path(config.exp_dir) / Generate.name, own)
                table.rows += [] if table.rows else recorded
                figures |= generated
            table.rows.append({**figures, "name": f"{steps} steps"})
        if vocoder and config.vocoder_bundle:
            table.rows.append(_beside(config, own))
        write_table(folder, table)


def _clips(config: DiffusionRun, generator: DiffusionGenerator) -> list[tuple[str, str, Callable]]:
    """Groups of clips to make: name, class and work."""
    infer = config.infer

    def work(group: Group) -> Callable[[int], Tensor]:
        options = {"seed": group.seed, "chance": infer.chance}
        return lambda steps: generator.generate(infer.seconds, group.count, group.label, steps, **options)

    return [(group.key, group.label, work(group)) for group in groups(generator.labels, infer.clips)]


def _resyntheses(config: DiffusionRun, generator: DiffusionGenerator) -> list[tuple[str, None, Callable]]:
    """Test clips to make again: id, no class and work."""
    cuts = list(prepared_cuts(Path(config.exp_dir) / Prepare.name, "test"))[: config.infer.clips]

    def work(cut: Any) -> Callable[[int], Tensor]:
        wave = read_wave(cut, generator.sample_rate)[None, None]
        return lambda steps: generator.resynthesize(wave, steps, config.infer.chance)

    return [(clip_id(cut), None, work(cut)) for cut in cuts]


def _resynthesized(config: DiffusionRun, made: list[Row]) -> Iterator[tuple[Tensor, Tensor]]:
    """Recordings, and the clips made of them."""
    for row, original in zip(made, _originals(config, made), strict=True):
        yield original, audio.read(Path(config.exp_dir) / Generate.name / row["audio"][0])


def _originals(config: DiffusionRun, made: list[Row]) -> Iterator[Tensor]:
    """The recordings that clips were made of."""
    for row in made:
        yield audio.read(Path(config.exp_dir) / Prepare.name / "audio" / f"{row['id'].partition('-')[2]}.wav")


@torch.inference_mode()
def _beside(config: DiffusionRun, made: list[Row]) -> Row:
    """What the other vocoder makes of the same recordings, brought to its rate and back."""
    bundle, rate = load_bundle(config.vocoder_bundle, kind="codec"), config.codec.build().spec.sample_rate
    codec, originals = bundle.model, list(_originals(config, made))
    began = time.perf_counter()
    decoded = [
        codec.decode(codec.encode(audio.resample(wave, rate, codec.spec.sample_rate)[None])) for wave in originals
    ]
    speed = sum(original.shape[-1] for original in originals) / (time.perf_counter() - began)
    again = (audio.resample(wave[0], codec.spec.sample_rate, rate) for wave in decoded)
    pairs = ((original, wave[:, : original.shape[-1]]) for original, wave in zip(originals, again, strict=True))
    return {**_mean_quality(config, pairs), "samples/s": speed, "name": bundle.name}


def _mean_quality(config: DiffusionRun, pairs: Iterable[tuple[Tensor, Tensor]]) -> Row:
    """Mean figures of clips beside recordings."""
    rate = config.codec.build().spec.sample_rate
    rows = [quality(original, decoded, rate) for original, decoded in pairs]
    return {name: sum(row[name] for row in rows) / len(rows) for name in QUALITY}


def _bundle(config: DiffusionRun) -> Bundle:
    """What the stage `train` exported."""
    return load_bundle(Path(config.exp_dir) / Train.name / BUNDLE)


STAGES = (Prepare(), Train(), Judge(), Generate(), Score())
