"""How a voice sounds: what judges hear of unseen sentences, whose voice it is, and how fast it was made.

Rows of one table: held-out recordings of the voice, the same through the codec, and each model speaking the sentences.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from audiogen import api, audio
from audiogen.errors import AudiogenError
from audiogen.infer.listen import Listener
from audiogen.infer.speak import Speaker
from audiogen.metrics.judges import OutsideRecognizer, OutsideSpeakerEncoder, similarity, speaker_centroid
from audiogen.metrics.tables import Row, Table
from audiogen.metrics.text import character_error_rate, mean, word_error_rate
from audiogen.score.clips import Clip, by_speaker, corpus_clips, progress

UNITS = {
    "clips": "",
    "outside WER": "",
    "outside WER, 95 %": "",
    "our CER": "",
    "speaker similarity": "",
    "odd lengths": "",
    "real-time factor": "",
}
NOTE = (
    "The outside judge is PocketSphinx. Speaker similarity is the cosine, by Resemblyzer, to other recordings of the"
    " voice. A length is odd if it is over twice, or under half, what the voice's recordings of as many letters take."
)
PROMPT_UNITS = {
    "to the prompt's speaker": "",
    "without the prompt": "",
    "to the others": "",
    "to the nearest other": "",
    "to the default voice": "",
    "nearest is the prompt's": "",
}
PROMPT_SECONDS = 4.0
CLIPS_PER_SPEAKER = 8
ODD = 2.0


class SpeechJudges:
    """All that judges one utterance of a voice.

    Args:
        listener: Our recogniser.
        recordings: Of the voice that is aimed at, with transcripts; not those that are judged.
    """

    def __init__(self, listener: Listener, recordings: Sequence[Clip]) -> None:
        self._listener, self._outside, self._speakers = listener, OutsideRecognizer(), OutsideSpeakerEncoder()
        self._voice = speaker_centroid([self._speakers.embed(clip.wave, clip.sample_rate) for clip in recordings])
        letters = np.array([[1.0, len(clip.text)] for clip in recordings])
        self._pace = np.linalg.lstsq(letters, np.array([clip.seconds for clip in recordings]), rcond=None)[0]

    def judge(self, text: str, wave: Tensor, sample_rate: int, compute_seconds: float | None = None) -> Row:
        """What is heard in `wave` [1, N], which should say `text`: plain values, to be pooled by `system_row`.

        Args:
            text: What was to be said.
            wave: What was said.
            sample_rate: Its rate.
            compute_seconds: Time it took to make, if it was made.
        """
        seconds = wave.shape[-1] / sample_rate
        expected = max(0.1, float(self._pace @ [1.0, len(text)]))
        return {
            "text": text,
            "outside": self._outside.transcribe(wave, sample_rate),
            "ours": self._listener.transcribe(wave, sample_rate).text,
            "similarity": similarity(self._voice, self._speakers.embed(wave, sample_rate)),
            "odd": not expected / ODD <= seconds <= expected * ODD,
            "seconds": seconds,
            "compute_seconds": compute_seconds,
        }


def system_row(name: str, judged: Sequence[Row]) -> Row:
    """One row of the table from what `SpeechJudges.judge` gave for each utterance."""
    said = [row["text"] for row in judged]
    words = word_error_rate(said, [row["outside"] for row in judged])
    timed = [row for row in judged if row["compute_seconds"] is not None]
    compute = sum(row["compute_seconds"] for row in timed)
    return {
        "name": name,
        "clips": len(judged),
        "outside WER": words.value,
        "outside WER, 95 %": (words.low, words.high),
        "our CER": character_error_rate(said, [row["ours"] for row in judged]).value,
        "speaker similarity": mean(row["similarity"] for row in judged).value,
        "odd lengths": sum(row["odd"] for row in judged),
        "real-time factor": compute / sum(row["seconds"] for row in timed) if timed else None,
    }


def score_say(
    sentences: Sequence[str],
    models: Sequence[str] = ("voice-en",),
    corpus: str = "kathleen_en",
    data_root: str | None = None,
    recognizer: str = "recognizer-en",
    codec: str = "codec-24khz",
    limit: int | None = None,
    int8: bool = False,
) -> Table:
    """Score voices on sentences, beside the recordings of the voice and their resynthesis by the codec.

    Args:
        sentences: What to say; none should be in a training text.
        models: Names or folders of voice bundles. All speak in their default voice, the one of `corpus`.
        corpus: Recordings of that voice: `valid` is what similarity is measured to, `test` is judged.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        recognizer: The bundle of our recogniser.
        codec: The bundle of the codec the voices speak through.
        limit: At most so many recordings and sentences.
        int8: Whether to score every voice with 8-bit weights too.
    """
    speakers = {name: api.load(name, "acoustic") for name in models}
    if int8:
        speakers |= {f"{name}, 8-bit weights": _of_8_bits(name) for name in models}
    judges = SpeechJudges(api.load(recognizer, "recognizer"), corpus_clips(corpus, "valid", data_root))
    recordings = corpus_clips(corpus, "test", data_root, limit=limit)
    rows = [system_row("recordings", [judges.judge(*_heard(clip)) for clip in progress(recordings, "recordings")])]
    through = api.load(codec, "codec").codec
    resynthesised = [judges.judge(*_through(through, clip)) for clip in progress(recordings, "codec resynthesis")]
    rows.append(system_row("codec resynthesis", resynthesised))
    for name, speaker in speakers.items():
        judged = [judges.judge(*_spoken(speaker, text)) for text in progress(sentences[:limit], name)]
        rows.append(system_row(name, judged))
    return Table(f"{len(sentences[:limit])} unseen sentences", rows, UNITS, NOTE)


def score_prompts(
    sentences: Sequence[str],
    model: str = "voice-en",
    corpus: str = "nonnative_en",
    data_root: str | None = None,
    max_speakers: int = 6,
) -> Table:
    """Whether a few seconds of a speaker who was not in training change the voice to theirs.

    Args:
        sentences: What each voice says.
        model: Name or folder of a voice bundle.
        corpus: Its `test` split holds the speakers; one clip of each is the prompt, the others stand for the voice.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        max_speakers: At most so many speakers.

    Raises:
        AudiogenError: If fewer than two speakers have two clips.
    """
    speaker, encoder = api.load(model, "acoustic"), OutsideSpeakerEncoder()
    groups = by_speaker(corpus_clips(corpus, "test", data_root))
    groups = dict([(name, clips) for name, clips in groups.items() if len(clips) > 1][:max_speakers])
    if len(groups) < 2:
        raise AudiogenError(f"{corpus}: voices are compared, so two speakers with two test clips are needed")
    prompts = {name: min(clips, key=lambda clip: abs(clip.seconds - PROMPT_SECONDS)) for name, clips in groups.items()}
    voices = {
        name: speaker_centroid([encoder.embed(clip.wave, clip.sample_rate) for clip in _others(clips, prompts[name])])
        for name, clips in groups.items()
    }
    unprompted = list(_embedded(speaker, encoder, sentences, None))
    rows = [
        _prompt_row(name, list(_embedded(speaker, encoder, sentences, prompt)), voices, unprompted)
        for name, prompt in progress(list(prompts.items()), "speaking in other voices")
    ]
    note = f"Cosines by Resemblyzer, means over {len(sentences)} sentences; prompts of about {PROMPT_SECONDS:g} s."
    return Table(f"Voice prompts of speakers from {corpus}", rows, PROMPT_UNITS, note)


def _prompt_row(name: str, spoken: Sequence[Tensor], voices: dict[str, Tensor], unprompted: Sequence[Tensor]) -> Row:
    default = speaker_centroid(list(unprompted))
    own = [similarity(embedding, voices[name]) for embedding in spoken]
    rest = [voice for other, voice in voices.items() if other != name]
    others = [[similarity(embedding, voice) for voice in rest] for embedding in spoken]
    return {
        "name": name,
        "to the prompt's speaker": mean(own).value,
        "without the prompt": mean(similarity(embedding, voices[name]) for embedding in unprompted).value,
        "to the others": mean(sum(row) / len(row) for row in others).value,
        "to the nearest other": mean(map(max, others)).value,
        "to the default voice": mean(similarity(embedding, default) for embedding in spoken).value,
        "nearest is the prompt's": mean(float(a > max(row)) for a, row in zip(own, others, strict=True)).value,
    }


def _embedded(
    speaker: Speaker, encoder: OutsideSpeakerEncoder, sentences: Sequence[str], prompt: Clip | None
) -> Iterator[Tensor]:
    """The voice of each sentence, spoken like the prompt or in the default voice."""
    voice = speaker.voice_from_recording(prompt.wave, prompt.text, prompt.sample_rate) if prompt else None
    for text in sentences:
        speech = speaker.synthesize(text, voice)
        yield encoder.embed(speech.wave, speech.sample_rate)


def _others(clips: Sequence[Clip], prompt: Clip) -> list[Clip]:
    return [clip for clip in clips if clip is not prompt][:CLIPS_PER_SPEAKER]


def _heard(clip: Clip) -> tuple[str, Tensor, int, None]:
    return clip.text, clip.wave, clip.sample_rate, None


@torch.inference_mode()
def _through(codec: nn.Module, clip: Clip) -> tuple[str, Tensor, int, float]:
    rate = codec.spec.sample_rate
    wave = audio.resample(clip.wave, clip.sample_rate, rate)
    begun = time.perf_counter()
    decoded = codec.decode(codec.encode(wave[None]))[0, :, : wave.shape[-1]]
    return clip.text, decoded, rate, time.perf_counter() - begun


def _of_8_bits(model: str) -> Speaker:
    speaker = api.load(model, "acoustic")
    speaker.to_int8()
    return speaker


def _spoken(speaker: Speaker, text: str) -> tuple[str, Tensor, int, float]:
    begun = time.perf_counter()
    speech = speaker.synthesize(text)
    return text, speech.wave, speech.sample_rate, time.perf_counter() - begun
