"""Where one utterance ends and the next begins: by how long nobody has spoken, and whether anything was understood.

The rules are those that sherpa-onnx and Kaldi go by. Whether somebody speaks is told by loudness alone: louder than
what is there all the time.
"""

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

FRAME_SECONDS = 0.02
WINDOW, NEEDED = 10, 5
"""Of so many last frames, how many must be loud for a voice: 100 ms of 200."""
ABOVE_FLOOR, QUIETEST, FLOOR_RISE = 9.0, -60.0, 6.0
"""Decibels above the floor that are loud; below which nothing is; and how fast the floor rises, a second."""


@dataclass(frozen=True)
class EndpointRules:
    """When an utterance has ended, in seconds.

    Attributes:
        silence_before: Silence with nothing understood.
        silence_after: Silence after something was.
        longest: Length of an utterance, spoken or not.
    """

    silence_before: float = 2.4
    silence_after: float = 1.2
    longest: float = 20.0

    def ended(self, seconds: float, silence: float, understood: bool) -> bool:
        """Whether an utterance has ended that began `seconds` ago, after so much silence."""
        enough = self.silence_after if understood else self.silence_before
        return silence >= enough or seconds >= self.longest


class VoiceActivity:
    """Tells when somebody last spoke, of samples in parts of any length.

    The floor, the level of what is there all the time, falls at once and rises slowly: pauses between words set it.
    """

    def __init__(self, sample_rate: int) -> None:
        self._size, self._rest = round(FRAME_SECONDS * sample_rate), torch.zeros(0)
        self._floor, self._loud = QUIETEST, deque([False] * WINDOW, maxlen=WINDOW)
        self._frames = 0
        self.last_voice = 0.0

    def feed(self, wave: Tensor) -> None:
        """Hear the next samples [n]."""
        wave = torch.cat([self._rest, wave])
        whole = len(wave) // self._size * self._size
        self._rest = wave[whole:].clone()
        powers = wave[:whole].unflatten(0, (-1, self._size)).square().mean(1) if whole else torch.zeros(0)
        for power in powers.tolist():
            self._frame(10 * math.log10(power + 1e-12))

    def _frame(self, level: float) -> None:
        """One frame of a level in decibels of full scale."""
        self._frames += 1
        self._floor = min(max(level, QUIETEST), self._floor + FLOOR_RISE * FRAME_SECONDS)
        self._loud.append(level > max(self._floor, QUIETEST) + ABOVE_FLOOR)
        if self._loud[-1] and sum(self._loud) >= NEEDED:
            self.last_voice = self._frames * FRAME_SECONDS
