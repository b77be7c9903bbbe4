"""Speed: real-time factor, latency of streams, and fair comparison of two ways to do a thing.

A real-time factor is compute time by audio time: below 1 is faster than real time. Comparisons alternate the two
contestants and take the median of the paired ratios, so that a machine that is busy for a while is busy for both.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiogen.errors import AudiogenError

WARM_UPS = 2
PAIRS = 15
CHUNK_UNITS = {"chunk, median": "ms", "chunk, 95 %": "ms", "chunk, longest": "ms"}


@dataclass
class StreamTiming:
    """When the chunks of a stream came.

    Attributes:
        first: Seconds from the call to the first chunk.
        chunks: Seconds of work for each chunk, the first included.
        total: Seconds from the call to the end.
    """

    first: float = float("nan")
    chunks: list[float] = field(default_factory=list)
    total: float = 0.0


@dataclass(frozen=True)
class PairedRatio:
    """How many times longer `second` took than `first`: median of paired ratios with quartiles, and median seconds."""

    ratio: float
    low: float
    high: float
    first: float
    second: float

    def figures(self, name: str) -> dict[str, float]:
        """The ratio and its quartiles, under `ratio_columns(name)`."""
        return dict(zip(ratio_columns(name), (self.ratio, self.low, self.high), strict=True))


def time_stream(stream: Iterable[Any]) -> StreamTiming:
    """Run a lazy stream to its end, timing each chunk; the consumer takes no time of its own."""
    timing = StreamTiming()
    start = last = time.perf_counter()
    for _ in stream:
        now = time.perf_counter()
        timing.chunks.append(now - last)
        last = now
    timing.total = time.perf_counter() - start
    timing.first = timing.chunks[0] if timing.chunks else float("nan")
    return timing


def latencies(runs: Iterable[StreamTiming]) -> dict[str, float]:
    """Milliseconds a chunk took, over all chunks of the runs, under the names of `CHUNK_UNITS`.

    Raises:
        AudiogenError: If no chunk came.
    """
    chunks = list(chain.from_iterable(run.chunks for run in runs))
    if not chunks:
        raise AudiogenError("the stream gave no chunk to time")
    values = 1000 * np.percentile(chunks, [50, 95, 100])
    return {name: float(value) for name, value in zip(CHUNK_UNITS, values, strict=True)}


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_seconds(function: Callable[[], Any], repeats: int = 5, warm_ups: int = WARM_UPS) -> float:
    """Median seconds of a call, after warming up."""
    _warm_up(function, warm_ups)
    return float(np.median([seconds(function) for _ in range(repeats)]))


def compare(
    first: Callable[[], Any], second: Callable[[], Any], pairs: int = PAIRS, warm_ups: int = WARM_UPS
) -> PairedRatio:
    """Time two functions in alternation, each pair in the other order than the last.

    Args:
        first: The contestant whose time is the denominator.
        second: The other one.
        pairs: Measurements of each.
        warm_ups: Calls of each before that; none for what takes so long that they matter little.
    """
    _warm_up(first, warm_ups)
    _warm_up(second, warm_ups)
    times = []
    for pair in range(pairs):
        if pair % 2:
            after, before = seconds(second), seconds(first)
        else:
            before, after = seconds(first), seconds(second)
        times.append((before, after))
    firsts, seconds_ = np.array(times).T
    low, ratio, high = np.percentile(seconds_ / firsts, [25, 50, 75])
    return PairedRatio(float(ratio), float(low), float(high), float(np.median(firsts)), float(np.median(seconds_)))


def ratio_columns(name: str) -> tuple[str, str, str]:
    """The columns of a ratio of that name and of its quartiles."""
    return name, f"{name}, lower quartile", f"{name}, upper quartile"


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment() -> dict[str, str]:
    """What a speed was measured on: processor, cores, load, and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "load average": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def machine(threads: int) -> str:
    """A sentence on what a speed was measured on, for the note of a table."""
    found = environment()
    where = f"{found['processor']}, {found['cores']} cores, load {found['load average']}"
    return f"torch {found['torch']} with {threads} thread(s) on {where}."


def _warm_up(function: Callable[[], Any], calls: int) -> None:
    for _ in range(calls):
        function()
