"""Judges from outside: a recogniser and a speaker encoder that had no part in making what they judge.

Both come with the extra `score`, hold their weights in their wheels and work offline. Waves are float32 [1, N].
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from audiogen import audio
from audiogen.extras import require

SAMPLE_RATE = 16_000
LEVEL = -23.0
"""RMS in dBFS that every wave is brought to before it is judged: some recordings are very quiet."""


class OutsideRecognizer:
    """PocketSphinx with the general US English model of its wheel: weak, but independent of ours.

    A transcript does not depend on what was judged before: the front end starts afresh for each wave.
    """

    name = "pocketsphinx"

    def __init__(self) -> None:
        pocketsphinx = require("pocketsphinx", "score")
        self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, cmn="batch", loglevel="FATAL")

    def transcribe(self, wave: Tensor, sample_rate: int) -> str:
        """The words heard in `wave` [1, N], or `""`."""
        samples = (_judged(wave, sample_rate) * 32767).astype(np.int16)
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


class OutsideSpeakerEncoder:
    """Resemblyzer: a voice as a direction in 256 dimensions (GE2E, arXiv 1710.10467)."""

    name = "resemblyzer"

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._package = require("resemblyzer", "score")
        self._encoder = self._package.VoiceEncoder("cpu", verbose=False)

    def embed(self, wave: Tensor, sample_rate: int) -> Tensor:
        """The voice of `wave` [1, N] as a unit vector [256]; pauses are left out."""
        samples = _judged(wave, sample_rate)
        voiced = self._package.preprocess_wav(samples)
        return torch.from_numpy(self._encoder.embed_utterance(voiced if len(voiced) else samples))


def speaker_centroid(embeddings: Sequence[Tensor]) -> Tensor:
    """One unit vector [D] for a speaker from those of several utterances."""
    return torch.nn.functional.normalize(torch.stack(list(embeddings)).mean(0), dim=0)


def similarity(first: Tensor, second: Tensor) -> float:
    """Cosine between two voices [D]: 1 is the same voice; different speakers of one sex are often near 0.6."""
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def _judged(wave: Tensor, sample_rate: int) -> np.ndarray:
    """`wave` [1, N] as samples [N] at the judges' rate and level."""
    samples = audio.resample(wave, sample_rate, SAMPLE_RATE)[0].numpy()
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    gain = 10 ** (LEVEL / 20) / level if level > 0 else 1.0
    return np.clip(samples * gain, -1, 1).astype(np.float32)
