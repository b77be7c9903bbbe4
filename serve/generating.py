"""Generated sound on request, at `POST /api/generate`.

The body is a JSON object that may hold `label` (a class, for a model that has any), `seconds`, `temperature`, `seed`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from audiogen.errors import AudiogenError, unknown_name
from audiogen.serve.sessions import Limits

if TYPE_CHECKING:
    from audiogen.infer.waveform import WaveformGenerator

SEEDS = range(2**31)


@dataclass(frozen=True)
class WaveformRequest:
    """What sound to make and how; see `WaveformGenerator.stream`."""

    label: str | None = None
    seconds: float = 2.0
    temperature: float = 1.0
    seed: int = 0


class WaveformMaker:
    """Makes the sound of a request's body."""

    def __init__(self, generator: "WaveformGenerator", limits: Limits) -> None:
        self._generator, self._limits = generator, limits

    def __call__(self, body: bytes) -> Iterator[Tensor]:
        """The sound in pieces; a wrong body raises an AudiogenError at once."""
        asked = parse_request(body, self._limits)
        return self._generator.stream(asked.seconds, asked.label, temperature=asked.temperature, seed=asked.seed)


def parse_request(body: bytes, limits: Limits) -> WaveformRequest:
    """The request in `body`.

    Raises:
        AudiogenError: If it is not JSON of the form the module's first lines give, or over a limit.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise AudiogenError("the request must be a JSON object of label, seconds, temperature and seed")
    for key in asked:
        if key not in WaveformRequest.__dataclass_fields__:
            raise unknown_name("key of the request:", key, WaveformRequest.__dataclass_fields__)
    request = WaveformRequest(**asked)
    if request.label is not None and not isinstance(request.label, str):
        raise AudiogenError(f'"label" must be the name of a class, got {request.label!r}')
    if not _is_number(request.seconds) or not 0 < request.seconds <= limits.generate_seconds:
        raise AudiogenError(
            f'"seconds" must be above 0 and at most {limits.generate_seconds:g}, got {request.seconds!r}'
        )
    if not _is_number(request.temperature):
        raise AudiogenError(f'"temperature" must be a number, got {request.temperature!r}')
    if isinstance(request.seed, bool) or not isinstance(request.seed, int) or request.seed not in SEEDS:
        raise AudiogenError(f'"seed" must be a whole number from 0 to {SEEDS[-1]}, got {request.seed!r}')
    return request


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
