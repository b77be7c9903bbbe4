"""Made-up music with captions that are true: each piece is a function of a seed and its number alone.

A piece has a key, a tempo, a metre, chords, a melody that moves in one direction or back and forth, an instrument for
it, one for the chords, a bass, and perhaps drums. The tempi lie within one octave, so that a measured tempo has one
reading.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audiogen.data.instruments import play, strike

TONICS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {
    "major": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4)),
    "minor": ((0, 3, 4, 0), (0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 0, 4)),
}
RHYTHMS = {
    3: ((1, 1, 1), (2, 1), (1, 0.5, 0.5, 1), (1.5, 0.5, 1)),
    4: ((1, 1, 1, 1), (2, 1, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (1, 1, 0.5, 0.5, 1)),
}
CONTOURS = {
    "rising": lambda done: done,
    "falling": lambda done: 1 - done,
    "arching": lambda done: 1 - abs(2 * done - 1),
    "wavy": lambda done: 0.5 + 0.5 * np.sin(4 * np.pi * done),
}
MELODIES = ("flute", "clarinet", "violin", "bells", "guitar")
CHORDS = ("organ", "harp", "guitar")
SLOWEST, FASTEST = 72, 140  # beats a minute
SLOW, FAST = 90, 116
LOW, REACH = 67, 14  # a melody's lowest note and its height, in semitones of MIDI
VALID_OF, TEST_OF = 1, 0  # of each twenty pieces, those of this remainder


@dataclass(frozen=True)
class MusicConfig:
    """What decides a made-up corpus.

    Attributes:
        pieces: How many; nine in ten are for training.
        seconds: Length of each.
        sample_rate: Of the files.
        seed: Another number, other pieces.
    """

    pieces: int = 2000
    seconds: float = 10.0
    sample_rate: int = 24_000
    seed: int = 0


@dataclass(frozen=True)
class Note:
    """One sound: an instrument or drum, pitch in semitones of MIDI, seconds from the start, length, loudness."""

    instrument: str
    pitch: int
    start: float
    seconds: float
    loudness: float


@dataclass(frozen=True)
class Piece:
    """What is known of a piece before a note of it is written."""

    tonic: int
    mode: str
    tempo: int
    metre: int
    progression: tuple[int, ...]
    contour: str
    melody: str
    chords: str
    drums: bool

    @property
    def key(self) -> str:
        """E.g. `E flat minor`."""
        return f"{TONICS[self.tonic]} {self.mode}"

    @property
    def pace(self) -> str:
        """`slow`, `medium` or `fast`."""
        return "slow" if self.tempo < SLOW else "fast" if self.tempo >= FAST else "medium"

    def pitch(self, degree: int) -> int:
        """Semitones above the tonic of a degree of the scale, 0 being the tonic; 7 is an octave up."""
        octave, step = divmod(degree, 7)
        return 12 * octave + SCALES[self.mode][step]

    def described(self) -> dict[str, Any]:
        """What a manifest says of it, for measures to be compared with."""
        names = ("tempo", "metre", "contour", "melody", "chords", "drums")
        return {"key": self.key, **{name: getattr(self, name) for name in names}}


def draw_piece(config: MusicConfig, number: int) -> tuple[Piece, str, list[Note]]:
    """The piece of that number, a caption for it and its notes."""
    random = np.random.default_rng([config.seed, number])
    mode = str(random.choice(["major", "minor"]))
    melody = str(random.choice(MELODIES))
    piece = Piece(
        tonic=int(random.integers(12)),
        mode=mode,
        tempo=2 * int(random.integers(SLOWEST // 2, FASTEST // 2)),
        metre=int(random.choice([3, 4])),
        progression=PROGRESSIONS[mode][random.integers(len(PROGRESSIONS[mode]))],
        contour=str(random.choice([*CONTOURS])),
        melody=melody,
        chords=str(random.choice([name for name in CHORDS if name != melody])),
        drums=bool(random.random() < 0.5),
    )
    return piece, _caption(piece, random), _notes(piece, config.seconds, random)


def render(notes: list[Note], seconds: float, sample_rate: int) -> Tensor:
    """The sound of some notes, float32 [1, N], its loudest sample 0.8."""
    wave = np.zeros(round((seconds + 1) * sample_rate) + sample_rate)
    for number, note in enumerate(notes):
        if note.instrument in ("kick", "snare", "hat"):
            sound = strike(note.instrument, sample_rate, number)
        else:
            sound = play(note.instrument, 440 * 2 ** ((note.pitch - 69) / 12), note.seconds, sample_rate)
        start = round(note.start * sample_rate)
        wave[start : start + len(sound)] += note.loudness * sound[: len(wave) - start]
    wave = wave[: round(seconds * sample_rate)]
    return torch.from_numpy(0.8 * wave / max(1e-9, np.abs(wave).max())).float()[None]


def split_of(number: int) -> str:
    """Where a piece goes."""
    return {VALID_OF: "valid", TEST_OF: "test"}.get(number % 20, "train")


def _notes(piece: Piece, seconds: float, random: np.random.Generator) -> list[Note]:
    """Bar after bar until the end."""
    beat = 60 / piece.tempo
    bars = int(np.ceil(seconds / (beat * piece.metre)))
    notes: list[Note] = []
    for bar in range(bars):
        start, degree = bar * piece.metre * beat, piece.progression[bar % len(piece.progression)]
        notes += _accompaniment(piece, degree, start, beat)
        rhythm, offset = RHYTHMS[piece.metre][random.integers(len(RHYTHMS[piece.metre]))], 0.0
        for length in rhythm:
            done = min(1.0, (start + offset * beat) / seconds)
            pitch = _melody_pitch(piece, degree, done, offset == int(offset), random)
            notes.append(Note(piece.melody, pitch, start + offset * beat, 0.9 * length * beat, 1.0))
            offset += length
    return [note for note in notes if note.start < seconds]


def _accompaniment(piece: Piece, degree: int, start: float, beat: float) -> list[Note]:
    """Bass, chords and drums of a bar on a degree of the scale."""
    root, notes = 36 + piece.tonic + piece.pitch(degree), []
    held = piece.chords == "organ"
    for count in range(piece.metre):
        time = start + count * beat
        notes.append(Note("bass", root if root < 48 else root - 12, time, 0.9 * beat, 0.9 if count == 0 else 0.6))
        if count == 0 or not held:
            length = 0.95 * beat * (piece.metre if held else 1)
            chord = [48 + piece.tonic + piece.pitch(degree + third) for third in (0, 2, 4)]
            notes += [Note(piece.chords, pitch, time, length, 0.3) for pitch in chord]
        if piece.drums:
            backbeat = count in ((1, 3) if piece.metre == 4 else (1, 2))
            notes.append(Note("snare" if backbeat else "kick", 0, time, 0.0, 0.5 if backbeat else 0.9))
            notes += [Note("hat", 0, time + part * beat, 0.0, 0.15) for part in (0, 0.5)]
    return notes


def _melody_pitch(piece: Piece, degree: int, done: float, on_beat: bool, random: np.random.Generator) -> int:
    """The note nearest to where the contour leads: of the chord on a beat, else of the scale."""
    wished = LOW + REACH * CONTOURS[piece.contour](done) + random.normal(0, 1.5)
    degrees = (
        [degree + third + octave for third in (0, 2, 4) for octave in range(-7, 28, 7)] if on_beat else range(-7, 28)
    )
    pitches = [60 + piece.tonic + piece.pitch(each) for each in degrees]
    return min(pitches, key=lambda pitch: abs(pitch - wished))


def _caption(piece: Piece, random: np.random.Generator) -> str:
    """Words for a piece: always its melody's instrument, its pace and its drums, the rest now and then."""
    pace = {"slow": ["slow", "calm"], "medium": ["medium-paced", "walking"], "fast": ["fast", "lively"]}[piece.pace]
    kind = "waltz" if piece.metre == 3 else str(random.choice(["piece", "tune"]))
    words = [f"a {random.choice(pace)} {kind}"]
    if random.random() < 0.8:
        words.append(f"in {piece.key}")
    if random.random() < 0.7:
        words.append(f"at {piece.tempo} bpm")
    line = f"with a {piece.contour} {piece.melody} melody" if random.random() < 0.6 else f"with a {piece.melody} melody"
    words.append(line)
    if random.random() < 0.8:
        words.append(f"over {piece.chords} chords")
    words.append("and drums" if piece.drums else "without drums")
    return " ".join(words)
