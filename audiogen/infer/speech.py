"""How to speak, and what was said."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audiogen.errors import AudiogenError
from audiogen.infer.sampling import Sampler
from audiogen.infer.script import Line, TimedPhone
from audiogen.models.valle_r import GenerateOptions


@dataclass(frozen=True)
class SpeakOptions:
    """How to speak.

    Attributes:
        temperature: Chance in the sound; 0 always takes the likeliest code.
        top_p: Keeps the likeliest codes that together reach this probability.
        top_k: Keeps this many codes; 0 keeps all.
        pointer_temperature: Chance in how long phones last.
        speed: Above 1 speaks faster: at 1.25 everything but durations that were given takes 4/5 of the time. A sentence
            is then planned before it is spoken, so its first sound comes later.
        pause: Seconds to pause at every break and after every sentence; by default as the voice likes.
        min_dwell: The shortest a phone may last, in frames of the first codebook, at speed 1.
        max_dwell: The longest.
    """

    temperature: float = 0.4
    top_p: float = 0.9
    top_k: int = 0
    pointer_temperature: float = 0.3
    speed: float = 1.0
    pause: float | None = None
    min_dwell: int = 1
    max_dwell: int = 12

    def __post_init__(self) -> None:
        if not 0.25 <= self.speed <= 4:
            raise AudiogenError(f"speed is {self.speed}; it must be between 0.25 and 4")
        if self.pause is not None and not 0 < self.pause <= 10:
            raise AudiogenError(f"pause is {self.pause} s; it must be above 0 and at most 10")
        if self.pointer_temperature < 0:
            raise AudiogenError(f"pointer_temperature is {self.pointer_temperature}; it must be at least 0")
        if not 1 <= self.min_dwell <= self.max_dwell:
            raise AudiogenError(
                f"min_dwell {self.min_dwell} and max_dwell {self.max_dwell} must be 1 or more, in order"
            )

    def generate(self) -> GenerateOptions:
        """The same for the model."""
        sampler = Sampler(self.temperature, self.top_p, self.top_k)
        return GenerateOptions(sampler.pick, self.pointer_temperature, self.min_dwell, self.max_dwell)


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        wave: [1, N].
        sample_rate: Its rate.
        codes: [K, T], what the codec made the wave of.
        phones: Phones with times in seconds, none from a model without a pointer.
        lines: The same as lines that can be said again just so, in another voice or after a change.
    """

    wave: Tensor
    sample_rate: int
    codes: Tensor
    phones: list[TimedPhone]
    lines: list[Line]


def joined(parts: Sequence[Speech]) -> Speech:
    """Speech that was made sentence by sentence, as one."""
    wave, codes = (torch.cat([getattr(part, name) for part in parts], -1) for name in ("wave", "codes"))
    phones, lines = ([item for part in parts for item in getattr(part, name)] for name in ("phones", "lines"))
    return Speech(wave, parts[0].sample_rate, codes, phones, lines)
