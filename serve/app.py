"""The web application: the page at `/`, and at `/api/` speech, hearing and generated sound; and how it is started."""

import os
import socket
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from audiogen.errors import AudiogenError
from audiogen.serve.gate import Gate, check_host
from audiogen.serve.generating import CaptionMaker, WaveformMaker
from audiogen.serve.listening import ListenEndpoint
from audiogen.serve.page import mount_page
from audiogen.serve.sending import SoundEndpoint
from audiogen.serve.sessions import Limits, Sessions
from audiogen.serve.speaking import SpeechMaker

if TYPE_CHECKING:
    from audiogen.infer.listen import Listener
    from audiogen.infer.sound import SoundGenerator
    from audiogen.infer.speak import Speaker
    from audiogen.infer.waveform import WaveformGenerator

STATIC = Path(__file__).parent / "static"
LARGEST_MESSAGE = 2**20
CONNECTIONS = 200
GRACE_SECONDS = 10


def build_app(
    speaker: "Speaker",
    listener: "Listener",
    generator: "WaveformGenerator | None" = None,
    sound: "SoundGenerator | None" = None,
    limits: Limits | None = None,
    password: str | None = None,
) -> Gate:
    """The whole ASGI application.

    Args:
        speaker: Who speaks.
        listener: Who listens.
        generator: What makes sound sample by sample, if anything does.
        sound: What makes sound from captions, if anything does.
        limits: Sizes, times and numbers.
        password: `user:password` that every request must carry, or None.
    """
    limits = limits or Limits()
    speaking, listening = Sessions(limits.sessions, limits.waiting), Sessions(limits.listeners, waiting=0)
    speech = SoundEndpoint(SpeechMaker(speaker, limits), speaker.sample_rate, speaking, limits)
    routes = [
        Route("/api/speak", speech, methods=["POST"]),
        WebSocketRoute("/api/listen", ListenEndpoint(listener, listening, limits)),
        Mount("/static/audiogen", StaticFiles(directory=STATIC)),
    ]
    if generator is not None:
        made = SoundEndpoint(WaveformMaker(generator, limits), generator.sample_rate, speaking, limits)
        routes.append(Route("/api/generate", made, methods=["POST"]))
    if sound is not None:
        made = SoundEndpoint(CaptionMaker(sound, limits), sound.sample_rate, speaking, limits)
        routes.append(Route("/api/sound", made, methods=["POST"]))
    app = FastAPI(title="audiogen", routes=routes, docs_url=None, redoc_url=None, openapi_url=None)
    mount_page(app, speaker.voices, generator and generator.labels, sound is not None, limits)
    return Gate(app, password)


def serve(
    speaker: "Speaker",
    listener: "Listener",
    generator: "WaveformGenerator | None",
    sound: "SoundGenerator | None",
    host: str,
    port: int,
    password: str | None = None,
) -> None:
    """Serve until interrupted.

    The process moves to an empty folder of its own, which is also where Gradio would keep files, and which goes at the
    end: nothing on the machine lies where a request could lead.

    Raises:
        AudiogenError: If others could reach `host` and there is no password, or if the port is taken.
    """
    check_host(host, password)
    listening = _listen_on(host, port)
    with tempfile.TemporaryDirectory(prefix="audiogen-") as folder, chdir(folder):
        os.environ["GRADIO_TEMP_DIR"] = folder
        config = uvicorn.Config(
            build_app(speaker, listener, generator, sound, password=password),
            log_level="warning",
            ws_max_size=LARGEST_MESSAGE,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}"
        print(f"audiogen speaks and listens at {address} (Ctrl+C stops it)", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def _listen_on(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise AudiogenError(f"port {port} does not exist; give one from 0 (any free one) to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise AudiogenError(f"cannot listen on {host} port {port}: {error.strerror}; try another --port") from None
