"""How like recordings generated clips are, in a recipe of sounds with classes: a judge is trained, and asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle, load_bundle
from audiogen.infer.listen import Listener
from audiogen.infer.waveform import CUT
from audiogen.metrics.generated import am_score, frechet_distance, inception_score, modified_inception_score
from audiogen.metrics.tables import Row
from audiogen.metrics.text import spoken_words
from audiogen.recipes.common import BUNDLE, mean_figures, new_model, train_and_export, train_inputs
from audiogen.recipes.settings import ModelConfig
from audiogen.recipes.waveform_data import Recordings, WaveformRun, class_names, clip_batches, recordings
from audiogen.train.loop import SingleObjective

UNITS = dict.fromkeys(("clips", "right", "heard right", "FID", "IS", "mIS", "AM"), "")


class Judge:
    """A classifier of the clips' classes, as they sound after coding; none where there are no classes."""

    name = "judge"

    def inputs(self, config: WaveformRun) -> dict[str, Any]:
        """The schedule."""
        return train_inputs(dataclasses.replace(config, train=config.judge), _classifier(config, 0), "")

    def run(self, config: WaveformRun, folder: Path) -> None:
        """Train to the last step and export `bundle`."""
        labels, codec = class_names(config), config.codec.build()
        if not labels:
            print("the clips have no classes, so there is nothing to tell apart", flush=True)
            return
        described = _classifier(config, len(labels))
        model = new_model(described, "", config.judge.seed)
        stream, watched = clip_batches(config, "train", shuffle=True), clip_batches(config, "valid")
        train_and_export(
            SingleObjective(model),
            lambda start: recordings(codec, stream.batches(start)),
            dataclasses.replace(config, train=config.judge),
            folder,
            described.bundle(model, assets={"labels": labels}, training={"corpora": list(config.data.train)}),
            lambda: mean_figures(model, recordings(codec, watched.epoch())),
        )


def judged_rows(config: WaveformRun, folder: Path, made: Sequence[Row]) -> list[Row]:
    """The rows of a table: recordings and generated clips, all by the same judge.

    Args:
        config: The settings of a run whose stage `judge` is done.
        folder: Where the generated files lie.
        made: The `label` and the files, `audio`, of clips that were made together, and their `log_likelihood` if known:
            then further rows leave out the least and the most likely, and those less clear by their `lead`.
    """
    judge, codec = load_bundle(Path(config.exp_dir) / Judge.name / BUNDLE), config.codec.build()
    labels = judge.assets["labels"]
    train, test = ([*recordings(codec, clip_batches(config, split).epoch())] for split in ("train", "test"))
    clips, reference = _generated(folder, made, labels), _seen(judge, train)
    heard = _heard_right(config, clips, labels)
    rows = [
        _row("training recordings", reference, reference),
        _row("test recordings", _seen(judge, test), reference, _heard_right(config, test, labels)),
        _row("generated", _seen(judge, clips), reference, heard),
    ]
    likelihood = [each for row in made for each in row.get("log_likelihood", ())]
    if likelihood:
        kept = {"cut": _middle(torch.tensor(likelihood)), "clearest half": _clearest(made)}
        for name, which in kept.items():
            seen = _seen(judge, [clips[i] for i in which])
            rows.append(_row(f"generated, {name}", seen, reference, [heard[i] for i in which] if heard else []))
    return rows


def _clearest(made: Sequence[Row]) -> list[int]:
    """The places of the clearer half of every class's clips."""
    clips = [(row["label"], lead) for row in made for lead in row["lead"]]
    kept = []
    for label in dict.fromkeys(label for label, _ in clips):
        places = [place for place, (of, _) in enumerate(clips) if of == label]
        kept += sorted(places, key=lambda place: -clips[place][1])[: len(places) // 2]
    return sorted(kept)


def _middle(likelihood: Tensor) -> list[int]:
    """The places of the clips that are neither among the least nor the most likely."""
    count, (low, high) = len(likelihood), CUT
    return likelihood.argsort(descending=True)[int(high * count) : count - int(low * count)].sort().values.tolist()


@dataclasses.dataclass
class _Seen:
    """What the judge sees in n clips: features [n, D], chances [n, C], and the labels [n] they should have."""

    features: Tensor
    chances: Tensor
    labels: Tensor


@torch.inference_mode()
def _seen(judge: Bundle, clips: Iterable[Recordings]) -> _Seen:
    features = [judge.model.features(batch.wave, batch.lengths) for batch in clips]
    labels = torch.cat([batch.labels for batch in clips])
    return _Seen(torch.cat(features), judge.model.head(torch.cat(features)).softmax(-1), labels)


def _row(name: str, seen: _Seen, reference: _Seen, heard: Sequence[bool] = ()) -> Row:
    """A row of the table; `heard` is whether the recogniser heard each right, if there is one."""
    right = (seen.chances.argmax(-1) == seen.labels).float().mean().item()
    row = {"heard right": sum(heard) / len(heard)} if heard else {}
    return row | {
        "name": name,
        "clips": len(seen.labels),
        "right": right,
        "FID": frechet_distance(seen.features, reference.features),
        "IS": inception_score(seen.chances),
        "mIS": modified_inception_score(seen.chances, torch.Generator().manual_seed(0)),
        "AM": am_score(seen.chances, reference.chances),
    }


def _generated(folder: Path, made: Sequence[Row], labels: list[str]) -> list[Recordings]:
    """Every generated clip, without the silence it ends in."""
    clips = []
    for row in made:
        for file in row["audio"]:
            wave = audio.read(folder / file)
            length = int(wave[0].nonzero().max()) + 1 if wave.any() else wave.shape[-1]
            label = torch.tensor([labels.index(row["label"])])
            clips.append(Recordings(wave[:, :length], torch.tensor([length]), label))
    return clips


def _heard_right(config: WaveformRun, clips: Iterable[Recordings], labels: list[str]) -> list[bool]:
    """Whether the recogniser hears the word of a clip's class and nothing else; nothing if there is none."""
    if not config.recognizer_bundle:
        return []
    listener = Listener(load_bundle(config.recognizer_bundle, "recognizer"))
    right, rate = [], config.codec.build().spec.sample_rate
    for batch in clips:
        for wave, length, label in zip(batch.wave, batch.lengths, batch.labels, strict=True):
            text = listener.transcribe(audio.resample(wave[None, :length], rate, listener.sample_rate)[0]).text
            right.append(spoken_words(text) == spoken_words(labels[label]))
    return right


def _classifier(config: WaveformRun, classes: int) -> ModelConfig:
    rate = config.codec.build().spec.sample_rate
    return ModelConfig("classifier", "clip_classifier", {"sample_rate": rate, "classes": classes})
