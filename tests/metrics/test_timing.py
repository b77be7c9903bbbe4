import time

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.metrics import timing


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_stream_is_timed_chunk_by_chunk():
    def stream():
        for work in (0.02, 0.002, 0.002):
            busy(work)
            yield work

    timed = timing.time_stream(stream())
    assert len(timed.chunks) == 3
    assert timed.first == timed.chunks[0] >= 0.02
    assert timed.total >= sum(timed.chunks)


def test_an_empty_stream_has_no_latencies():
    with pytest.raises(AudiogenError, match="no chunk"):
        timing.latencies([timing.time_stream([])])


def test_the_ratio_is_how_much_longer_the_second_takes():
    result = timing.compare(lambda: busy(0.002), lambda: busy(0.006), pairs=7)
    assert result.low <= result.ratio <= result.high
    assert 2 < result.ratio < 4.5


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with timing.threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
