"""How much the service takes on: sizes, times, and how many sessions work or wait at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from audiogen.errors import AudiogenError


@dataclass(frozen=True)
class Limits:
    """What one request and all of them together may cost.

    Attributes:
        text_characters: Longest text to speak.
        request_bytes: Largest request for speech, with its voice prompt.
        prompt_seconds: Shortest and longest voice prompt.
        work_seconds: Longest time a session may hold its place.
        listen_seconds: Longest recording to listen to.
        generate_seconds: Longest sound to generate.
        idle_seconds: How long a listening session may send nothing.
        sessions: Requests for speech at work at once; more wait their turn.
        waiting: Requests that may wait; more are refused.
        listeners: Streams listened to at once; more are refused.
    """

    text_characters: int = 1000
    request_bytes: int = 4 * 2**20
    prompt_seconds: tuple[float, float] = (1.0, 15.0)
    work_seconds: float = 900.0
    listen_seconds: float = 600.0
    generate_seconds: float = 30.0
    idle_seconds: float = 20.0
    sessions: int = 4
    waiting: int = 16
    listeners: int = 32


class Busy(AudiogenError):  # noqa: N818
    """Every place, at work and waiting, is taken."""


class Sessions:
    """So many places for sessions at work, with a queue for so many before them."""

    def __init__(self, places: int, waiting: int) -> None:
        self._most = places + waiting
        self._places = asyncio.Semaphore(places)
        self._present = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and give it back at the end however that comes.

        Raises:
            Busy: If too many are waiting already.
        """
        if self._present >= self._most:
            raise Busy("too many are using this service at the moment; try again in a minute")
        self._present += 1
        try:
            async with self._places:
                yield
        finally:
            self._present -= 1
