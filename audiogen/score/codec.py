"""How a codec sounds at several bit rates, beside Opus on the same clips."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audiogen import api
from audiogen.infer.container import codes_coder
from audiogen.metrics.audio import opus, quality
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import mean
from audiogen.protocols import AudioTokens
from audiogen.score.clips import corpus_clips, progress

UNITS = {"bit rate": "kbit/s", "PESQ-WB": "", "STOI": "", "mel distance": "dB"}
CODEBOOKS = (2, 4, 8)
OPUS_RATES = (6_000, 9_000, 12_000)
CORPUS = "speech_48k"


def score_codec(
    model: str = "codec-24khz",
    corpus: str = CORPUS,
    data_root: str | None = None,
    limit: int | None = None,
) -> Table:
    """Score a codec on the test clips of a corpus.

    Args:
        model: Name or folder of a codec's bundle.
        corpus: A corpus under the data root, or a folder of recordings.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        limit: At most so many clips.
    """
    codec = api.load(model, "codec").codec
    clips = corpus_clips(corpus, "test", data_root, codec.spec.sample_rate, limit)
    rows = [clip_figures(codec, clip.wave) for clip in progress(clips, "scoring clips")]
    note = f"Means over {len(clips)} clips of {corpus} at {codec.spec.sample_rate} Hz; Opus is libsndfile's, VBR."
    return codec_table(rows, note)


def codec_table(rows: Sequence[dict[str, Row]], note: str) -> Table:
    """The means of what `clip_figures` gave for each clip."""
    systems = [
        {"name": name, **{c: mean(row[name][c] for row in rows).value for c in UNITS if c in figures}}
        for name, figures in rows[0].items()
    ]
    return Table("Resynthesis of held-out clips", systems, UNITS, note)


def versions(tokens: AudioTokens) -> dict[str, AudioTokens]:
    """The forms that a codec is judged in, by name: with some and with all of its codebooks, or its latents."""
    if tokens.codes is None:
        return {"latents": tokens}
    total = tokens.codes.shape[1]
    used = [*(number for number in CODEBOOKS if number < total), total]
    return {f"{number} codebooks": dataclasses.replace(tokens, codes=tokens.codes[:, :number]) for number in used}


@torch.inference_mode()
def clip_figures(codec: nn.Module, wave: Tensor) -> dict[str, Row]:
    """System → figures, for one clip [1, N] at the codec's rate: ours in each of `versions`, Opus at three rates.

    Bit rates are what the entropy-coded codes and Opus's packets take, without containers; latents have none.
    """
    spec, figures = codec.spec, {}
    seconds = wave.shape[-1] / spec.sample_rate
    for name, tokens in versions(codec.encode(wave[None])).items():
        decoded = codec.decode(tokens)[0, :, : wave.shape[-1]]
        figures[f"ours, {name}"] = quality(wave, decoded, spec.sample_rate)
        if tokens.codes is not None:
            coder = codes_coder(codec, tokens.codes.shape[1])
            figures[f"ours, {name}"]["bit rate"] = 8 * len(coder.encode(tokens.codes[0].numpy())) / seconds / 1000
    for target in OPUS_RATES:
        coded = opus(wave, spec.sample_rate, target)
        rate = coded.bits_per_second / 1000
        figures[f"Opus at {target // 1000}"] = {"bit rate": rate, **quality(wave, coded.wave, spec.sample_rate)}
    return figures
