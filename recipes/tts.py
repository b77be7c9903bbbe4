"""The voice recipe: phones with their timings, codes, an acoustic model, speech, and what judges hear in it.

Stages: `prepare` decodes and aligns the corpora, `tokenize` encodes every clip with the codec, `train` exports
`train/bundle`, `generate` speaks unseen sentences and held-out texts, `score` judges them beside the recordings.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import load_bundle
from audiogen.data.batches import BatchStream
from audiogen.data.collate import AcousticCollate
from audiogen.data.corpora import read_wave
from audiogen.errors import unknown_name
from audiogen.infer.listen import Listener
from audiogen.infer.speak import Speaker
from audiogen.metrics.tables import Table
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
from audiogen.recipes.items import do_items, read_rows
from audiogen.recipes.runner import file_hash
from audiogen.recipes.settings import ModelConfig
from audiogen.recipes.speech import prepared_cuts
from audiogen.recipes.tts_data import Prepare, Tokenize, TtsRun, clip_codes, encoded_cuts, merge_of, voice_codec
from audiogen.score.clips import corpus_clips
from audiogen.score.say import NOTE, UNITS, SpeechJudges, system_row
from audiogen.text.frontend import TextFrontend
from audiogen.text.phones import INVENTORY
from audiogen.train.loop import SingleObjective

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

UTTERANCES = "utterances.jsonl"
RESYNTHESIS = "codec resynthesis"
RECORDED = ("recordings", RESYNTHESIS)
PROMPT_SECONDS = 4.0


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
        described, spec, merge = _model(config), voice_codec(config).model.spec, merge_of(config)
        model = new_model(described, config.init_from, config.train.seed)
        if hasattr(model, "start_from"):
            learn = model.adopt if config.init_from else model.start_from
            learn(voice_codec(config).model.quantizer.vectors)
        for part in config.frozen:
            model.get_submodule(part).requires_grad_(False)
        codes_of = partial(clip_codes, config)
        collate = AcousticCollate(codes_of, float(spec.frame_rate), merge)
        joining = AcousticCollate(codes_of, float(spec.frame_rate), merge, join=config.data.join)
        train, valid = (encoded_cuts(config, split) for split in ("train", "valid"))
        stream = BatchStream(train, joining, config.data.batch_seconds, config.train.seed)
        watched = BatchStream(valid, collate, config.data.batch_seconds, shuffle=False)
        codes_sha256 = voice_codec(config).model.codes_digest()
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
        clips = list(prepared_cuts(Path(config.exp_dir) / Prepare.name, "test"))[: config.data.test_clips]
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
        codec, voice = voice_codec(config), load_bundle(Path(config.exp_dir) / Train.name / BUNDLE, "acoustic")
        self._config, self._folder, self._codec = config, folder, codec.model
        self._speaker = Speaker(voice, codec, config.aligner_bundle)

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
        generated = Path(config.exp_dir) / Generate.name
        listener = Listener(load_bundle(config.recognizer_bundle, "recognizer"))
        judges = SpeechJudges(listener, corpus_clips(config.data.test, "valid", config.data_root))
        rate = voice_codec(config).model.spec.sample_rate
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


def _model(config: TtsRun) -> ModelConfig:
    """The model's settings with what follows from codec and inventory."""
    codec = voice_codec(config).model
    described = config.model.completed(codec=codec.spec.to_dict(), num_phones=len(INVENTORY))
    if "code_dim" in described.config:
        described.config["code_dim"] = codec.config.latent_dim
    return described


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
