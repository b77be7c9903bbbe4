"""Speech on request, at `POST /api/speak`.

The body is JSON: `text`; `speed` (1.25 is a quarter faster); `voice` (a name) or `prompt`: `{"samples": base64 of
16-bit mono samples, "sample_rate", "transcript", "consent": true}`. Samples come raw, so no decoder of ours ever opens
a stranger's file, and they are held in memory only.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.chorus import Chorus
from audiogen.serve.sessions import Limits

if TYPE_CHECKING:
    from audiogen.infer.speak import Speaker

RATES = range(8_000, 96_001)


@dataclass(frozen=True)
class Prompt:
    """A recording to speak like: wave [1, N], its rate, and what is said in it."""

    wave: Tensor
    sample_rate: int
    transcript: str


@dataclass(frozen=True)
class SpeechRequest:
    """What to say and how."""

    text: str
    voice: str | None = None
    prompt: Prompt | None = None
    speed: float = 1.0


class SpeechMaker:
    """Makes the speech of a request's body; all who are served speak in chorus."""

    def __init__(self, speaker: "Speaker", limits: Limits) -> None:
        self._speaker, self._chorus, self._limits = speaker, Chorus(speaker), limits

    def __call__(self, body: bytes) -> Iterator[Tensor]:
        """The speech in chunks; a wrong body raises an AudiogenError at once."""
        return self._chunks(parse_request(body, self._limits))

    def _chunks(self, asked: SpeechRequest) -> Iterator[Tensor]:
        voice = asked.voice
        if asked.prompt is not None:
            prompt = asked.prompt
            voice = self._speaker.voice_from_recording(prompt.wave, prompt.transcript, prompt.sample_rate)
        yield from self._chorus.stream(asked.text, voice, speed=asked.speed)


def parse_request(body: bytes, limits: Limits) -> SpeechRequest:
    """The request in `body`.

    Raises:
        AudiogenError: If it is not JSON of the form the module's first lines give, or over a limit.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise AudiogenError("the request must be a JSON object with the text to speak") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("text"), str):
        raise AudiogenError('the request must be a JSON object with "text", a string')
    text, voice, prompt = asked["text"], asked.get("voice"), asked.get("prompt")
    if len(text) > limits.text_characters:
        raise AudiogenError(f"the text has {len(text):,} characters; at most {limits.text_characters:,} are taken here")
    if voice is not None and not isinstance(voice, str):
        raise AudiogenError(f'"voice" must be the name of a voice, got {voice!r}')
    speed = asked.get("speed", 1.0)
    if isinstance(speed, bool) or not isinstance(speed, int | float):
        raise AudiogenError(f'"speed" must be a number, 1 for the usual pace, got {speed!r}')
    return SpeechRequest(text, voice, None if prompt is None else _prompt(prompt, limits), speed)


def _prompt(prompt: Any, limits: Limits) -> Prompt:
    if not isinstance(prompt, dict) or not isinstance(prompt.get("transcript"), str):
        raise AudiogenError('"prompt" must be an object with "samples", "sample_rate", "transcript" and "consent"')
    if prompt.get("consent") is not True:
        raise AudiogenError("confirm that you may use this voice; without that it is not used")
    if len(prompt["transcript"]) > limits.text_characters:
        raise AudiogenError(f"the prompt's transcript is longer than {limits.text_characters:,} characters")
    rate = prompt.get("sample_rate")
    if isinstance(rate, bool) or not isinstance(rate, int) or rate not in RATES:
        raise AudiogenError(f'"sample_rate" must be a whole number from 8,000 to 96,000, got {rate!r}')
    try:
        samples = np.frombuffer(base64.b64decode(prompt.get("samples"), validate=True), "<i2")
    except (binascii.Error, TypeError, ValueError):
        raise AudiogenError('"samples" must be 16-bit samples in base64') from None
    shortest, longest = limits.prompt_seconds
    if not shortest <= len(samples) / rate <= longest:
        seconds = len(samples) / rate
        raise AudiogenError(f"the recording is {seconds:.1f} s long; {shortest:g} to {longest:g} s are needed")
    return Prompt(torch.from_numpy(samples.astype(np.float32) / 32768)[None], rate, prompt["transcript"])
