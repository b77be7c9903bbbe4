"""Generated sound on request: of a waveform model at `POST /api/generate`, from a caption at `POST /api/sound`.

The body is a JSON object that may hold `seconds` and `seed`; the first's also `label` (a class, for a model that has
any) and `temperature`, the second's `guidance` and, as it must, `caption`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from audiogen.errors import AudiogenError, unknown_name
from audiogen.serve.sessions import Limits
from audiogen.text.captions import caption_words

if TYPE_CHECKING:
    from audiogen.infer.sound import SoundGenerator
    from audiogen.infer.waveform import WaveformGenerator

SEEDS = range(2**31)


@dataclass(frozen=True)
class WaveformRequest:
    """What sound to make and how; see `WaveformGenerator.stream`."""

    label: str | None = None
    seconds: float = 2.0
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class CaptionRequest:
    """What sound to make from words and how; see `SoundGenerator.stream`."""

    caption: str = ""
    seconds: float = 5.0
    guidance: float | None = None
    seed: int = 0


class WaveformMaker:
    """Makes the sound of a request's body."""

    def __init__(self, generator: "WaveformGenerator", limits: Limits) -> None:
        self._generator, self._limits = generator, limits

    def __call__(self, body: bytes) -> Iterator[Tensor]:
        """The sound in pieces; a wrong body raises an AudiogenError at once."""
        asked = parse_waveform_request(body, self._limits)
        return self._generator.stream(asked.seconds, asked.label, temperature=asked.temperature, seed=asked.seed)


class CaptionMaker:
    """Makes the sound that a request's caption describes, in one channel."""

    def __init__(self, generator: "SoundGenerator", limits: Limits) -> None:
        self._generator, self._limits = generator, limits

    def __call__(self, body: bytes) -> Iterator[Tensor]:
        """The sound in pieces; a wrong body raises an AudiogenError at once."""
        asked = parse_caption_request(body, self._limits)
        options = self._generator.options.changed(guidance=asked.guidance)
        pieces = self._generator.stream(asked.caption, asked.seconds, options, asked.seed)
        return (piece.mean(0, keepdim=True) for piece in pieces)


def parse_waveform_request(body: bytes, limits: Limits) -> WaveformRequest:
    """The request in `body`.

    Raises:
        AudiogenError: If it is not JSON of the form the module's first lines give, or over a limit.
    """
    request = WaveformRequest(**_fields(body, WaveformRequest))
    if request.label is not None and not isinstance(request.label, str):
        raise AudiogenError(f'"label" must be the name of a class, got {request.label!r}')
    if not _is_number(request.temperature):
        raise AudiogenError(f'"temperature" must be a number, got {request.temperature!r}')
    _check_length_and_seed(request, limits)
    return request


def parse_caption_request(body: bytes, limits: Limits) -> CaptionRequest:
    """The same for sound from a caption."""
    request = CaptionRequest(**_fields(body, CaptionRequest))
    if not isinstance(request.caption, str):
        raise AudiogenError(f'"caption" must be a text, got {request.caption!r}')
    if len(request.caption) > limits.text_characters:
        length, most = len(request.caption), limits.text_characters
        raise AudiogenError(f"the caption has {length:,} characters; at most {most:,} are taken here")
    caption_words(request.caption)
    if request.guidance is not None and not _is_number(request.guidance):
        raise AudiogenError(f'"guidance" must be a number, got {request.guidance!r}')
    _check_length_and_seed(request, limits)
    return request


def _fields(body: bytes, form: type[WaveformRequest] | type[CaptionRequest]) -> dict[str, Any]:
    """What the JSON object in `body` holds, all of it fields of `form`."""
    fields = form.__dataclass_fields__
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise AudiogenError(f"the request must be a JSON object of {', '.join(fields)}")
    for key in asked:
        if key not in fields:
            raise unknown_name("key of the request:", key, fields)
    return asked


def _check_length_and_seed(request: WaveformRequest | CaptionRequest, limits: Limits) -> None:
    if not _is_number(request.seconds) or not 0 < request.seconds <= limits.generate_seconds:
        raise AudiogenError(
            f'"seconds" must be above 0 and at most {limits.generate_seconds:g}, got {request.seconds!r}'
        )
    if isinstance(request.seed, bool) or not isinstance(request.seed, int) or request.seed not in SEEDS:
        raise AudiogenError(f'"seed" must be a whole number from 0 to {SEEDS[-1]}, got {request.seed!r}')


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
