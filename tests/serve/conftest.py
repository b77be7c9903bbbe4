"""The service with tiny models on a port of its own, for real HTTP clients and a real browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from audiogen import api
from audiogen.infer.listen import Listener
from audiogen.infer.sound import SoundGenerator
from audiogen.infer.speak import Speaker
from audiogen.infer.waveform import WaveformGenerator
from audiogen.serve.app import build_app
from audiogen.serve.sessions import Limits

LIMITS = Limits(
    text_characters=200,
    request_bytes=200_000,
    listen_seconds=5.0,
    idle_seconds=1.0,
    sessions=1,
    waiting=1,
    listeners=3,
)


@pytest.fixture(scope="session")
def models(tiny_bundles: Path) -> tuple[Speaker, Listener]:
    """Who speaks and who listens."""
    return api.load(tiny_bundles / "tiny-voice"), api.load(tiny_bundles / "tiny-recognizer")


@pytest.fixture(scope="session")
def generator(tiny_bundles: Path) -> WaveformGenerator:
    """What makes sound sample by sample."""
    return api.load(tiny_bundles / "tiny-waveform")


@pytest.fixture(scope="session")
def sound(tiny_bundles: Path) -> SoundGenerator:
    """What makes sound from captions."""
    return api.load(tiny_bundles / "tiny-magnet")


@pytest.fixture(scope="session")
def service(models: tuple[Speaker, Listener], generator: WaveformGenerator, sound: SoundGenerator) -> Iterator[str]:
    """The address `127.0.0.1:port` of a running service."""
    with serving(build_app(*models, generator, sound, limits=LIMITS)) as address:
        yield address


@pytest.fixture(scope="session")
def patient_service(models: tuple[Speaker, Listener]) -> Iterator[str]:
    """The address of one that waits long for what comes next."""
    with serving(build_app(*models, limits=replace(LIMITS, idle_seconds=60.0))) as address:
        yield address


@contextmanager
def serving(app) -> Iterator[str]:
    """Serve `app` in a thread while the block runs."""
    config = uvicorn.Config(app, port=0, log_level="error", ws_max_size=2**20, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
