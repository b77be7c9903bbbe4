"""The order of batches: whole epochs, the same again, and the same after a resume."""

from itertools import islice

import pytest
import torch

from audiogen.data.batches import BatchStream
from audiogen.data.corpora import load_cuts
from audiogen.errors import AudiogenError

pytest.importorskip("lhotse")


def collate(cuts, generator):
    return [cut.id for cut in cuts], torch.rand(1, generator=generator).item()


def stream(root, **options):
    return BatchStream(load_cuts("tones", root), collate, **{"max_duration": 1.6, "num_buckets": 3, **options})


def test_resume_sees_the_same_batches(root):
    whole = list(islice(stream(root, seed=5).batches(), 40))
    for start in (1, 7, 23):
        assert list(islice(stream(root, seed=5).batches(start), 40 - start)) == whole[start:]


def test_skipping_collates_nothing(root):
    seen = []
    batches = BatchStream(load_cuts("tones", root), lambda cuts, generator: seen.append(cuts), 1.6).batches(30)
    next(batches)
    assert len(seen) == 1


def test_an_epoch_holds_every_clip_once_and_epochs_differ(root):
    batches = [ids for ids, _ in stream(root).epoch()]
    assert sorted(i for ids in batches for i in ids) == sorted(load_cuts("tones", root).ids)
    both = [ids for ids, _ in islice(stream(root).batches(), 2 * len(batches))]
    assert both[: len(batches)] == batches
    assert both[len(batches) :] != batches


def test_seeds_differ_and_batches_fit(root):
    durations = {cut.id: cut.duration for cut in load_cuts("tones", root)}
    first, second = ([ids for ids, _ in islice(stream(root, seed=s).batches(), 20)] for s in (1, 2))
    assert first != second
    assert all(max(durations[i] for i in ids) * len(ids) <= 1.6 for ids in first)


def test_too_short_a_batch(root):
    with pytest.raises(AudiogenError, match="must hold the longest clip"):
        stream(root, max_duration=0.2)
