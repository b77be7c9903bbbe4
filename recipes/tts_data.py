"""What the stages of the voice recipe share: its settings, and the clips with their phones and as codes.

The stages `prepare` and `tokenize` are here, with what reads the folders they leave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from omegaconf import MISSING
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle
from audiogen.data.alignment import durations, objection, phone_timings
from audiogen.data.corpora import read_wave
from audiogen.errors import AudiogenError
from audiogen.infer.speak import SpeakOptions
from audiogen.recipes.aligner import aligned, is_timed
from audiogen.recipes.common import bundle_inputs
from audiogen.recipes.items import do_items, read_rows, write_array
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.recipes.speech import clip_id, prepare_speech, prepared_cuts, speech_inputs
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

CODES, CLIPS = "codes", "clips.jsonl"


@dataclass
class TtsData:
    """What a voice is trained and judged on.

    Attributes:
        train: Corpora whose `train` split is used; `name*3` takes one three times.
        valid: Corpora whose `valid` split is watched during training.
        test: The corpus whose `test` split is what the voice should sound like.
        language: Of the text.
        voices: Name of a voice in the bundle → its speaker; the first is the default.
        speeds: Every training clip is also taken once at each of these speeds, pitch and all, as another speaker's:
            so prompts decide the voice.
        min_duration: Shorter clips are left out, seconds.
        max_duration: Longer clips are not trained on, seconds.
        batch_seconds: Sound a batch holds at most, seconds.
        join: Chance that clips of one speaker are joined in pairs, so that the model meets prompts of other sentences.
        test_clips: At most so many test clips are judged.
    """

    train: list[str] = MISSING
    valid: list[str] = MISSING
    test: str = MISSING
    language: str = "en"
    voices: dict[str, str] = MISSING
    speeds: list[float] = field(default_factory=list)
    min_duration: float = 0.5
    max_duration: float = 12.0
    batch_seconds: float = 60.0
    join: float = 0.5
    test_clips: int = 40


@dataclass
class TtsRun(RunConfig):
    """Settings of a voice recipe.

    Attributes:
        model: The acoustic model to train.
        codec_bundle: The bundle of the codec it speaks through.
        aligner_bundle: The bundle that finds the phones in recordings without timings; empty if all have them.
        recognizer_bundle: The bundle of our recogniser, one of the judges.
        init_from: A bundle to start from, if any.
        frozen: Parts of the model that stay as they are, e.g. `[coarse]`.
        data: The corpora.
        sentences: A file of sentences to speak, one a line, none of them in a training text.
        infer: How to speak.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    codec_bundle: str = MISSING
    aligner_bundle: str = MISSING
    recognizer_bundle: str = MISSING
    init_from: str = ""
    frozen: list[str] = field(default_factory=list)
    data: TtsData = field(default_factory=TtsData)
    sentences: str = MISSING
    infer: SpeakOptions = field(default_factory=SpeakOptions)


class Prepare:
    """Decode the corpora at the codec's rate, and find the phones of every clip."""

    name = "prepare"

    def inputs(self, config: TtsRun) -> dict[str, Any]:
        """The corpora, the aligner and which clips are taken."""
        splits = speech_inputs(_splits(config), config.data_root)
        taken = {"min_duration": config.data.min_duration, "max_duration": config.data.max_duration}
        return {**splits, **taken, "language": config.data.language, "aligner": bundle_inputs(config.aligner_bundle)}

    def run(self, config: TtsRun, folder: Path) -> None:
        """Fill `audio/` and `manifest.jsonl`, which has the timings."""
        aligner = load_bundle(config.aligner_bundle, "recognizer") if config.aligner_bundle else None
        frontend = TextFrontend(config.data.language)

        def find_phones(cut: MonoCut) -> dict[str, Any]:
            if is_timed(cut):
                return _own_timings(cut)
            return aligned(aligner, frontend, cut) if aligner else {"refused": "it has no timings; give an aligner"}

        prepare_speech(
            _splits(config),
            config.data_root,
            voice_codec(config).model.spec.sample_rate,
            folder,
            (config.data.min_duration, config.data.max_duration),
            find_phones,
        )


class Tokenize:
    """Encode every clip, all at one level, and fit its phones to the frames."""

    name = "tokenize"

    def inputs(self, config: TtsRun) -> dict[str, Any]:
        """The codec, its merging and the speeds."""
        return {
            "codec": bundle_inputs(config.codec_bundle),
            "merge": merge_of(config),
            "speeds": list(config.data.speeds),
        }

    def run(self, config: TtsRun, folder: Path) -> None:
        """Write `codes/<clip>.npy`, int16 [K, T], and `clips.jsonl`."""
        (folder / CODES).mkdir(exist_ok=True)
        codec, merge = voice_codec(config).model, merge_of(config)
        cuts = {split: list(prepared_cuts(Path(config.exp_dir) / Prepare.name, split)) for split in ("train", "valid")}
        items = [(cut, 1.0) for cut in cuts["train"] + cuts["valid"]]
        items += [(cut, speed) for speed in config.data.speeds for cut in cuts["train"]]

        @torch.inference_mode()
        def encode(item: tuple[MonoCut, float]) -> dict[str, Any]:
            cut, speed = item
            rate = codec.spec.sample_rate
            wave = audio.resample(read_wave(cut, rate)[None], round(speed * rate), rate)
            codes = codec.encode(audio.at_level(wave)[None], merge=merge).codes[0]
            changed = _at_speed(cut, speed)
            try:
                durations(phone_timings(changed), codes.shape[1] // merge, float(codec.spec.frame_rate / merge))
            except AudiogenError as error:
                return {"refused": str(error)}
            write_array(folder / CODES / f"{clip_id(changed)}.npy", codes.numpy().astype(np.int16))
            return {"frames": codes.shape[1]}

        keyed = ((clip_id(_at_speed(cut, speed)), (cut, speed)) for cut, speed in items)
        do_items(keyed, folder / CLIPS, encode, "encoding")


def voice_codec(config: TtsRun) -> Bundle:
    """The codec that the voice speaks through."""
    return load_bundle(config.codec_bundle, "codec")


def merge_of(config: TtsRun) -> int:
    """Frames that share a code of the first codebook: the model's wish."""
    return config.model.config.get("merge", 1)


def encoded_cuts(config: TtsRun, split: str) -> CutSet:
    """The prepared clips of a split that have codes; those of `train` also at the other speeds."""
    from lhotse import CutSet

    encoded = {row["id"] for row in read_rows(Path(config.exp_dir) / Tokenize.name / CLIPS) if "frames" in row}
    cuts = list(prepared_cuts(Path(config.exp_dir) / Prepare.name, split, _splits(config)[split]))
    if split == "train":
        once = {clip_id(cut): cut for cut in cuts}.values()
        cuts += [_at_speed(cut, speed) for speed in config.data.speeds for cut in once]
    return CutSet.from_cuts(cut for cut in cuts if clip_id(cut) in encoded)


def clip_codes(config: TtsRun, cut: MonoCut) -> Tensor:
    """Codes [K, T] of a clip."""
    return torch.from_numpy(np.load(Path(config.exp_dir) / Tokenize.name / CODES / f"{clip_id(cut)}.npy")).long()


def _at_speed(cut: MonoCut, speed: float) -> MonoCut:
    """What is known of a clip that is played faster or slower: a clip of another speaker."""
    from lhotse.utils import fastcopy

    if speed == 1:
        return cut
    changed = cut.perturb_speed(speed)
    supervision = changed.supervisions[0]
    return fastcopy(changed, supervisions=[fastcopy(supervision, speaker=f"{supervision.speaker} at {speed}")])


def _own_timings(cut: MonoCut) -> dict[str, Any]:
    """The timings a clip came with, or why they are refused."""
    try:
        timings = phone_timings(cut)
        INVENTORY.encode(symbol for symbol, _, _ in timings)
    except AudiogenError as error:
        return {"refused": str(error)}
    refused = objection(timings)
    return {"refused": refused} if refused else {"phones": [list(timing) for timing in timings]}


def _splits(config: TtsRun) -> dict[str, list[str]]:
    data = config.data
    return {"train": list(data.train), "valid": list(data.valid), "test": [data.test]}
