"""The items of a stage: done one by one, each recorded as a line of a file, none done twice.

A kill leaves at most a torn last line, which is cut off before more are written.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from audiogen.data.journal import read_journal
from audiogen.errors import AudiogenError
from audiogen.files import whole, write_text

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
    """The lines of a JSON-lines file, none if it is missing; a torn last one is cut off.

    Raises:
        AudiogenError: If another line cannot be read.
    """
    try:
        return read_journal(path)
    except ValueError as error:
        raise AudiogenError(f"{path} holds a line that is not a JSON object: {error}") from None


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON-lines file, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` file, whole or not at all."""
    with whole(path) as staging, staging.open("wb") as file:
        np.save(file, array)


def progress() -> Progress:
    """A progress bar with counts and times."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn())
