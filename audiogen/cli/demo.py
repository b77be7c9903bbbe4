"""`audiogen demo`: a sentence spoken and heard."""

import argparse
from pathlib import Path

from audiogen.cli.common import load_pair, one_thread_a_worker
from audiogen.cli.parser import add_pair, describe

DEMO_TEXT = "The lighthouse keeper counted seven boats before the evening fog came in."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen demo`."""
    describe(
        parser,
        demo,
        """
        audiogen demo
        audiogen demo --text "Anything you like." --out mine
        """,
    )
    parser.add_argument("--text", default=DEMO_TEXT, help="another sentence to speak (default: %(default)s)")
    parser.add_argument("--out", default="demo", metavar="FOLDER", help="where to leave the files (default: ./demo)")
    add_pair(parser)


def demo(options: argparse.Namespace) -> None:
    """Speak, hear it back, leave the files and print the figures."""
    from audiogen.demo import run_demo

    one_thread_a_worker()
    speaker, listener = load_pair(options)
    run_demo(speaker, listener, options.text, Path(options.out))
