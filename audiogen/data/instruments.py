"""Instruments for made-up music: sums of partials, plucked strings as sums of their modes, and drums.

Every sound is a function of its pitch, length and, for drums, a seed. Waves are float64 arrays [N] near full scale.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audiogen.errors import unknown_name

Wave = NDArray[np.float64]
RELEASE = 0.04  # seconds in which a sustained note dies away after its end


@dataclass(frozen=True)
class Sustained:
    """A note that holds: partials as (multiple of the pitch, amplitude), swelling in `attack` seconds.

    `decay` is the rate per second at which it dies away meanwhile, `vibrato` how far the pitch sways, in semitones.
    """

    partials: tuple[tuple[float, float], ...]
    attack: float
    decay: float = 0.0
    vibrato: float = 0.0

    def play(self, hertz: float, seconds: float, rate: int) -> Wave:
        """The note, with what sounds after its end."""
        time = np.arange(round((seconds + RELEASE) * rate)) / rate
        sway = self.vibrato * math.log(2) / 12 * np.sin(2 * np.pi * 5.5 * time)
        phase = 2 * np.pi * np.cumsum(hertz * np.exp(sway)) / rate
        audible = [(ratio, loudness) for ratio, loudness in self.partials if ratio * hertz < 0.45 * rate]
        wave = sum((loudness * np.sin(ratio * phase) for ratio, loudness in audible), np.zeros_like(time))
        envelope = np.minimum(1, time / self.attack) * np.exp(-self.decay * time)
        return wave * envelope * np.clip((seconds + RELEASE - time) / RELEASE, 0, 1)


@dataclass(frozen=True)
class Plucked:
    """A string plucked at the share `place` of its length: mode n sounds as sin(nπ place) / n and dies away with n².

    `ring` is the rate per second at which the first mode dies away at 220 Hz.
    """

    place: float
    ring: float

    def play(self, hertz: float, seconds: float, rate: int) -> Wave:
        """The note, with what rings on after its end."""
        time = np.arange(round((seconds + 4 * RELEASE) * rate)) / rate
        wave = np.zeros_like(time)
        for mode in range(1, 25):
            if mode * hertz < 0.45 * rate:
                damping = self.ring * (hertz / 220) ** 0.5 * (1 + 0.06 * mode**2)
                wave += (
                    math.sin(mode * math.pi * self.place)
                    / mode
                    * np.exp(-damping * time)
                    * np.sin(2 * np.pi * mode * hertz * time)
                )
        return wave * np.clip((time[-1] - time) / (4 * RELEASE), 0, 1)


INSTRUMENTS: dict[str, Sustained | Plucked] = {
    "flute": Sustained(((1, 1.0), (2, 0.25), (3, 0.08)), attack=0.05, vibrato=0.15),
    "clarinet": Sustained(((1, 1.0), (3, 0.6), (5, 0.35), (7, 0.2), (9, 0.1)), attack=0.03),
    "violin": Sustained(tuple((n, 0.9 / n) for n in range(1, 15)), attack=0.09, vibrato=0.25),
    "organ": Sustained(((0.5, 0.4), (1, 1.0), (2, 0.7), (3, 0.4), (4, 0.5), (8, 0.3)), attack=0.02),
    "bells": Sustained(((1, 1.0), (2.76, 0.6), (5.4, 0.35), (8.93, 0.2)), attack=0.002, decay=3.0),
    "guitar": Plucked(place=0.18, ring=2.5),
    "harp": Plucked(place=0.5, ring=1.6),
    "bass": Plucked(place=0.3, ring=1.8),
}
DRUMS = ("kick", "snare", "hat")


def play(instrument: str, hertz: float, seconds: float, rate: int) -> Wave:
    """A note of an instrument, its loudest sample 1."""
    if instrument not in INSTRUMENTS:
        raise unknown_name("instrument", instrument, INSTRUMENTS)
    wave = INSTRUMENTS[instrument].play(hertz, seconds, rate)
    return wave / max(1e-9, np.abs(wave).max())


def strike(drum: str, rate: int, seed: int) -> Wave:
    """A stroke of a drum, its loudest sample 1."""
    random = np.random.default_rng(seed)
    time = np.arange(round(0.25 * rate)) / rate
    noise = random.standard_normal(len(time))
    if drum == "kick":
        wave = np.sin(2 * np.pi * (45 * time + 75 / 30 * (1 - np.exp(-30 * time)))) * np.exp(-14 * time)
    elif drum == "snare":
        wave = 0.5 * np.sin(2 * np.pi * 185 * time) * np.exp(-25 * time) + 0.4 * noise * np.exp(-18 * time)
    elif drum == "hat":
        wave = np.diff(noise, prepend=0.0) * np.exp(-60 * time)
    else:
        raise unknown_name("drum", drum, DRUMS)
    return wave / np.abs(wave).max()
