"""Peak memory of a piece of work, measured in a process of its own."""

import multiprocessing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(function: Callable[..., Any], *arguments: Any) -> float | None:
    """MiB by which `function(*arguments)` raises the memory of a fresh process that has torch loaded, at its peak.

    Args:
        function: A function of a module, as it is named to the other process.
        arguments: Values that can be pickled.

    Returns:
        None on systems other than Linux, which do not tell.
    """
    if not STATUS.is_file():
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    import_module("torch")
    FORGET_PEAK.write_text("5")  # of importing, see proc(5)
    before = _mebibytes("VmHWM")
    function(*arguments)
    return _mebibytes("VmHWM") - before


def _mebibytes(field: str) -> float:
    """A size that the system states in KiB."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
