"""Made-up music: the same for the same seed, and what its captions say is what is heard."""

import numpy as np
import pytest
import torch

from audiogen.data.instruments import DRUMS, INSTRUMENTS, play, strike
from audiogen.data.music import FASTEST, SLOWEST, TONICS, MusicConfig, draw_piece, render, split_of
from audiogen.errors import AudiogenError
from audiogen.metrics import music

RATE, PIECES = 16_000, 12
CONFIG = MusicConfig(seconds=8.0, sample_rate=RATE)


@pytest.fixture(scope="module")
def clips():
    pieces = [draw_piece(CONFIG, number) for number in range(PIECES)]
    return [(piece, caption, render(notes, 8.0, RATE)) for piece, caption, notes in pieces]


def test_tempo_is_heard(clips) -> None:
    found = [music.tempo(wave, RATE, SLOWEST, FASTEST) / piece.tempo for piece, _, wave in clips]
    assert sum(abs(ratio - 1) < 0.04 for ratio in found) >= 0.9 * PIECES


def test_key_is_heard(clips) -> None:
    found = [music.key(wave, RATE) for _, _, wave in clips]
    right = [f"{TONICS[tonic]} {mode}" == piece.key for (tonic, mode), (piece, _, _) in zip(found, clips, strict=True)]
    assert sum(right) >= 0.7 * PIECES


def test_captions_are_true(clips) -> None:
    for piece, caption, wave in clips:
        assert piece.melody in caption and ("and drums" in caption) == piece.drums
        assert ("waltz" in caption) == (piece.metre == 3)
        assert " bpm" not in caption or f"at {piece.tempo} bpm" in caption
        assert wave.shape == (1, 8 * RATE) and float(wave.abs().max()) == pytest.approx(0.8)


def test_a_piece_is_a_function_of_seed_and_number() -> None:
    assert draw_piece(CONFIG, 3) == draw_piece(CONFIG, 3)
    assert draw_piece(CONFIG, 3)[2] != draw_piece(CONFIG, 4)[2]
    assert draw_piece(CONFIG, 3)[2] != draw_piece(MusicConfig(seed=1, seconds=8.0), 3)[2]
    assert [split_of(number) for number in (0, 1, 2, 20)] == ["test", "valid", "train", "test"]


@pytest.mark.parametrize("name", set(INSTRUMENTS) - {"bells"})
def test_instruments_are_in_tune(name: str) -> None:
    wave = play(name, 440.0, 1.0, RATE)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 17))
    hertz = np.fft.rfftfreq(1 << 17, 1 / RATE)
    near = (hertz > 400) & (hertz < 480)
    assert abs(hertz[near][spectrum[near].argmax()] - 440) < 1.5
    assert np.abs(wave).max() == pytest.approx(1.0)


def test_drums_are_struck_and_die_away() -> None:
    for drum in DRUMS:
        wave = strike(drum, RATE, seed=0)
        assert np.square(wave[: len(wave) // 4]).sum() > 5 * np.square(wave[len(wave) // 2 :]).sum()
    with pytest.raises(AudiogenError, match="did you mean 'snare'"):
        strike("snares", RATE, seed=0)


def test_a_click_track_has_its_tempo_and_a_scale_its_key() -> None:
    wave = torch.zeros(1, 8 * RATE)
    wave[0, :: round(0.6 * RATE)] = 1.0
    assert music.tempo(wave, RATE, 70, 139) == pytest.approx(100, rel=0.01)
    time = torch.arange(RATE // 2) / RATE
    notes = [50, 54, 57, 62, 55, 59, 57, 61, 50]  # D major, its triads
    tones = torch.cat([torch.sin(2 * torch.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in notes])
    assert music.key(tones[None], RATE) == (2, "major")
