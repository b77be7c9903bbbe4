"""`audiogen serve`: the page that speaks and listens."""

import argparse
import os

import audiogen
from audiogen.cli.common import load_pair, one_thread_a_worker
from audiogen.cli.parser import DEFAULT_WAVEFORM, add_pair, describe
from audiogen.extras import require


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe `audiogen serve`."""
    describe(
        parser,
        serve,
        """
        audiogen serve
        audiogen serve --port 8080
        AUDIOGEN_AUTH=anna:secret audiogen serve --host 0.0.0.0
        """,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; only this machine by default")
    parser.add_argument("--port", type=int, default=7860, help="the port (default: %(default)s)")
    parser.add_argument(
        "--waveform",
        default=DEFAULT_WAVEFORM,
        metavar="NAME",
        help="a waveform model, for the tab that generates sound (default: %(default)s)",
    )
    parser.add_argument("--sound", metavar="NAME", help="a model of sound from captions, for a tab that makes them")
    add_pair(parser)


def serve(options: argparse.Namespace) -> None:
    """Open the page and serve until interrupted."""
    one_thread_a_worker()
    for module in ("uvicorn", "fastapi", "gradio"):
        require(module, "serve")
    from audiogen.serve.app import serve as serve_page

    generator = audiogen.load(options.waveform, "waveform")
    sound = None if options.sound is None else audiogen.load(options.sound, "sound")
    serve_page(*load_pair(options), generator, sound, options.host, options.port, os.environ.get("AUDIOGEN_AUTH"))
