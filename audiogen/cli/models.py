"""`audiogen models`: what there is."""

import argparse

import audiogen
from audiogen.cli.common import console
from audiogen.cli.parser import describe


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen models`."""
    describe(parser, models, "audiogen models")


def models(options: argparse.Namespace) -> None:
    """List the models there are."""
    from rich.table import Table

    table = Table("name", "kind", "size", "languages", "licence", box=None, pad_edge=False, header_style="bold")
    for info in audiogen.list_models():
        table.add_row(info.name, info.kind, f"{info.size / 2**20:.1f} MiB", ", ".join(info.languages), info.licence)
    console().print(table)
