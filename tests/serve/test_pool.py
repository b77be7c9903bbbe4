"""Streams heard together: every one is told when it is done, and one that fails fails alone."""

import asyncio

import pytest

from audiogen.serve import pool
from audiogen.serve.pool import ListenPool


class Stream:
    """A session that needs so many steps."""

    def __init__(self, steps: int, shape: str = "alike") -> None:
        self.left, self.shape, self.finished, self.company = steps, shape, False, 0

    @property
    def ready(self) -> bool:
        return self.left > 0

    def finish(self) -> None:
        self.finished = True


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(streams: list[Stream]) -> None:
        if streams[0].shape == "broken":
            raise RuntimeError("broken")
        for stream in streams:
            stream.left -= 1
            stream.company = max(stream.company, len(streams))

    monkeypatch.setattr(pool, "step", step)


def test_streams_of_any_length_are_heard_to_their_ends():
    async def scene() -> None:
        listening = ListenPool()
        streams = [Stream(steps) for steps in (1, 50, 7, 0)]
        await asyncio.gather(*(listening.hear(stream, last=stream.left == 7) for stream in streams))
        assert [stream.left for stream in streams] == [0] * 4
        assert [stream.finished for stream in streams] == [False, False, True, False]

    asyncio.run(scene())


def test_one_that_fails_fails_alone():
    async def scene() -> None:
        listening = ListenPool()
        broken, whole = Stream(3, "broken"), Stream(3)
        results = await asyncio.gather(listening.hear(broken), listening.hear(whole), return_exceptions=True)
        assert isinstance(results[0], RuntimeError) and results[1] is None and whole.left == 0
        await listening.hear(Stream(2))

    asyncio.run(scene())


def test_one_that_leaves_is_heard_no_more():
    async def scene() -> None:
        listening = ListenPool()
        endless = Stream(10**9)
        leaving = asyncio.create_task(listening.hear(endless))
        await listening.hear(Stream(20))
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await listening.hear(Stream(5))
        left = endless.left
        await listening.hear(Stream(5))
        assert endless.left >= left - 2

    asyncio.run(scene())


def test_no_more_than_a_bounded_number_goes_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "MOST_TOGETHER", 4)

    async def scene() -> None:
        listening, streams = ListenPool(), [Stream(200) for _ in range(10)]
        await asyncio.gather(*(listening.hear(stream) for stream in streams))
        assert max(stream.company for stream in streams) == 4

    asyncio.run(scene())
