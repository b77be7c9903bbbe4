"""How well a voice follows the timing of a recording by somebody else, and whose voice it stays."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch

from audiogen import api
from audiogen.errors import AudiogenError
from audiogen.infer.recordings import StreamDecoder
from audiogen.infer.script import Line
from audiogen.infer.speak import Speaker
from audiogen.infer.speech import Speech
from audiogen.metrics.judges import OutsideSpeakerEncoder, similarity, speaker_centroid
from audiogen.metrics.tables import Row, Table
from audiogen.score.clips import Clip, by_speaker, corpus_clips, progress
from audiogen.text.phones import SILENCE

UNITS = {
    "clips": "",
    "pointer, largest error": "ms",
    "by ear, median error": "ms",
    "by ear, 90 %": "ms",
    "to the voice": "",
    "to the reader": "",
}
CLIPS_PER_SPEAKER = 8

Followed = tuple[list[Line], Speech, list[Line]]
"""The lines a recording gave, the speech that followed them, and the lines heard in that."""


def score_prosody(
    model: str = "voice-en",
    corpus: str = "nonnative_en",
    data_root: str | None = None,
    limit: int | None = None,
) -> Table:
    """Say the texts of recordings with their timing, and compare the ends of all phones with those of the recording.

    Args:
        model: Name or folder of a voice bundle, which speaks in its default voice.
        corpus: Its `test` split is followed.
        data_root: Where the corpora lie; without it `$AUDIOGEN_DATA`.
        limit: At most so many recordings.

    Raises:
        AudiogenError: If no recording fits its text.
    """
    speaker, encoder = api.load(model, "acoustic"), OutsideSpeakerEncoder()
    decode = StreamDecoder(speaker.codec)
    prompt = speaker.voice_prompt()
    voice = encoder.embed(torch.cat([decode(prompt.codes), decode.rest()], -1), speaker.sample_rate)
    rows = []
    groups = by_speaker(corpus_clips(corpus, "test", data_root, limit=limit))
    for name, clips in progress(list(groups.items()), "following recordings"):
        followed = list(_followed(speaker, clips))
        if followed:
            reader = speaker_centroid([encoder.embed(c.wave, c.sample_rate) for c in clips[:CLIPS_PER_SPEAKER]])
            spoken = [encoder.embed(speech.wave, speech.sample_rate) for _, speech, _ in followed]
            rows.append({**_errors(name, followed), **_voices(spoken, voice, reader)})
    if not rows:
        raise AudiogenError(f"{corpus}: no recording fits its text; choose a corpus of clear speech")
    note = (
        f"A merged frame is {1000 / speaker.frame_rate:.1f} ms. By ear is where the aligner finds the phones again, in"
        " steps of 20 ms. Similarity is the cosine, by Resemblyzer, to the voice prompt and to the reader."
    )
    return Table(f"Following recordings from {corpus}", rows, UNITS, note)


def _followed(speaker: Speaker, clips: Sequence[Clip]) -> Iterator[Followed]:
    """What became of each clip that fits its text."""
    for clip in clips:
        try:
            lines = speaker.timed_like(clip.wave, clip.text, clip.sample_rate)
            speech = speaker.synthesize(lines)
            yield lines, speech, speaker.timed_like(speech.wave, lines, speech.sample_rate)
        except AudiogenError:
            continue


def _errors(name: str, followed: Sequence[Followed]) -> Row:
    by_pointer, by_ear = [], []
    for lines, speech, heard in followed:
        given = _ends(lines)
        by_pointer.append(np.abs(given - _ends(speech.lines)))
        by_ear.append(np.abs(given - _ends(heard)))
    pointer, ear = (1000 * np.concatenate(errors) for errors in (by_pointer, by_ear))
    return {
        "name": name,
        "clips": len(followed),
        "pointer, largest error": float(pointer.max()),
        "by ear, median error": float(np.median(ear)),
        "by ear, 90 %": float(np.percentile(ear, 90)),
    }


def _ends(lines: Sequence[Line]) -> np.ndarray:
    """When each phone but silence ends, in seconds."""
    phones = [phone for line in lines for phone in line.phones]
    ends = accumulate(seconds for line in lines for seconds in line.seconds)
    return np.array([end for phone, end in zip(phones, ends, strict=True) if phone != SILENCE])


def _voices(spoken: Sequence[torch.Tensor], voice: torch.Tensor, reader: torch.Tensor) -> Row:
    return {
        "to the voice": float(np.mean([similarity(embedding, voice) for embedding in spoken])),
        "to the reader": float(np.mean([similarity(embedding, reader) for embedding in spoken])),
    }
