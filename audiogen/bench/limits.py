"""What a machine can do at most, measured beside what it is made to do: arithmetic, and bytes read."""

from collections.abc import Callable
from typing import Any

import torch

from audiogen.metrics import timing

SECONDS = 1.0  # of measuring each
SIDE = 256
RUNS = 3  # one after the other, so that what comes between is forgotten


def best_seconds(*functions: Callable[[], Any]) -> list[float]:
    """The shortest call of each, of as many as fit into the time for one measurement, at least six.

    They are called in turn, a few times each, so that a machine that is busy for a while is busy for all.
    """
    best = [float("inf")] * len(functions)
    rounds, spent = 0, 0.0
    while rounds < 2 or spent < SECONDS * len(functions):
        for number, function in enumerate(functions):
            taken = [timing.seconds(function) for _ in range(RUNS)]
            best[number] = min(best[number], *taken)
            spent += sum(taken)
        rounds += 1
    return best


def matrix_speed() -> float:
    """Floating-point operations a second in a product of matrices of `SIDE` × `SIDE`."""
    square = torch.randn(SIDE, SIDE)
    return 2 * SIDE**3 / best_seconds(lambda: square @ square)[0]


def read_speed(count: int) -> float:
    """Bytes a second in which `count` bytes are read."""
    numbers = torch.ones(count // 4)
    return count / best_seconds(lambda: numbers.sum())[0]
