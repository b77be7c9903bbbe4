"""The recipe of codecs that rebuild the wave itself: vocoder, continuous latents, semantic codes, scalar codes.

Stages as in `codec.py`: `prepare` decodes the corpora at the codec's rate, `train` exports `train/bundle`, `generate`
encodes and decodes held-out clips, `score` measures them. The objective is `audiogen.train.wave_codec`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audiogen.checkpoint import load_bundle
from audiogen.data.segments import SegmentCache, SegmentStream
from audiogen.errors import AudiogenError
from audiogen.nn.quantize import ResidualVectorQuantizer
from audiogen.recipes.codec import VALIDATION_BATCHES, CodecData, Generate, Prepare, Score, reconstruction
from audiogen.recipes.common import bundle_inputs, new_model, train_and_export, train_inputs
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.train.wave_codec import CodebookObjective, Teacher, WaveObjective, WaveTrainConfig


@dataclass
class WaveCodecRun(RunConfig):
    """Settings of a recipe of this kind.

    Attributes:
        codec: The codec to train.
        init_from: A bundle to start from, if any.
        teacher: A recogniser's bundle, if the first codebook is to say what it hears.
        objective: Weights and schedule of the losses.
        data: The corpora.
    """

    codec: ModelConfig = field(default_factory=ModelConfig)
    init_from: str = ""
    teacher: str = ""
    objective: WaveTrainConfig = field(default_factory=WaveTrainConfig)
    data: CodecData = field(default_factory=CodecData)


class Train:
    """Mel distances, adversarial and feature losses, and the codec's own."""

    name = "train"

    def inputs(self, config: WaveCodecRun) -> dict[str, Any]:
        """Model, teacher, losses, schedule and the mix of data."""
        data = {
            "weights": dict(config.data.weights),
            "segment_seconds": config.data.segment_seconds,
            "batch_size": config.data.batch_size,
        }
        more = {"objective": dataclasses.asdict(config.objective), "data": data}
        return train_inputs(config, config.codec, config.init_from, teacher=bundle_inputs(config.teacher), **more)

    def run(self, config: WaveCodecRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        data, prepared = config.data, Path(config.exp_dir) / Prepare.name
        codec = new_model(config.codec, config.init_from, config.train.seed)
        cache, sizes = SegmentCache.open(prepared / "train"), (data.batch_size, data.segment_seconds)
        stream = SegmentStream(cache, *sizes, config.train.seed, data.weights)
        watched = SegmentStream(SegmentCache.open(prepared / "valid"), *sizes)
        held_out = [watched.batch(step) for step in range(VALIDATION_BATCHES)]
        corpora = {group: list(names) for group, names in data.train.items()}
        train_and_export(
            objective_of(codec, config),
            stream.batches,
            config,
            folder,
            config.codec.bundle(codec, training={"corpora": corpora}),
            lambda: reconstruction(codec, held_out),
        )


def objective_of(codec: nn.Module, config: WaveCodecRun) -> WaveObjective:
    """What trains a codec: one with residual codebooks learns these too, and from a teacher if there is one.

    Raises:
        AudiogenError: If there is a teacher but no codebook that could learn from it.
    """
    if isinstance(getattr(codec, "quantizer", None), ResidualVectorQuantizer):
        return CodebookObjective(codec, config.objective, teacher_of(config.teacher, codec.spec.sample_rate))
    if config.teacher:
        raise AudiogenError(f"teacher={config.teacher}: the codec {config.codec.name!r} has no codebooks to be taught")
    return WaveObjective(codec, config.objective)


def teacher_of(name: str, sample_rate: int) -> Teacher | None:
    """What a recogniser hears in waves [B, N] at `sample_rate`: its log-probabilities of labels [B, T, V + 1].

    Raises:
        AudiogenError: If it hears another rate.
    """
    if not name:
        return None
    model = load_bundle(name, kind="recognizer").model
    if model.config.sample_rate != sample_rate:
        raise AudiogenError(f"teacher={name} hears {model.config.sample_rate} Hz; the codec is of {sample_rate} Hz")

    @torch.no_grad()
    def hear(wave: Tensor) -> Tensor:
        return model.log_probs(wave)[0]

    return hear


STAGES = (Prepare(), Train(), Generate(), Score())
