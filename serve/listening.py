"""Speech heard as it comes: the WebSocket `/api/listen`.

The client sends `{"sample_rate": 48000}`, then 16-bit mono samples in binary messages of any size, then
`{"end": true}`. It gets `{"type": "partial", "text", "stable"}` whenever the text has changed, where `stable` is the
beginning that will not change any more; at the end `{"type": "final", "text", "words"}`; or `{"type": "error",
"message"}`. With `"endpoint": true` beside the rate, every utterance has its own final message as soon as it has ended,
and all messages have its number, `"utterance"`. `docs/listening.md` puts this beside other services' protocols.
"""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr
import torch
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from audiogen.errors import AudiogenError
from audiogen.infer.endpoint import EndpointRules
from audiogen.serve.pool import ListenPool
from audiogen.serve.sessions import Busy, Limits, Sessions

if TYPE_CHECKING:
    from audiogen.infer.listen import Listener, Partial

RATES = range(8_000, 96_001)
REFUSAL_SECONDS = 5.0


class ListenEndpoint:
    """The WebSocket endpoint: one session a connection, all heard together."""

    def __init__(self, listener: "Listener", sessions: Sessions, limits: Limits) -> None:
        self._listener = listener
        self._sessions = sessions
        self._limits = limits
        self._pool = ListenPool()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        try:
            async with self._sessions.place():
                await self._serve(socket)
            await socket.close()
        except WebSocketDisconnect:
            return
        except Busy as busy:
            await _refuse(socket, str(busy), code=1013)
        except AudiogenError as error:
            await _refuse(socket, str(error), code=1008)

    async def _serve(self, socket: WebSocket) -> None:
        """Hear message by message; the next is read when the last has been heard, which holds a hasty client back."""
        deadline = time.monotonic() + self._limits.work_seconds
        start = _start(await _receive(socket, self._limits))
        ear, answers = Ear(self._listener, start), Answers(socket, start, self._limits)
        while isinstance(message := await _receive(socket, self._limits), bytes):
            ear.take(message)
            await self._pool.hear(ear.session)
            await answers.tell(ear.session.results())
            if ear.seconds > self._limits.listen_seconds or time.monotonic() > deadline:
                minutes = self._limits.listen_seconds / 60
                raise AudiogenError(f"at most {minutes:g} minutes are listened to in one go; begin again")
        _check_end(message)
        ear.take_rest()
        await self._pool.hear(ear.session, last=True)
        await answers.tell(ear.session.results())


@dataclass(frozen=True)
class Start:
    """What a client says first: the rate of its samples, and whether utterances are to be told apart."""

    sample_rate: int
    endpoint: bool


class Ear:
    """A listening session fed with bytes: 16-bit samples at the client's rate, cut anywhere."""

    def __init__(self, listener: "Listener", start: Start) -> None:
        self.session = listener.session(EndpointRules() if start.endpoint else None)
        self.seconds = 0.0
        self._resampler = soxr.ResampleStream(start.sample_rate, listener.sample_rate, 1, dtype="float32")
        self._odd, self._rate = b"", start.sample_rate

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._odd + data
        whole = len(data) - len(data) % 2
        self._odd = data[whole:]
        self.seconds += whole / 2 / self._rate
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
        self.session.take(torch.from_numpy(self._resampler.resample_chunk(samples)))

    def take_rest(self) -> None:
        """Take what the resampler still holds back."""
        self.session.take(torch.from_numpy(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)))


class Answers:
    """Sends a client what was heard, where it is new. A client that does not read is not waited for for long."""

    def __init__(self, socket: WebSocket, start: Start, limits: Limits) -> None:
        self._socket, self._endpoint, self._limits = socket, start.endpoint, limits
        self._shown = ""

    async def tell(self, results: "list[Partial]") -> None:
        """Send results: every final one, and another if its text has changed."""
        for result in results:
            if result.is_final or result.text != self._shown:
                self._shown = "" if result.is_final else result.text
                await self._send(self._message(result))

    def _message(self, result: "Partial") -> dict[str, Any]:
        number = {"utterance": result.utterance} if self._endpoint else {}
        if not result.is_final:
            return {"type": "partial", "text": result.text, "stable": result.stable, **number}
        words = [{"word": word, "start": start, "end": end} for word, start, end, _ in result.words]
        return {"type": "final", "text": result.text, "words": words, **number}

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._socket.send_json(message)
        except TimeoutError:
            raise AudiogenError(f"nothing was read for {self._limits.idle_seconds:g} seconds; begin again") from None


async def _receive(socket: WebSocket, limits: Limits) -> bytes | str:
    try:
        async with asyncio.timeout(limits.idle_seconds):
            message = await socket.receive()
    except TimeoutError:
        raise AudiogenError(f"nothing came for {limits.idle_seconds:g} seconds; begin again") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    return message["bytes"] if message.get("bytes") is not None else message["text"]


def _start(message: bytes | str) -> Start:
    """The first message.

    Raises:
        AudiogenError: If it is not what the module's first lines ask for.
    """
    try:
        asked = json.loads(message)
        rate, endpoint = asked["sample_rate"], asked.get("endpoint", False)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise AudiogenError('begin with {"sample_rate": …} as a text message') from None
    if isinstance(rate, bool) or not isinstance(rate, int) or rate not in RATES:
        raise AudiogenError(f"the sample rate must be a whole number from 8,000 to 96,000, got {rate!r}")
    if not isinstance(endpoint, bool):
        raise AudiogenError(f'"endpoint" must be true or false, got {endpoint!r}')
    return Start(rate, endpoint)


def _check_end(message: str) -> None:
    """Refuse a text message that does not end the stream."""
    try:
        ended = json.loads(message)["end"] is True
    except (ValueError, TypeError, KeyError, RecursionError):
        ended = False
    if not ended:
        raise AudiogenError('after the first message, samples are sent as binary messages, and at last {"end": true}')


async def _refuse(socket: WebSocket, message: str, code: int) -> None:
    """Say what is wrong and close the line; a client that does not read is left after a while."""
    with suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(REFUSAL_SECONDS):
            await socket.send_json({"type": "error", "message": message})
            await socket.close(code)
