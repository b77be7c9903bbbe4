"""`audiogen run`: recipes."""

import argparse

from audiogen.cli.parser import describe
from audiogen.extras import require


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen run`."""
    describe(
        parser,
        run,
        """
        audiogen run recipe=codec_default exp_dir=exp/codec
        audiogen run recipe=codec_default exp_dir=exp/codec stage=train train.steps=1000
        """,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="the recipe and any of its settings")


def run(options: argparse.Namespace) -> None:
    """Run a recipe."""
    require("lhotse", "train")
    from audiogen.recipes.run import run as run_recipe

    run_recipe(options.overrides)
