"""The cache of decoded sound and the stream of segments."""

from itertools import islice

import pytest
import torch

from audiogen import audio
from audiogen.data import segments
from audiogen.data.corpora import load_cuts, read_wave
from audiogen.data.segments import SegmentCache, SegmentStream, build_cache
from audiogen.errors import AudiogenError

pytest.importorskip("lhotse")


@pytest.fixture
def cuts(root):
    return list(load_cuts("tones", root))


@pytest.fixture
def cache(cuts, tmp_path):
    return build_cache(tmp_path / "cache", {"low": cuts[:4], "high": cuts[4:]}, 24_000)


def test_cache_holds_the_clips(cuts, cache):
    assert cache.groups["low"].ids == [cut.id for cut in cuts[:4]]
    cached = torch.from_numpy(cache.groups["low"].segment(2, 0, 9600)) / 32767
    assert torch.allclose(cached, read_wave(cuts[2], 24_000), atol=1e-4)
    assert cache.hours("low") * 3600 == pytest.approx(0.3 + 0.35 + 0.4 + 0.45)


def test_a_killed_build_goes_on(cuts, tmp_path, monkeypatch):
    groups = {"all": cuts}
    whole = build_cache(tmp_path / "whole", groups, 16_000)
    decoded = []

    def interrupted(cut, sample_rate):
        decoded.append(cut.id)
        if len(decoded) == 4:
            raise KeyboardInterrupt
        return read_wave(cut, sample_rate)

    monkeypatch.setattr(segments, "read_wave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_cache(tmp_path / "cache", groups, 16_000)
    for torn in ("all.pcm.partial", "all.jsonl.partial"):
        with open(tmp_path / "cache" / torn, "ab") as file:
            file.write(b'{"id')
    resumed = build_cache(tmp_path / "cache", groups, 16_000)
    assert decoded[4:] == [cut.id for cut in cuts[3:]]
    assert (resumed.groups["all"].samples == whole.groups["all"].samples).all()
    build_cache(tmp_path / "cache", groups, 16_000)
    assert len(decoded) == len(cuts) + 1


def test_batches_depend_on_seed_and_step_alone(cache):
    stream = SegmentStream(cache, 3, 0.2, seed=1)
    whole = list(islice(stream.batches(), 6))
    assert whole[0].shape == (3, 1, 4800) and whole[0].dtype == torch.float32
    resumed = list(islice(SegmentStream(cache, 3, 0.2, seed=1).batches(4), 2))
    assert all(torch.equal(a, b) for a, b in zip(resumed, whole[4:], strict=True))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], SegmentStream(cache, 3, 0.2, seed=2).batch(0))


def test_short_clips_lie_in_silence_and_nothing_clips(cache):
    batch = SegmentStream(cache, 8, 2.0, weights={"low": 1.0}, gain_db=(40.0, 40.0)).batch(0)
    assert batch.abs().amax() <= 1
    sounding = (batch[:, 0].abs() > 1e-3).sum(-1) / 24_000
    assert ((sounding > 0.25) & (sounding < 0.5)).all()


def test_weights_choose_the_groups(root, cuts, tmp_path):
    audio.write(root / "tones/audio/t00.flac", torch.zeros(4800), 16_000)
    cache = build_cache(tmp_path / "cache", {"silence": cuts[:1], "tones": cuts[4:]}, 16_000)
    batch = SegmentStream(cache, 400, 0.01, weights={"silence": 3.0, "tones": 1.0}).batch(0)
    assert 0.65 < (batch.abs().amax((1, 2)) == 0).float().mean() < 0.85
    by_duration = SegmentStream(cache, 400, 0.01).batch(0)
    assert 0.02 < (by_duration.abs().amax((1, 2)) == 0).float().mean() < 0.15
    with pytest.raises(AudiogenError, match="unknown group of the sound cache 'tone'"):
        SegmentStream(cache, 1, 1.0, weights={"tone": 1.0})
    with pytest.raises(AudiogenError, match="must be positive"):
        SegmentStream(cache, 1, 1.0, weights={"tones": 0.0})


def test_a_folder_with_another_cache(cuts, cache, tmp_path):
    with pytest.raises(AudiogenError, match="at 24000 Hz, not 16000"):
        build_cache(tmp_path / "cache", {"low": cuts[:4]}, 16_000)
    with pytest.raises(AudiogenError, match="other clips in group 'low'"):
        build_cache(tmp_path / "cache", {"low": cuts[:3]}, 24_000)
    with pytest.raises(AudiogenError, match="holds no cache"):
        SegmentCache.open(tmp_path)
