"""Frames from timings, on random timings."""

import random
from itertools import pairwise

import pytest
import torch

from audiogen.data.alignment import durations, frame_labels, objection, tiled
from audiogen.errors import AudiogenError
from audiogen.text.phones import INVENTORY, SILENCE

RATE = 37.5


def random_timings(seed, shortest=0.0):
    draw = random.Random(seed)
    timings, position = [], 0.0
    for _ in range(draw.randint(1, 60)):
        end = position + shortest + draw.expovariate(12)
        timings.append((draw.choice(["ˈæ", "t", "s", SILENCE]), position, end))
        position = end
    return timings, position


@pytest.mark.parametrize("seed", range(200))
def test_durations_sum_and_no_phone_is_lost(seed):
    timings, end = random_timings(seed)
    draw = random.Random(seed)
    num_frames = max(len(timings), round(end * RATE) + draw.randint(-2, 2))
    counts = durations(timings, num_frames, RATE)
    assert sum(counts) == num_frames and min(counts) >= 1 and len(counts) == len(timings)


@pytest.mark.parametrize("seed", range(50))
def test_boundaries_do_not_drift(seed):
    timings, end = random_timings(seed, shortest=1.01 / RATE)
    counts = torch.tensor(durations(timings, round(end * RATE), RATE)).cumsum(0) / RATE
    assert (counts - torch.tensor([end for _, _, end in timings])).abs().max() <= 0.5 / RATE + 1e-6


def test_a_frame_is_borrowed_from_the_longest_neighbour():
    timings = [("s", 0.0, 0.2), ("t", 0.2, 0.2), ("ˈæ", 0.2, 0.5), (SILENCE, 0.5, 0.6)]
    assert durations(timings, 6, 10) == [2, 1, 2, 1]
    with pytest.raises(AudiogenError, match="4 phones do not fit into 3 frames"):
        durations(timings, 3, 10)


@pytest.mark.parametrize("seed", range(50))
def test_tiles_have_no_gaps(seed):
    timings, end = random_timings(seed)
    draw = random.Random(seed)
    kept = [timing for timing in timings if draw.random() < 0.7]
    tiles = tiled(kept, end + 0.3)
    assert tiles[0][0] == tiles[-1][0] == SILENCE and tiles[0][1] == 0 and tiles[-1][2] == end + 0.3
    assert all(a[2] == b[1] and not a[0] == b[0] == SILENCE for a, b in pairwise(tiles))
    spoken = [timing for timing in kept if timing[0] != SILENCE]
    assert [tile[0] for tile in tiles if tile[0] != SILENCE] == [symbol for symbol, _, _ in spoken]


def test_short_gaps_are_no_pauses():
    tiles = tiled([("s", 0.0, 0.1), ("t", 0.1000001, 0.2), ("ˈæ", 0.215, 0.3)], 0.3)
    assert tiles == [("sil", 0.0, 0.0), ("s", 0.0, 0.1), ("t", 0.1, 0.2), ("ˈæ", 0.2, 0.3), ("sil", 0.3, 0.3)]


def test_tiles_that_overlap():
    with pytest.raises(AudiogenError, match="overlaps"):
        tiled([("s", 0.0, 0.5), ("t", 0.3, 0.6)], 1.0)
    with pytest.raises(AudiogenError, match=r"leaves 1.000 s"):
        tiled([("s", 0.0, 1.5)], 1.0)


@pytest.mark.parametrize(
    "timings, reason",
    [
        ([("s", 0.0, 0.1), ("ˈæ", 0.1, 0.2)], None),
        ([("s", 0.0, 0.1), ("ˈæ", 0.1, 1.2)], "'ˈæ' lasts 1.1 s"),
        ([("s", 0.0, 0.1), ("spn", 0.1, 0.5)], "unknown"),
        ([("s", 0.0, 0.1), (SILENCE, 0.1, 4.0)], "pause lasts 3.9 s"),
        ([("s", 0.0, 0.01), ("t", 0.01, 0.02)], "100.0 phones a second"),
        ([(SILENCE, 0.0, 1.0)], "no phone"),
    ],
)
def test_objections(timings, reason):
    found = objection(timings)
    assert found is None if reason is None else reason in found


def test_frame_labels_name_the_middle_of_each_frame():
    labels = frame_labels([(SILENCE, 0.0, 0.05), ("s", 0.05, 0.089), ("spn", 0.089, 0.2)], 7, 50, INVENTORY)
    s, blank = INVENTORY.encode(["s"])[0], len(INVENTORY)
    assert labels.tolist() == [blank, blank, s, s, -1, -1, -1]
