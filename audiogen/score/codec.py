"""How codecs sound at each of their bit rates, beside Opus and the recordings themselves, on the same clips.

Speech is judged by PESQ-WB, STOI and a judge of voices, English with a transcript by a judge of words as well; none of
them was made for sounds and music, of which the mel distance alone is told. A clip is brought to the rate of a codec,
and what comes back is compared with it there.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from audiogen import api, audio
from audiogen.infer.container import codes_coder
from audiogen.metrics.audio import mel_distance, opus, quality
from audiogen.metrics.judges import OutsideRecognizer, OutsideSpeakerEncoder, similarity
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import mean, word_error_rate
from audiogen.nn.quantize import ResidualVectorQuantizer
from audiogen.protocols import AudioTokens
from audiogen.score.clips import Clip, corpus_clips, progress

MEANS = {
    "sample rate": "kHz",
    "bit rate": "kbit/s",
    "PESQ-WB": "",
    "STOI": "",
    "mel distance": "dB",
    "speaker similarity": "",
}
UNITS = {"clips": "", **MEANS, "outside WER": "", "outside WER, 95 %": ""}
CODEBOOKS = (1, 2, 4, 8)
OPUS_RATES = (6_000, 9_000, 12_000)
RECORDINGS = "recordings"
CORPUS = "speech_48k"
NOTE = (
    "Means over clips, each compared at the codec's rate; Opus is libsndfile's, VBR. Bit rates are what entropy-coded"
    " codes and Opus's packets take. Speaker similarity is the cosine, by Resemblyzer, of a clip and what came back of"
    " it; the outside judge of words is PocketSphinx, on the English clips that have a transcript."
)


def score_codec(
    models: Sequence[str] = ("codec-24khz",),
    corpora: Sequence[str] = (CORPUS,),
    data_root: str | None = None,
    limit: int | None = None,
) -> Table:
    """Score codecs on the test clips of corpora.

    Args:
        models: Names or folders of codecs' bundles; Opus runs at the rate of the first.
        corpora: Corpora under the data root, or folders of recordings.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        limit: At most so many clips of each corpus.
    """
    codecs = {name: api.load(name, "codec").codec for name in models}
    judges, rows = CodecJudges(), []
    for corpus in corpora:
        clips = corpus_clips(corpus, "test", data_root, limit=limit)
        figures = [clip_figures(codecs, clip, judges) for clip in progress(clips, f"scoring clips of {corpus}")]
        rows += system_rows(figures, f"{corpus}: " if len(corpora) > 1 else "")
    return codec_table(f"Resynthesis of clips of {', '.join(corpora)}", rows)


def codec_table(title: str, rows: list[Row]) -> Table:
    """The table of `system_rows`, with the columns that any of them has a figure for."""
    used = {column: unit for column, unit in UNITS.items() if any(column in row for row in rows)}
    return Table(title, rows, used, NOTE)


def system_rows(figures: Sequence[Mapping[str, Row]], prefix: str = "") -> list[Row]:
    """A row for each system from what `clip_figures` gave for each clip."""
    rows = [_system_row(prefix + name, [clip[name] for clip in figures if clip[name]]) for name in figures[0]]
    return [row for row in rows if row["clips"]]


def _system_row(name: str, clips: Sequence[Row]) -> Row:
    row: Row = {"name": name, "clips": len(clips)}
    for column in MEANS:
        values = [clip[column] for clip in clips if column in clip]
        if values:
            row[column] = mean(values).value
    heard = [clip for clip in clips if "heard" in clip]
    if heard:
        words = word_error_rate([clip["said"] for clip in heard], [clip["heard"] for clip in heard])
        row |= {"outside WER": words.value, "outside WER, 95 %": (words.low, words.high)}
    return row


@dataclass(frozen=True)
class Rendition:
    """What came back of a clip: `wave` for `reference`, both [1, N] at `sample_rate`.

    `kbps` is what was written, in kbit/s and without containers; None of latents, which are not.
    """

    reference: Tensor
    wave: Tensor
    sample_rate: int
    kbps: float | None


class CodecJudges:
    """All that judges a rendition; the judges of voices and words are loaded when there is a voice or a word."""

    @cached_property
    def _voices(self) -> OutsideSpeakerEncoder:
        return OutsideSpeakerEncoder()

    @cached_property
    def _words(self) -> OutsideRecognizer:
        return OutsideRecognizer()

    def heard(self, clip: Clip, wave: Tensor, sample_rate: int) -> Row:
        """What was said and is heard in `wave` [1, N], if the words of the clip are known."""
        if not clip.is_read_english:
            return {}
        return {"said": clip.text, "heard": self._words.transcribe(wave, sample_rate)}

    def judge(self, clip: Clip, rendition: Rendition, voice: Tensor | None) -> Row:
        """The figures of a rendition of `clip`, whose `voice` is given if it is speech."""
        waves = rendition.reference, rendition.wave
        figures: Row = {"sample rate": rendition.sample_rate / 1000}
        if rendition.kbps is not None:
            figures["bit rate"] = rendition.kbps
        if voice is None:
            return {**figures, "mel distance": mel_distance(*waves, rendition.sample_rate)}
        likeness = similarity(voice, self.voice(rendition.wave, rendition.sample_rate))
        figures |= {**quality(*waves, rendition.sample_rate), "speaker similarity": likeness}
        return {**figures, **self.heard(clip, rendition.wave, rendition.sample_rate)}

    def voice(self, wave: Tensor, sample_rate: int) -> Tensor:
        """The voice [D] of `wave` [1, N]."""
        return self._voices.embed(wave, sample_rate)


def clip_figures(codecs: Mapping[str, nn.Module], clip: Clip, judges: CodecJudges) -> dict[str, Row]:
    """System → figures of one clip as plain values: the recording, each codec in each of its `versions`, and Opus."""
    figures = {RECORDINGS: judges.heard(clip, clip.wave, clip.sample_rate)}
    voice = judges.voice(clip.wave, clip.sample_rate) if clip.is_speech else None
    for name, rendition in renditions(codecs, clip):
        figures[name] = judges.judge(clip, rendition, voice)
    return figures


@torch.inference_mode()
def renditions(codecs: Mapping[str, nn.Module], clip: Clip) -> Iterator[tuple[str, Rendition]]:
    """What each system makes of a clip, by the system's name; Opus at the rate of the first codec."""
    for name, codec in codecs.items():
        rate = codec.spec.sample_rate
        wave = audio.resample(clip.wave, clip.sample_rate, rate)
        for version, tokens in versions(codec, codec.encode(wave[None])).items():
            decoded = codec.decode(tokens).mean(1)[:, : wave.shape[-1]]
            yield f"{name}, {version}", Rendition(wave, decoded, rate, _kbps(codec, tokens, clip.seconds))
    rate = next(iter(codecs.values())).spec.sample_rate
    wave = audio.resample(clip.wave, clip.sample_rate, rate)
    for target in OPUS_RATES:
        coded = opus(wave, rate, target)
        yield f"Opus at {target // 1000}", Rendition(wave, coded.wave, rate, coded.bits_per_second / 1000)


def versions(codec: nn.Module, tokens: AudioTokens) -> dict[str, AudioTokens]:
    """What a codec is judged by, with a name: latents; or all its codes, and the first few where they are residual."""
    if tokens.codes is None:
        return {"latents": tokens}
    total, residual = tokens.codes.shape[1], isinstance(getattr(codec, "quantizer", None), ResidualVectorQuantizer)
    used = [*(number for number in CODEBOOKS if residual and number < total), total]
    return {_counted(number): dataclasses.replace(tokens, codes=tokens.codes[:, :number]) for number in used}


def _counted(codebooks: int) -> str:
    return f"{codebooks} codebook{'s' * (codebooks > 1)}"


def _kbps(codec: nn.Module, tokens: AudioTokens, seconds: float) -> float | None:
    if tokens.codes is None:
        return None
    coder = codes_coder(codec, tokens.codes.shape[1])
    return 8 * len(coder.encode(tokens.codes[0].numpy())) / seconds / 1000
