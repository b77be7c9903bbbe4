"""How commands are described, and the options that several share."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from audiogen.errors import AudiogenError

DEFAULT_VOICE, DEFAULT_RECOGNIZER, DEFAULT_CODEC = "voice-en", "recognizer-en", "codec-24khz"
DEFAULT_WAVEFORM = "digits-en"


class Parser(argparse.ArgumentParser):
    """A parser that raises for a mistake, so that every mistake is told in one place and in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise it, instead of printing it and leaving."""
        raise AudiogenError(f"{message} (see: {self.prog} --help)")


def new_command(commands: Any, name: str, about: str) -> argparse.ArgumentParser:
    """A command among `commands`, `about` being a line on what it does."""
    description = f"{about[0].upper()}{about[1:]}."
    layout = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=about, description=description, formatter_class=layout)


def describe(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], examples: str) -> None:
    """Give a command what does it, a function of its options, and worked examples, a line each."""
    parser.epilog = "examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    parser.set_defaults(run=run)


def group(parser: argparse.ArgumentParser, title: str = "commands") -> Any:
    """Make a command one that has commands of its own; returns what they are added to."""
    return parser.add_subparsers(title=title, metavar=title[:-1].upper(), required=True)


def add_pair(parser: argparse.ArgumentParser) -> None:
    """The options of commands that both speak and listen."""
    parser.add_argument(
        "--voice-model", default=DEFAULT_VOICE, metavar="NAME", help="the model that speaks (default: %(default)s)"
    )
    parser.add_argument(
        "--recognizer", default=DEFAULT_RECOGNIZER, metavar="NAME", help="the model that listens (default: %(default)s)"
    )


def add_json(parser: argparse.ArgumentParser, form: str = '{"rows": [{"name", "value", "unit"}]}') -> None:
    """The option of commands that have something to measure or to tell."""
    parser.add_argument("--json", metavar="FILE", help=f"also write the figures to FILE, as {form}")
