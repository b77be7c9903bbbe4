"""The command `audiogen`: what can be asked of it, and how mistakes are told.

Each command has a module with its options and what it does, imported when it is asked for; what it needs of the rest
is imported as it runs, so that help and mistakes come at once. What a person can mend is one line on standard error and
exit status 2; an interruption is 130; a fault of our own is 1.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from audiogen import __version__
from audiogen.cli.parser import Parser, group, new_command
from audiogen.errors import AudiogenError

COMMANDS = {
    "say": "speak a text into a sound file",
    "edit": "change words in a recording, in its own voice",
    "transcribe": "write down what is said in sound files",
    "codec": "make sound files small, and sound again",
    "generate": "make sound that is not speech",
    "models": "list the models there are",
    "import": "turn a published checkpoint into a model of ours",
    "demo": "speak a sentence, hear it back, and show what happened",
    "serve": "open a page that speaks and listens",
    "run": "run a recipe, from its data to its scores",
    "bench": "measure how fast the models are on this machine",
    "score": "measure how good the models are on held-out recordings",
}
MODULES = {"import": "importing"}  # where it is not the name of the command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        options = build_parser(arguments).parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
        return 0
    except AudiogenError as error:
        return _told(str(error), 2, debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; without this Python complains again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        hint = "a fault of audiogen's own; --debug shows where"
        return _told(f"{type(error).__name__}: {error} ({hint})", 1, debug)


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of these arguments, with the options of the commands among them; `options.run` does what is asked."""
    parser = Parser(
        prog="audiogen",
        description="Speech out of text, text out of speech, on the machine you have.",
        epilog="Try: audiogen demo      Every command explains itself: audiogen say --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"audiogen {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from (any command)")
    commands = group(parser)
    for name, about in COMMANDS.items():
        command = new_command(commands, name, about)
        if name in arguments:
            import_module(f"audiogen.cli.{MODULES.get(name, name)}").add_options(command)
    return parser


def _told(message: str, status: int, debug: bool) -> int:
    """Print `message` as the one line of an error, after the traceback if asked for."""
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return status
