"""The waveform recipe: sound as codes sample by sample, a model of them, clips it makes, and how they are judged.

Stages: `prepare` decodes the corpora in pieces, `train` exports `train/bundle`, `judge` trains a classifier of the
clips' classes where they have any, `generate` makes clips, `score` gives the likelihood of test clips in bits and, by
the judge, figures of what was made beside those of recordings.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from audiogen.checkpoint import Bundle, load_bundle
from audiogen.infer.waveform import CUT, WaveformGenerator
from audiogen.metrics.codes import counted_bits
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
from audiogen.recipes.waveform_clips import CLIPS, Group, groups, samples_per_second, write_clips
from audiogen.recipes.waveform_data import Prepare, WaveformRun, class_names, clip_batches, code_rows
from audiogen.train.loop import SingleObjective

COUNTED = (0, 1, 2)


class Train:
    """The likelihood of every sample after those before it; the loss is the model's own."""

    name = "train"

    def inputs(self, config: WaveformRun) -> dict[str, Any]:
        """Codec, model, schedule and batches."""
        data = {name: getattr(config.data, name) for name in ("batch_seconds", "tail_seconds")}
        return train_inputs(config, config.model, config.init_from, codec=config.codec.config, data=data)

    def run(self, config: WaveformRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        labels, tail = class_names(config), config.data.tail_seconds
        settings = {**config.model.config, "classes": len(labels), "codec": config.codec.build().spec.to_dict()}
        described = dataclasses.replace(config.model, config=settings)
        model = new_model(described, config.init_from, config.train.seed)
        watched = clip_batches(config, "valid", tail)
        assets = {"pcm": config.codec.config, "labels": labels, "tail_seconds": tail, "guidance": config.infer.guidance}
        train_and_export(
            SingleObjective(model),
            clip_batches(config, "train", tail, shuffle=True).batches,
            config,
            folder,
            described.bundle(model, assets=assets, training={"corpora": {"train": list(config.data.train)}}),
            lambda: mean_figures(model, watched.epoch()),
        )


class Generate:
    """Make clips, of every class as many."""

    name = "generate"

    def inputs(self, config: WaveformRun) -> dict[str, Any]:
        """How many, how long, and by which draw."""
        return dataclasses.asdict(config.infer)

    def run(self, config: WaveformRun, folder: Path) -> None:
        """Write `audio/`, and to `clips.jsonl` the class, likelihood and files of clips made together."""
        (folder / "audio").mkdir(exist_ok=True)
        generator, infer = WaveformGenerator(trained_bundle(config)), config.infer
        guidance = infer.guidance if generator.labels else None
        draw = {"temperature": infer.temperature, "top_p": infer.top_p, "guidance": guidance}

        def make(group: Group) -> Row:
            began = time.perf_counter()
            made = generator.generate(infer.seconds, group.count, group.label, seed=group.seed, **draw)
            took = time.perf_counter() - began
            files = write_clips(folder, f"audio/{group.key}", made.clips(), generator.sample_rate)
            figures = {"samples": made.wave.numel(), "took_s": took, "log_likelihood": made.log_likelihood.tolist()}
            lead = generator.lead(made, group.label).tolist() if generator.labels else []
            return {"label": group.label, "audio": files, **figures, "lead": lead}

        items = ((group.key, group) for group in groups(generator.labels, infer.clips))
        do_items(items, folder / CLIPS, make, "generating")


class Score:
    """How likely test clips are to the model, and how what it made compares with recordings."""

    name = "score"

    def inputs(self, config: WaveformRun) -> dict[str, Any]:
        """What hears the words, beside the judge."""
        return {"recognizer": bundle_inputs(config.recognizer_bundle)}

    def run(self, config: WaveformRun, folder: Path) -> None:
        """Write the table."""
        bundle, made = trained_bundle(config), read_rows(Path(config.exp_dir) / Generate.name / CLIPS)
        model = {"name": bundle.name, "bits a sample": test_bits(config, bundle), "samples/s": samples_per_second(made)}
        parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
        note = (
            f"{parameters:,} parameters. Bits: of the {config.data.test} test clips without the silence after them, "
            f"{config.codec.config}. FID is against the training clips; `{Judge.name}` is the classifier. "
            f"Cut: without the {CUT[0]:.0%} least and {CUT[1]:.0%} most likely. Clearest half: those of every class "
            "that are likelier as one of it than of any by the most."
        )
        rows, units = [model, *counted_rows(config)], {**UNITS, "bits a sample": "", "samples/s": ""}
        table = Table("Generated sound", rows, units, note)
        if bundle.assets["labels"]:
            table.rows += judged_rows(config, Path(config.exp_dir) / Generate.name, made)
        write_table(folder, table)


@torch.inference_mode()
def test_bits(config: WaveformRun, bundle: Bundle) -> float:
    """Bits a sample that the test clips take, each without its tail."""
    nats = samples = 0
    for batch in clip_batches(config, "test").epoch():
        nats += bundle.model.loss(batch)[0].item() * int(batch.lengths.sum())
        samples += int(batch.lengths.sum())
    return nats / samples / math.log(2)


def counted_rows(config: WaveformRun) -> list[Row]:
    """What the test clips take by mere counts of the training clips' codes, each in the context of those before it."""
    levels = config.codec.build().spec.codebook_size
    train, test = (code_rows(config, split) for split in ("train", "test"))
    return [
        {"name": f"counts, {before} codes before", "bits a sample": counted_bits(train, test, levels, before)}
        for before in COUNTED
    ]


def trained_bundle(config: WaveformRun) -> Bundle:
    """What the stage `train` exported."""
    return load_bundle(Path(config.exp_dir) / Train.name / BUNDLE)


STAGES = (Prepare(), Train(), Judge(), Generate(), Score())
