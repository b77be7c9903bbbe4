"""What `audiogen bench` and `audiogen score` have in common: tables of figures."""

import argparse
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from audiogen.cli.common import console
from audiogen.cli.parser import DEFAULT_CODEC, add_pair
from audiogen.files import check_writable, write_json

if TYPE_CHECKING:
    from audiogen.metrics.tables import Table


def add_models_measured(parser: argparse.ArgumentParser) -> None:
    """The options that name what is measured."""
    parser.add_argument("--codec", default=DEFAULT_CODEC, metavar="NAME", help="a codec (default: %(default)s)")
    add_pair(parser)


def part(module: str) -> ModuleType:
    """A part of audiogen, imported when it is asked for."""
    return import_module(f"audiogen.{module}")


def measure(measures: "Iterable[Callable[[], Table]]", json_path: str | None) -> None:
    """Make the tables one after the other, print each, and write the figures of all."""
    if json_path is not None:
        check_writable(json_path)
    rows = []
    for make in measures:
        table = make()
        rows += table.figures()
        _print_table(table)
    if json_path is not None:
        write_json(json_path, {"rows": rows})


def _print_table(table: "Table") -> None:
    from rich.markup import escape
    from rich.table import Table as RichTable

    out = console()
    shown = RichTable(*table.headings(), box=None, pad_edge=False, header_style="dim")
    for row in table.rows:
        shown.add_row(*table.cells(row))
    out.print(f"[bold]{escape(table.title)}[/]")
    out.print(shown)
    out.print(f"{escape(table.note)}\n", style="dim")
