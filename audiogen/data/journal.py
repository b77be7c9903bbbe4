"""Journals of finished work: files of JSON lines that only grow, so a killed job goes on after the last whole line."""

import json
import os
from pathlib import Path
from typing import Any


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, none if it does not exist. A last one that a kill cut short is taken off the file."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]
