"""What a codec makes of speech that is quiet, overdriven or noisy, and of silence.

What comes back is compared with what went in, changes and all: a codec is to keep the noise, not to clean it. With all
codebooks.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from audiogen import api, audio
from audiogen.metrics.audio import quality
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import mean
from audiogen.score.clips import corpus_clips, progress
from audiogen.score.codec import CORPUS

UNITS = {"clips": "", "level in": "dBFS", "level out": "dBFS", "PESQ-WB": "", "STOI": "", "mel distance": "dB"}
QUIET, OVERDRIVEN, SNR = -40.0, 12.0, 10.0
FLOOR = -120.0
NOTE = (
    "Means over clips, each compared with what went in, with all codebooks. Levels are root mean squares, at least"
    " −120 dBFS. Clipped speech had peaks of 12 dB above full scale; noise is white, 10 dB below the speech."
)


def decibels(wave: Tensor) -> float:
    """The level of a wave: its root mean square in dBFS, no less than `FLOOR`."""
    return max(FLOOR, float(10 * wave.square().mean().log10()))


def quiet(wave: Tensor) -> Tensor:
    """`wave` at −40 dBFS."""
    return wave * 10 ** ((QUIET - decibels(wave)) / 20)


def clipped(wave: Tensor) -> Tensor:
    """`wave` with peaks of 12 dB above full scale, cut off there."""
    return (wave * 10 ** (OVERDRIVEN / 20) / wave.abs().max().clamp(min=1e-5)).clamp(-1, 1)


def noisy(wave: Tensor) -> Tensor:
    """`wave` with white noise of its own length, 10 dB below it."""
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))
    return wave + noise * 10 ** ((decibels(wave) - SNR) / 20)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "as recorded": lambda wave: wave,
    "at −40 dBFS": quiet,
    "clipped at 0 dBFS": clipped,
    "in noise": noisy,
    "digital silence": torch.zeros_like,
}


def score_robustness(
    models: Sequence[str] = ("codec-24khz",),
    corpora: Sequence[str] = (CORPUS,),
    data_root: str | None = None,
    limit: int | None = None,
) -> Table:
    """Score codecs on the test clips of corpora of speech, changed in each of `CHANGES`.

    Args:
        models: Names or folders of codecs' bundles.
        corpora: Corpora under the data root, or folders of recordings.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        limit: At most so many clips.
    """
    clips, rows = corpus_clips(corpora, "test", data_root, limit=limit), []
    for model in models:
        codec = api.load(model, "codec").codec
        rate = codec.spec.sample_rate
        waves = [audio.resample(clip.wave, clip.sample_rate, rate) for clip in clips]
        for name, change in CHANGES.items():
            label = f"{model}, {name}"
            rows.append(_row(label, [_figures(codec, change(wave)) for wave in progress(waves, label)]))
    return Table(f"Codecs on clips of {', '.join(corpora)}, changed", rows, UNITS, NOTE)


@torch.inference_mode()
def _figures(codec: nn.Module, wave: Tensor) -> Row:
    decoded = codec.decode(codec.encode(wave[None])).mean(1)[:, : wave.shape[-1]]
    levels = {"level in": decibels(wave), "level out": decibels(decoded)}
    return levels | (quality(wave, decoded, codec.spec.sample_rate) if wave.any() else {})


def _row(name: str, clips: Sequence[Row]) -> Row:
    means = {column: mean(clip[column] for clip in clips).value for column in UNITS if column in clips[0]}
    return {"name": name, "clips": len(clips), **means}
