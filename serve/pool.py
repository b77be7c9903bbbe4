"""Many streams heard in one step: chunks that are ready go through the model together.

One thread does the work, so the model is never run twice at once. A stream hears in a batch what it would hear alone;
it may come and go at any step.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from audiogen.infer.listen import step

if TYPE_CHECKING:
    from audiogen.infer.listen import ListenSession

MOST_TOGETHER = 32


@dataclass(eq=False)
class Job:
    """A stream whose samples are to be heard, all of them if `last`, and whom to tell."""

    session: "ListenSession"
    last: bool
    loop: asyncio.AbstractEventLoop
    told: asyncio.Future
    done: bool = False

    def tell(self, error: Exception | None = None) -> None:
        """Say that it is done, or why it never will be; nobody may be waiting any more."""
        self.done = True
        with suppress(RuntimeError):  # the loop has closed
            self.loop.call_soon_threadsafe(self._resolve, error)

    def _resolve(self, error: Exception | None) -> None:
        if self.told.done():
            return
        if error is None:
            self.told.set_result(None)
        else:
            self.told.set_exception(error)


class ListenPool:
    """The thread that hears, started at the first need of it."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def hear(self, session: "ListenSession", last: bool = False) -> None:
        """Wait until all whole chunks of a session's samples have been heard; with `last` the rest of them too."""
        if not last and not session.ready:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="listening", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        job = Job(session, last, loop, loop.create_future())
        self._jobs.put(job)
        await job.told

    def _work(self) -> None:
        jobs: list[Job] = []
        while True:
            jobs += self._arrived(wait=not jobs)
            for group in _groups([job for job in jobs if job.session.ready]):
                _attempt(group, lambda group=group: step([job.session for job in group]))
            for job in jobs:
                if not job.done and not job.session.ready and (not job.last or _attempt([job], job.session.finish)):
                    job.tell()
            jobs = [job for job in jobs if not job.done and not job.told.cancelled()]

    def _arrived(self, wait: bool) -> list[Job]:
        """The jobs that have come, at least one if there is nothing else to do."""
        arrived = [self._jobs.get()] if wait else []
        while not self._jobs.empty():
            arrived.append(self._jobs.get())
        return arrived


def _groups(jobs: list[Job]) -> list[list[Job]]:
    """Jobs that fit in one step together."""
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.session.shape, []).append(job)
    return [group[at : at + MOST_TOGETHER] for group in groups.values() for at in range(0, len(group), MOST_TOGETHER)]


def _attempt(jobs: list[Job], work: Callable[[], None]) -> bool:
    """Do `work`; if it fails, tell the jobs it was for, and nobody else."""
    try:
        work()
    except Exception as error:
        for job in jobs:
            job.tell(error)
        return False
    return True
