"""The items of a stage: done one by one, each recorded as a line of a file, none done twice.

A kill leaves at most a torn last line, which is cut off before more are written.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from audiogen.errors import AudiogenError

Item = TypeVar("Item")


def do_items(
    items: Iterable[tuple[str, Item]], path: Path, work: Callable[[Item], dict[str, Any]], label: str
) -> list[dict[str, Any]]:
    """Do `work` for every item that has no line in `path` yet, and append its result there.

    Args:
        items: (id, item) pairs; ids are unique.
        path: The JSON-lines file of results. Each line gets the item's `id` first.
        work: Makes the result, plain JSON values. Files it writes must be whole before it returns.
        label: What the progress bar says.

    Returns:
        The results of all items, in their order.

    Raises:
        AudiogenError: If a line other than a torn last one cannot be read.
    """
    items = list(items)
    done = {row["id"]: row for row in read_rows(path)}
    _cut_torn_line(path)
    with progress() as bar, path.open("a", encoding="utf-8") as file:
        task = bar.add_task(label, total=len(items), completed=sum(key in done for key, _ in items))
        for key, item in items:
            if key in done:
                continue
            done[key] = {"id": key, **work(item)}
            file.write(json.dumps(done[key], ensure_ascii=False) + "\n")
            file.flush()
            bar.advance(task)
    return [done[key] for key, _ in items]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file, none if it is missing; a torn last line is left out.

    Raises:
        AudiogenError: If another line cannot be read.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise AudiogenError(f"{path}, line {number}: not a JSON object: {error}") from None
    return rows


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON-lines file, whole or not at all."""
    staging = path.with_name(f".{path.name}.tmp")
    staging.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    staging.replace(path)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with staging.open("wb") as file:
        np.save(file, array)
    staging.replace(path)


def progress() -> Progress:
    """A progress bar with counts and times."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn())


def _cut_torn_line(path: Path) -> None:
    """Drop what follows the last line's end."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
