"""Pieces for the piano, made of recorded single notes or of tones: a corpus to learn long sound from.

Every bar has a chord, broken in the left hand, under a melody that steps along the scale. A piece is a function of its
seed alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiogen import audio
from audiogen.data.corpora import load_cuts, read_wave
from audiogen.errors import AudiogenError

MAJOR = (0, 2, 4, 5, 7, 9, 11)
PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (5, 3, 0, 4), (0, 1, 4, 0))  # steps of the scale
BEATS = 4
LOWEST, HIGHEST = 36, 88  # MIDI
NOTE_SECONDS, RELEASE_SECONDS = 2.5, 0.15
LEVEL = -20.0  # dBFS


@dataclass(frozen=True)
class Note:
    """A key struck: when and for how long, in seconds; its MIDI number; how hard, 0 to 1."""

    start: float
    length: float
    midi: int
    force: float


def recorded_notes(corpus: str, data_root: str, sample_rate: int) -> dict[int, Tensor]:
    """Single notes [N] of a corpus by their MIDI number, which its clips give as `midi`."""
    cuts = load_cuts(corpus, data_root, "train")
    if any(not isinstance(cut.custom.get("midi"), int) for cut in cuts):
        raise AudiogenError(f"{corpus} is no corpus of single notes; each clip needs its number as 'midi'")
    return {cut.custom["midi"]: read_wave(cut, sample_rate) for cut in cuts}


def tones(sample_rate: int) -> dict[int, Tensor]:
    """Tones [N] in place of recordings: stretched harmonics, the higher the weaker and the sooner gone."""
    time = torch.arange(round(NOTE_SECONDS * sample_rate)) / sample_rate
    notes = {}
    for midi in range(LOWEST, HIGHEST + 1, 3):
        partials = torch.arange(1, 13)[:, None]
        frequency = 440 * 2 ** ((midi - 69) / 12) * partials * (1 + 4e-4 * partials**2).sqrt()
        waves = torch.sin(2 * torch.pi * frequency * time) * (-(0.8 + 0.5 * partials) * time).exp() / partials**1.5
        notes[midi] = (waves * (frequency < sample_rate / 2)).sum(0)
    return notes


def play(notes: Mapping[int, Tensor], seed: int, seconds: float, sample_rate: int) -> Tensor:
    """A piece [N] of `seconds`, played with `notes`."""
    wave = torch.zeros(round(seconds * sample_rate))
    for note in compose(np.random.default_rng(seed), seconds):
        start, sound = round(note.start * sample_rate), _struck(notes, note, sample_rate)
        sound = sound[: len(wave) - start]
        wave[start : start + len(sound)] += sound
    return audio.at_level(wave[None], LEVEL)[0]


def compose(random: np.random.Generator, seconds: float) -> Iterator[Note]:
    """The notes of a piece."""
    beat = 60 / random.uniform(80, 140)
    key, chords = int(random.integers(48, 60)), PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    step, start, bar = 7, 0.0, 0
    while start < seconds:
        chord = chords[bar % len(chords)]
        for half in range(2 * BEATS):
            at = start + half * beat / 2
            if at >= seconds:
                return
            tone = (0, 4, 2, 4)[half % 4]  # root, fifth, third, fifth
            yield Note(at, beat, _pitch(key - 12, chord + tone), random.uniform(0.25, 0.45))
            if half % 2 == 0 and random.random() < 0.8:
                step = int(np.clip(step + random.integers(-2, 3), 3, 14))
                yield Note(at, beat * random.choice([1, 1, 2]), _pitch(key, step + 7), random.uniform(0.5, 1))
        start, bar = start + BEATS * beat, bar + 1


def _pitch(key: int, step: int) -> int:
    """The MIDI number of a step of the major scale on `key`."""
    octave, degree = divmod(step, len(MAJOR))
    return min(max(key + 12 * octave + MAJOR[degree], LOWEST), HIGHEST)


def _struck(notes: Mapping[int, Tensor], note: Note, sample_rate: int) -> Tensor:
    """The sound of a note: the nearest one there is, shifted to its pitch and damped when the key is let go."""
    nearest = min(notes, key=lambda midi: abs(midi - note.midi))
    sound = notes[nearest][: round(2 * NOTE_SECONDS * sample_rate)]
    faster = round(sample_rate * 2 ** ((note.midi - nearest) / 12))
    sound = audio.resample(sound[None], faster, sample_rate)[0][: round(NOTE_SECONDS * sample_rate)]
    held = torch.arange(len(sound)) / sample_rate - note.length
    return note.force * sound * (-held.clamp(min=0) / RELEASE_SECONDS).exp()
