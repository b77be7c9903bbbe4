"""Files a person asked for, written whole or not at all: into a temporary file beside, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audiogen.errors import AudiogenError


def check_writable(path: str | Path) -> Path:
    """`path`, if a file can be made there: called before long work, so that it is not lost at the end.

    Raises:
        AudiogenError: If its folder is missing or not writable, or if it is itself a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise AudiogenError(f"cannot write {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise AudiogenError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise AudiogenError(f"cannot write {path}: no permission to write in {path.parent}")
    return path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it becomes `path` at the end, and goes if an error comes first."""
    path = check_writable(path)
    staging = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with whole(path) as staging:
        staging.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write plain values as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
