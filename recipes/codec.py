"""The codec recipe: a cache of decoded sound, adversarial training, resynthesis of held-out clips, their quality.

Stages: `prepare` decodes the corpora at the codec's rate, `train` exports `train/bundle`, `generate` encodes and
decodes held-out clips at every bitrate, `score` measures them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lhotse import MonoCut
from omegaconf import MISSING
from torch import nn

from audiogen import audio
from audiogen.checkpoint import load_bundle
from audiogen.data.corpora import load_cuts, read_wave
from audiogen.data.segments import SegmentCache, SegmentStream, build_cache
from audiogen.errors import AudiogenError
from audiogen.recipes.common import (
    BUNDLE,
    corpora_inputs,
    export,
    new_model,
    train_and_export,
    train_inputs,
    write_table,
)
from audiogen.recipes.items import do_items
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.score.clips import read_clip
from audiogen.score.codec import CODEBOOKS, OPUS_RATES, CodecJudges, clip_figures, codec_table, system_rows, versions
from audiogen.train.codec import CodecObjective, CodecTrainConfig, perplexity, reconstruction_losses

if TYPE_CHECKING:
    from lhotse import MonoCut

STARTING_BATCHES = 50
VALIDATION_BATCHES = 4


@dataclass
class CodecData:
    """What a codec is trained and judged on.

    Attributes:
        train: Group → corpora, whose `train` split is used.
        weights: Group → its share of the training segments.
        valid: Corpora whose `valid` split is watched during training.
        test: Corpora whose `test` split is resynthesised.
        test_clips: At most so many clips of each.
        segment_seconds: Length of a training segment.
        batch_size: Segments a batch.
    """

    train: dict[str, list[str]] = MISSING
    weights: dict[str, float] = MISSING
    valid: list[str] = MISSING
    test: list[str] = MISSING
    test_clips: int = 20
    segment_seconds: float = 1.0
    batch_size: int = 16


@dataclass
class CodecRun(RunConfig):
    """Settings of a codec recipe.

    Attributes:
        codec: The codec to train.
        init_from: A bundle to start from, if any.
        objective: Weights and schedule of the losses.
        fitted_batches: If not 0, the codebooks of `init_from` are fitted anew to that many batches, and nothing else is
            trained.
        fitted_merge: Frames that share a code of the first codebook in what the codes are made for.
        data: The corpora.
    """

    codec: ModelConfig = field(default_factory=ModelConfig)
    init_from: str = ""
    objective: CodecTrainConfig = field(default_factory=CodecTrainConfig)
    fitted_batches: int = 0
    fitted_merge: int = 2
    data: CodecData = field(default_factory=CodecData)

    def __post_init__(self) -> None:
        if not self.init_from and (self.objective.decoder_only or self.fitted_batches):
            part = "decoder" if self.objective.decoder_only else "codebooks"
            raise AudiogenError(f"the {part} of which codec? give its name or folder as init_from=…, e.g. codec-24khz")


class Prepare:
    """Decode the corpora once, at the codec's rate."""

    name = "prepare"

    def inputs(self, config: CodecRun) -> dict[str, Any]:
        """The corpora and the rate."""
        corpora = {group: corpora_inputs(names, config.data_root) for group, names in config.data.train.items()}
        return {"train": corpora, "valid": corpora_inputs(config.data.valid, config.data_root), "rate": _rate(config)}

    def run(self, config: CodecRun, folder: Path) -> None:
        """Fill `train/` and `valid/`."""
        train = {group: load_cuts(names, config.data_root, "train") for group, names in config.data.train.items()}
        build_cache(folder / "train", train, _rate(config))
        build_cache(folder / "valid", {"all": load_cuts(config.data.valid, config.data_root, "valid")}, _rate(config))


class Train:
    """Reconstruction, adversarial and feature losses; the objective is `audiogen.train.codec`."""

    name = "train"

    def inputs(self, config: CodecRun) -> dict[str, Any]:
        """Model, losses, schedule and the mix of data."""
        data = {
            "weights": dict(config.data.weights),
            "segment_seconds": config.data.segment_seconds,
            "batch_size": config.data.batch_size,
        }
        objective = dataclasses.asdict(config.objective)
        fitted = {"fitted_batches": config.fitted_batches, "fitted_merge": config.fitted_merge}
        return train_inputs(config, config.codec, config.init_from, objective=objective, data=data, **fitted)

    def run(self, config: CodecRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        data, prepared = config.data, Path(config.exp_dir) / Prepare.name
        codec = _starting_codec(config)
        stream = SegmentStream(
            SegmentCache.open(prepared / "train"),
            data.batch_size,
            data.segment_seconds,
            config.train.seed,
            data.weights,
        )
        described = config.codec.bundle(
            codec, training={"corpora": {group: list(names) for group, names in data.train.items()}}
        )
        if config.fitted_batches:
            waves = [at_one_level(stream.batch(step)) for step in range(config.fitted_batches)]
            codec.fit_codebooks(torch.cat(waves), config.fitted_merge)
            export(config, folder, described)
            return
        if not config.init_from:
            codec.start_from(torch.cat([stream.batch(step) for step in range(STARTING_BATCHES)]))
        watched = SegmentStream(SegmentCache.open(prepared / "valid"), data.batch_size, data.segment_seconds)
        held_out = [watched.batch(step) for step in range(VALIDATION_BATCHES)]
        train_and_export(
            CodecObjective(codec, config.objective),
            stream.batches,
            config,
            folder,
            described,
            lambda: reconstruction(codec, held_out),
        )


def at_one_level(waves: torch.Tensor) -> torch.Tensor:
    """Segments [B, 1, N] at the level that voices are made at."""
    return torch.stack([audio.at_level(wave) if wave.any() else wave for wave in waves])


class Generate:
    """Encode and decode held-out clips with some and with all codebooks."""

    name = "generate"

    def inputs(self, config: CodecRun) -> dict[str, Any]:
        """The clips and the bitrates."""
        clips = {"test": corpora_inputs(config.data.test, config.data_root), "test_clips": config.data.test_clips}
        return {**clips, "codebooks": CODEBOOKS}

    def run(self, config: CodecRun, folder: Path) -> None:
        """Write `original/` and a folder for each of the codec's `versions`."""
        codec = _trained(config)
        do_items(
            [(cut.id, cut) for cut in held_out_cuts(config)],
            folder / "clips.jsonl",
            lambda cut: self._resynthesize(codec, cut, config, folder),
            "resynthesis",
        )

    def _resynthesize(self, codec: nn.Module, cut: MonoCut, config: CodecRun, folder: Path) -> dict[str, Any]:
        rate = codec.spec.sample_rate
        wave = read_wave(cut, rate)
        with torch.inference_mode():
            made = versions(codec, codec.encode(wave[None, None]))
            waves = {"original": wave} | {name: codec.decode(tokens)[0] for name, tokens in made.items()}
        for name, rebuilt in waves.items():
            (folder / name).mkdir(exist_ok=True)
            audio.write(folder / name / f"{cut.id}.wav", rebuilt, rate)
        return {"corpus": cut.custom["corpus"], "seconds": len(wave) / rate}


class Score:
    """What `audiogen score codec` measures, on the clips of `generate`, beside Opus."""

    name = "score"

    def inputs(self, config: CodecRun) -> dict[str, Any]:
        """What stands beside ours."""
        return {"codebooks": CODEBOOKS, "opus_rates": OPUS_RATES}

    def run(self, config: CodecRun, folder: Path) -> None:
        """Write the figures of every clip to `clips.jsonl`, and the table of them all."""
        codecs, judges = {"ours": _trained(config)}, CodecJudges()
        rows = do_items(
            [(cut.id, cut) for cut in held_out_cuts(config)],
            folder / "clips.jsonl",
            lambda cut: {"figures": clip_figures(codecs, read_clip(cut), judges)},
            "scoring",
        )
        write_table(folder, codec_table("Resynthesis of held-out clips", system_rows([row["figures"] for row in rows])))


def held_out_cuts(config: CodecRun) -> list[MonoCut]:
    """The first test clips of each corpus."""
    corpora = [list(load_cuts(name, config.data_root, "test")) for name in config.data.test]
    return [cut for cuts in corpora for cut in cuts[: config.data.test_clips]]


def reconstruction(codec: nn.Module, batches: list[torch.Tensor]) -> dict[str, float]:
    """Over batches [B, 1, N]: mean reconstruction losses of each of `versions`, and each codebook's perplexity."""
    figures: dict[str, float] = {}
    coded = [codec.encode(wave) for wave in batches]
    if codec.spec.num_codebooks:
        for number, codes in enumerate(torch.cat([tokens.codes for tokens in coded]).unbind(1), start=1):
            figures[f"perplexity/{number}"] = perplexity(codes, codec.spec.codebook_size)
    for wave, tokens in zip(batches, coded, strict=True):
        for version, made in versions(codec, tokens).items():
            rebuilt = codec.decode(made)[:, 0, : wave.shape[-1]]
            for name, loss in reconstruction_losses(rebuilt, wave[:, 0], codec.spec.sample_rate).items():
                key = f"{name}/{version}"
                figures[key] = figures.get(key, 0.0) + loss.item() / len(batches)
    return figures


def _starting_codec(config: CodecRun) -> nn.Module:
    """The codec to train. One whose decoder alone is trained must come whole, so that its codes stay what they are."""
    codec = new_model(config.codec, config.init_from, config.train.seed)
    if config.objective.decoder_only:
        given = load_bundle(config.init_from, kind="codec")
        if given.model.codes_digest() != codec.codes_digest():
            raise AudiogenError(
                f"init_from={config.init_from} makes other codes than the codec described: set codec.config to its "
                f"settings, {given.config}"
            )
    return codec


def _trained(config: CodecRun) -> nn.Module:
    return load_bundle(Path(config.exp_dir) / Train.name / BUNDLE, kind="codec").model


def _rate(config: CodecRun) -> int:
    return config.codec.config["sample_rate"]


STAGES = (Prepare(), Train(), Generate(), Score())
