"""Batches from cuts."""

import pytest
import torch

from audiogen.data.augment import Augment
from audiogen.data.collate import AcousticCollate, RecognitionCollate
from audiogen.data.corpora import load_cuts, read_wave
from audiogen.errors import AudiogenError
from audiogen.text.phones import INVENTORY

pytest.importorskip("lhotse")


@pytest.fixture
def cuts(root):
    return load_cuts("tones", root).subset(first=3)


def labels_of(cut):
    return list(range(1, int(cut.supervisions[0].id[1:]) + 2))


def test_recognition_batch(cuts):
    batch = RecognitionCollate(labels_of)(cuts, torch.Generator())
    assert batch.wave.shape == (3, 6400) and batch.lengths.tolist() == [4800, 5600, 6400]
    assert torch.equal(batch.wave[0, :4800], read_wave(cuts[0], 16_000)) and (batch.wave[0, 4800:] == 0).all()
    assert batch.labels.tolist() == [[1, 0, 0], [1, 2, 0], [1, 2, 3]] and batch.label_lengths.tolist() == [1, 2, 3]
    assert batch.frame_labels is None


def test_frame_labels_follow_the_speed(cuts):
    (vowel, stressed), blank = INVENTORY.encode(["ə", "ˈoʊ"]), len(INVENTORY)
    batch = RecognitionCollate(labels_of, inventory=INVENTORY)(cuts, torch.Generator())
    assert batch.frame_labels.shape == (3, 20)
    assert batch.frame_labels[0].tolist() == [blank] * 5 + [vowel] * 5 + [stressed] * 5 + [-1] * 5
    slow = RecognitionCollate(labels_of, Augment(speeds=(0.5,)), INVENTORY)(cuts, torch.Generator())
    assert slow.lengths.tolist() == [9600, 11200, 12800]
    assert slow.frame_labels[0, :30].tolist() == [blank] * 10 + [vowel] * 10 + [stressed] * 10


def test_acoustic_batch(cuts):
    def codes_of(cut):
        frames = 2 * round(cut.duration * 37.5)
        return torch.arange(8)[:, None] * 100 + torch.arange(frames)

    batch = AcousticCollate(codes_of, frame_rate=75)(cuts, torch.Generator())
    assert batch.codes.shape == (3, 8, 30) and batch.lengths.tolist() == [22, 26, 30]
    assert batch.codes[2, 3].tolist() == list(range(300, 330))
    assert INVENTORY.decode(batch.phones[1, : batch.phone_lengths[1]].tolist()) == ["sil", "ə", "ˈoʊ", "sil"]
    assert (batch.durations.sum(1) == batch.lengths // 2).all()
    with pytest.raises(AudiogenError, match="no multiple of merge=2"):
        AcousticCollate(lambda cut: codes_of(cut)[:, 1:], frame_rate=75)(cuts, torch.Generator())


def test_clips_without_timings(cuts):
    cuts[0].supervisions[0].alignment = None
    with pytest.raises(AudiogenError, match="tones-t00 has no phone timings"):
        AcousticCollate(lambda cut: torch.zeros(8, 20), frame_rate=75)(cuts, torch.Generator())
    batch = RecognitionCollate(labels_of, inventory=INVENTORY)(cuts, torch.Generator())
    assert (batch.frame_labels[0] == -1).all() and (batch.frame_labels[1] >= 0).any()


def test_clips_of_a_speaker_are_joined_in_pairs(cuts):
    def codes_of(cut):
        return torch.full((8, 2 * round(cut.duration * 37.5)), int(cut.id[-1]))

    for number, cut in enumerate(cuts):
        cut.supervisions[0].speaker = "ann" if number != 1 else "bob"
    alone = AcousticCollate(codes_of, frame_rate=75)(cuts, torch.Generator())
    batch = AcousticCollate(codes_of, frame_rate=75, join=1.0)(cuts, torch.Generator())
    first, last = alone.lengths[0], alone.lengths[2]
    assert batch.lengths.tolist() == [first + last, alone.lengths[1]]
    assert torch.equal(batch.codes[0], torch.cat([alone.codes[0, :, :first], alone.codes[2, :, :last]], 1))
    assert (batch.durations.sum(1) == batch.lengths // 2).all()
    assert batch.phone_lengths[0] == alone.phone_lengths[0] + alone.phone_lengths[2]
