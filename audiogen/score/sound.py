"""How true made sounds are to their captions and how near to recordings, with anchors in every table.

All judges learn from training recordings alone (`audiogen.metrics.sound`) or measure (`audiogen.metrics.music`). The
row of the recordings says how far a judge is to be trusted; captions shuffled among the clips, noise, and what one
answer for all clips would get, are the floor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audiogen.data.music import FASTEST, SLOWEST, TONICS
from audiogen.errors import AudiogenError
from audiogen.metrics import music
from audiogen.metrics.sound import Classifier, divergence, features, frechet_distance, kernel_distance
from audiogen.metrics.tables import Row, Table

RECORDED, RESYNTHESIS, MADE = "recordings", "codec resynthesis", "made"
SHUFFLED, NOISE, CHANCE = "made, captions shuffled", "noise", "chance: one answer for all"
TEMPO_TOLERANCE = 0.04
NOTE = (
    "Fréchet distance (FAD), kernel distance (KID, without bias, with its bootstrap interval) and KL on statistics of"
    " log-mel spectra; classifiers learnt from training recordings; a tempo is right within 4 %. The row of the"
    " recordings is what the judges make of real clips."
)


@dataclass
class JudgedClip:
    """A clip [1, N], what its caption asks for, and how long it took to make if it was made."""

    wave: Tensor
    asked: Mapping[str, Any]
    took: float | None = None


def score_sounds(
    title: str,
    systems: Mapping[str, Sequence[JudgedClip]],
    lessons: Sequence[JudgedClip],
    sample_rate: int,
    attributes: Sequence[str],
    measured: Sequence[str],
) -> Table:
    """The table of all systems.

    Args:
        title: Of the table.
        systems: System → clips, the n-th of each for the same caption; `RECORDED` and `MADE` are among them.
        lessons: Training recordings, for the judges.
        sample_rate: Of all clips.
        attributes: What of `asked` a classifier is to hear.
        measured: Those of `tempo` and `key` to measure.
    """
    learnt = torch.stack([features(clip.wave, sample_rate) for clip in lessons])
    judges = {name: _judge(name, learnt, lessons, systems[RECORDED]) for name in attributes}
    systems = {**systems, SHUFFLED: _shuffled(systems[MADE]), NOISE: [_noise(clip) for clip in systems[RECORDED]]}
    described = {name: torch.stack([features(c.wave, sample_rate) for c in clips]) for name, clips in systems.items()}
    rows = []
    for system, clips in systems.items():
        row: Row = {"name": system, "clips": len(clips), "FAD": frechet_distance(described[system], learnt)}
        row["KID"], row["KID, 95 %"] = kernel_distance(described[system], learnt)
        for name, judge in judges.items():
            asked = [str(clip.asked[name]) for clip in clips]
            row[name] = judge.accuracy(described[system], asked)
            real, made = (judge.chances(described[which]) for which in (RECORDED, system))
            row[f"KL, {name}"] = divergence(real, made)
        for name in measured:
            row[name] = sum(_is_right(clip, sample_rate, name) for clip in clips) / len(clips)
        took = [clip.took for clip in clips if clip.took is not None]
        if took:
            row["real-time factor"] = sum(took) / sum(clip.wave.shape[-1] / sample_rate for clip in clips)
        rows.append(row)
    rows.append({"name": CHANCE, **{name: _chance(name, systems[RECORDED]) for name in (*attributes, *measured)}})
    columns = [
        "clips",
        "FAD",
        "KID",
        "KID, 95 %",
        *(column for name in judges for column in (name, f"KL, {name}")),
        *measured,
    ]
    return Table(title, rows, dict.fromkeys([*columns, "real-time factor"], ""), NOTE)


def _judge(name: str, learnt: Tensor, lessons: Sequence[JudgedClip], asked: Sequence[JudgedClip]) -> Classifier:
    """A classifier of what is asked for, by the lessons that have some of that."""
    labels, wanted = [str(clip.asked[name]) for clip in lessons], {str(clip.asked[name]) for clip in asked}
    fitting = [number for number, label in enumerate(labels) if label in wanted]
    if not fitting:
        raise AudiogenError(f"no training clip has a {name} that is asked for, such as {min(wanted)!r}")
    return Classifier(learnt[fitting], [labels[number] for number in fitting])


def _is_right(clip: JudgedClip, sample_rate: int, name: str) -> bool:
    """Whether the measured tempo or key is the one asked for."""
    if name == "tempo":
        return _is_near(music.tempo(clip.wave, sample_rate, SLOWEST, FASTEST), clip.asked["tempo"])
    tonic, mode = music.key(clip.wave, sample_rate)
    return f"{TONICS[tonic]} {mode}" == clip.asked["key"]


def _is_near(tempo: float, asked: float) -> bool:
    return abs(tempo / asked - 1) <= TEMPO_TOLERANCE


def _chance(name: str, clips: Sequence[JudgedClip]) -> float:
    """The share of clips for which the best answer that is the same for all is right."""
    asked = [clip.asked[name] for clip in clips]
    if name == "tempo":
        return max(sum(_is_near(answer, each) for each in asked) for answer in asked) / len(asked)
    return max(asked.count(answer) for answer in asked) / len(asked)


def _shuffled(clips: Sequence[JudgedClip]) -> list[JudgedClip]:
    """The clips, each judged by the caption of the next."""
    return [JudgedClip(clip.wave, clips[(n + 1) % len(clips)].asked) for n, clip in enumerate(clips)]


def _noise(clip: JudgedClip) -> JudgedClip:
    generator = torch.Generator().manual_seed(clip.wave.shape[-1])
    return JudgedClip(0.1 * torch.randn(clip.wave.shape, generator=generator), clip.asked)
