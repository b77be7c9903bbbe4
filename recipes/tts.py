"""The voice recipe: phones with their timings, codes, an acoustic model, speech, and what judges hear in it.

Stages: `prepare` decodes and aligns the corpora, `tokenize` encodes every clip with the codec, `train` exports
`train/bundle`, `generate` speaks unseen sentences and held-out texts, `score` judges them beside the recordings.
"""

from __future__ import annotations

import dataclasses
import time
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
from audiogen.data.batches import BatchStream
from audiogen.data.collate import AcousticCollate
from audiogen.data.corpora import read_wave
from audiogen.errors import AudiogenError, unknown_name
from audiogen.infer.listen import Listener
from audiogen.infer.speak import Speaker, SpeakOptions
from audiogen.metrics.tables import Table
from audiogen.recipes.aligner import aligned, is_timed
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
from audiogen.recipes.runner import file_hash
from audiogen.recipes.settings import ModelConfig, RunConfig
from audiogen.recipes.speech import clip_id, prepare_speech, prepared_cuts, speech_inputs
from audiogen.score.clips import corpus_clips
from audiogen.score.say import NOTE, UNITS, SpeechJudges, system_row
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY
from audiogen.train.loop import SingleObjective

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

CODES, UTTERANCES = "codes", "utterances.jsonl"
RESYNTHESIS = "codec resynthesis"
RECORDED = ("recordings", RESYNTHESIS)
PROMPT_SECONDS = 4.0


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
            _codec(config).model.spec.sample_rate,
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
            "merge": _merge(config),
            "speeds": list(config.data.speeds),
        }

    def run(self, config: TtsRun, folder: Path) -> None:
        """Write `codes/<clip>.npy`, int16 [K, T], and `clips.jsonl`."""
        (folder / CODES).mkdir(exist_ok=True)
        codec, merge = _codec(config).model, _merge(config)
        cuts = {split: list(prepared_cuts(_folder(config, Prepare), split)) for split in ("train", "valid")}
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
        do_items(keyed, folder / "clips.jsonl", encode, "encoding")


class Train:
    """The model's own loss on codes, phones and durations."""

    name = "train"

    def inputs(self, config: TtsRun) -> dict[str, Any]:
        """Model, schedule, batches and voices."""
        data = {
            "train": list(config.data.train),
            "valid": list(config.data.valid),
            "batch_seconds": config.data.batch_seconds,
            "join": config.data.join,
            "voices": dict(config.data.voices),
        }
        return train_inputs(config, _model(config), config.init_from, data=data, frozen=list(config.frozen))

    def run(self, config: TtsRun, folder: Path) -> None:
        """Train to the last step and export the bundle."""
        described, spec, merge = _model(config), _codec(config).model.spec, _merge(config)
        model = new_model(described, config.init_from, config.train.seed)
        if hasattr(model, "start_from"):
            learn = model.adopt if config.init_from else model.start_from
            learn(_codec(config).model.quantizer.vectors)
        for part in config.frozen:
            model.get_submodule(part).requires_grad_(False)
        collate = AcousticCollate(lambda cut: _codes(config, cut), float(spec.frame_rate), merge)
        train, valid = (_encoded_cuts(config, split) for split in ("train", "valid"))
        joining = AcousticCollate(lambda cut: _codes(config, cut), float(spec.frame_rate), merge, join=config.data.join)
        stream = BatchStream(train, joining, config.data.batch_seconds, config.train.seed)
        watched = BatchStream(valid, collate, config.data.batch_seconds, shuffle=False)
        codes_sha256 = _codec(config).model.codes_digest()
        codec = {"spec": spec.to_dict(), "bundle": config.codec_bundle, "codes_sha256": codes_sha256}
        assets = {
            "frontend": TextFrontend(config.data.language).to_dict(),
            "languages": [config.data.language],
            "voices": {name: _voice(train, speaker, collate) for name, speaker in config.data.voices.items()},
        }
        training = {"corpora": {"train": list(config.data.train)}, "init_from": Path(config.init_from).name}
        bundle = described.bundle(model, assets=assets, codec=codec, training=training)
        train_and_export(
            SingleObjective(model), stream.batches, config, folder, bundle, lambda: mean_figures(model, watched.epoch())
        )


class Generate:
    """Speak, and lay beside it the recordings and what the codec makes of them."""

    name = "generate"

    def inputs(self, config: TtsRun) -> dict[str, Any]:
        """What is said and how."""
        return {
            "sentences": file_hash(Path(config.sentences)),
            "test_clips": config.data.test_clips,
            "infer": dataclasses.asdict(config.infer),
        }

    def run(self, config: TtsRun, folder: Path) -> None:
        """Write `<system>/<number>.wav`, and `utterances.jsonl`: system, text, phones and how long it took."""
        clips = list(prepared_cuts(_folder(config, Prepare), "test"))[: config.data.test_clips]
        sentences = Path(config.sentences).read_text(encoding="utf-8").splitlines()
        texts = {
            "unseen sentences": [sentence.strip() for sentence in sentences if sentence.strip()],
            "held-out texts": [cut.supervisions[0].text for cut in clips],
        }
        items = [(system, number, cut) for system in RECORDED for number, cut in enumerate(clips)]
        items += [(system, number, text) for system in texts for number, text in enumerate(texts[system])]
        for system in (*RECORDED, *texts):
            (folder / system).mkdir(exist_ok=True)
        maker = _Maker(config, folder)
        keyed = ((f"{system}/{number:03d}", (system, number, what)) for system, number, what in items)
        do_items(keyed, folder / UTTERANCES, lambda item: maker.make(*item), "speaking")


class _Maker:
    """Makes the utterances of `Generate`, each a file and what is to be known of it."""

    def __init__(self, config: TtsRun, folder: Path) -> None:
        codec = _codec(config)
        self._config, self._folder, self._codec = config, folder, codec.model
        self._speaker = Speaker(load_bundle(_folder(config, Train) / BUNDLE, "acoustic"), codec, config.aligner_bundle)

    def make(self, system: str, number: int, what: MonoCut | str) -> dict[str, Any]:
        """A text spoken, or a clip copied."""
        path = f"{system}/{number:03d}.wav"
        wave, described = self._speak(what) if isinstance(what, str) else self._copy(what, system)
        audio.write(self._folder / path, wave, self._codec.spec.sample_rate)
        return {"system": system, "audio": path, **described}

    def _speak(self, text: str) -> tuple[Tensor, dict[str, Any]]:
        began = time.perf_counter()
        speech = self._speaker.synthesize(text, options=self._config.infer, seed=self._config.train.seed)
        return speech.wave, {"text": text, "took_s": time.perf_counter() - began, "phones": speech.phones}

    @torch.inference_mode()
    def _copy(self, cut: MonoCut, system: str) -> tuple[Tensor, dict[str, Any]]:
        wave = read_wave(cut, self._codec.spec.sample_rate)[None]
        if system == RESYNTHESIS:
            wave = self._codec.decode(self._codec.encode(wave[None]))[0]
        return wave, {"text": cut.supervisions[0].text}


class Score:
    """What an outside recogniser, ours and an outside speaker encoder hear in every utterance."""

    name = "score"

    def inputs(self, config: TtsRun) -> dict[str, Any]:
        """Our judge, and the recordings that similarity is measured to."""
        recordings = corpora_inputs([config.data.test], config.data_root)
        return {"recognizer": bundle_inputs(config.recognizer_bundle), "recordings": recordings}

    def run(self, config: TtsRun, folder: Path) -> None:
        """Write what was heard in each utterance to `judged.jsonl`, and the table."""
        generated = _folder(config, Generate)
        listener = Listener(load_bundle(config.recognizer_bundle, "recognizer"))
        judges = SpeechJudges(listener, corpus_clips(config.data.test, "valid", config.data_root))
        rate = _codec(config).model.spec.sample_rate
        utterances = read_rows(generated / UTTERANCES)
        judged = do_items(
            ((row["id"], row) for row in utterances),
            folder / "judged.jsonl",
            lambda row: judges.judge(row["text"], audio.read(generated / row["audio"]), rate, row.get("took_s")),
            "judging",
        )
        table = Table(f"{config.model.name}, voice {next(iter(config.data.voices))}", units=UNITS, note=NOTE)
        for system in dict.fromkeys(row["system"] for row in utterances):
            own = [heard for row, heard in zip(utterances, judged, strict=True) if row["system"] == system]
            table.rows.append(system_row(system, own))
        write_table(folder, table)


def _splits(config: TtsRun) -> dict[str, list[str]]:
    data = config.data
    return {"train": list(data.train), "valid": list(data.valid), "test": [data.test]}


def _folder(config: TtsRun, stage: type) -> Path:
    return Path(config.exp_dir) / stage.name


def _codec(config: TtsRun) -> Bundle:
    return load_bundle(config.codec_bundle, "codec")


def _model(config: TtsRun) -> ModelConfig:
    """The model's settings with what follows from codec and inventory."""
    codec = _codec(config).model
    described = config.model.completed(codec=codec.spec.to_dict(), num_phones=len(INVENTORY))
    if "code_dim" in described.config:
        described.config["code_dim"] = codec.config.latent_dim
    return described


def _merge(config: TtsRun) -> int:
    """Frames that share a code of the first codebook: the model's wish."""
    return config.model.config.get("merge", 1)


def _own_timings(cut: MonoCut) -> dict[str, Any]:
    """The timings a clip came with, or why they are refused."""
    try:
        timings = phone_timings(cut)
        INVENTORY.encode(symbol for symbol, _, _ in timings)
    except AudiogenError as error:
        return {"refused": str(error)}
    refused = objection(timings)
    return {"refused": refused} if refused else {"phones": [list(timing) for timing in timings]}


def _encoded_cuts(config: TtsRun, split: str) -> CutSet:
    """The prepared clips of a split that have codes; those of `train` also at the other speeds."""
    from lhotse import CutSet

    encoded = {row["id"] for row in read_rows(_folder(config, Tokenize) / "clips.jsonl") if "frames" in row}
    cuts = list(prepared_cuts(_folder(config, Prepare), split, _splits(config)[split]))
    if split == "train":
        once = {clip_id(cut): cut for cut in cuts}.values()
        cuts += [_at_speed(cut, speed) for speed in config.data.speeds for cut in once]
    return CutSet.from_cuts(cut for cut in cuts if clip_id(cut) in encoded)


def _at_speed(cut: MonoCut, speed: float) -> MonoCut:
    """What is known of a clip that is played faster or slower: a clip of another speaker."""
    from lhotse.utils import fastcopy

    if speed == 1:
        return cut
    changed = cut.perturb_speed(speed)
    supervision = changed.supervisions[0]
    return fastcopy(changed, supervisions=[fastcopy(supervision, speaker=f"{supervision.speaker} at {speed}")])


def _codes(config: TtsRun, cut: MonoCut) -> Tensor:
    """Codes [K, T] of a clip."""
    return torch.from_numpy(np.load(_folder(config, Tokenize) / CODES / f"{clip_id(cut)}.npy")).long()


def _voice(cuts: CutSet, speaker: str, collate: AcousticCollate) -> dict[str, Any]:
    """The clip of a speaker that is closest to `PROMPT_SECONDS` long, as a voice prompt in a bundle.

    Raises:
        AudiogenError: If the speaker has no clip.
    """
    own = [cut for cut in cuts if cut.supervisions[0].speaker == speaker]
    if not own:
        raise unknown_name("speaker", speaker, {cut.supervisions[0].speaker for cut in cuts})
    chosen = min(own, key=lambda cut: abs(cut.duration - PROMPT_SECONDS))
    batch = collate([chosen], torch.Generator())
    return {
        "codes": batch.codes[0].tolist(),
        "phones": INVENTORY.decode(batch.phones[0].tolist()),
        "durations": batch.durations[0].tolist(),
    }


STAGES = (Prepare(), Tokenize(), Train(), Generate(), Score())
