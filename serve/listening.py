"""Speech heard as it comes: the WebSocket `/api/listen`.

The client sends `{"sample_rate": 48000}`, then 16-bit mono samples in binary messages of any size, then
`{"end": true}`. It gets `{"type": "partial", "text", "stable"}` whenever the text has changed, where `stable` is the
beginning that will not change any more; at the end `{"type": "final", "text", "words"}`; or `{"type": "error",
"message"}`.
"""

import asyncio
import json
import time
from typing import TYPE_CHECKING

import anyio
import numpy as np
import soxr
import torch
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from audiogen.errors import AudiogenError
from audiogen.serve.sessions import Busy, Limits, Sessions

if TYPE_CHECKING:
    from audiogen.infer.listen import Listener, Partial

RATES = range(8_000, 96_001)


class ListenEndpoint:
    """The WebSocket endpoint: one session a connection."""

    def __init__(self, listener: "Listener", sessions: Sessions, limits: Limits) -> None:
        self._listener = listener
        self._sessions = sessions
        self._limits = limits

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
        ear = Ear(self._listener, _sample_rate(await _receive(socket, self._limits)))
        text = ""
        while isinstance(message := await _receive(socket, self._limits), bytes):
            partial = await anyio.to_thread.run_sync(ear.hear, message)
            if partial.text != text:
                text = partial.text
                await socket.send_json({"type": "partial", "text": text, "stable": partial.stable})
            if ear.seconds > self._limits.listen_seconds or time.monotonic() > deadline:
                minutes = self._limits.listen_seconds / 60
                raise AudiogenError(f"at most {minutes:g} minutes are listened to in one go; begin again")
        partial = await anyio.to_thread.run_sync(ear.finish)
        words = [{"word": word, "start": start, "end": end} for word, start, end, _ in partial.words]
        await socket.send_json({"type": "final", "text": partial.text, "words": words})


class Ear:
    """A listening session fed with bytes: 16-bit samples at the client's rate, cut anywhere."""

    def __init__(self, listener: "Listener", sample_rate: int) -> None:
        self._session = listener.session()
        self._resampler = soxr.ResampleStream(sample_rate, listener.sample_rate, 1, dtype="float32")
        self._odd = b""
        self.seconds = 0.0
        self._rate = sample_rate

    def hear(self, data: bytes) -> "Partial":
        """Hear the next bytes; what has been heard by now."""
        data = self._odd + data
        whole = len(data) - len(data) % 2
        self._odd = data[whole:]
        self.seconds += whole / 2 / self._rate
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
        self._session.feed(torch.from_numpy(self._resampler.resample_chunk(samples)))
        return self._session.partial()

    def finish(self) -> "Partial":
        """Hear what the resampler and the model still hold back; everything that was heard."""
        rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._session.feed(torch.from_numpy(rest))
        self._session.finish()
        return self._session.partial()


async def _receive(socket: WebSocket, limits: Limits) -> bytes | str:
    try:
        async with asyncio.timeout(limits.idle_seconds):
            message = await socket.receive()
    except TimeoutError:
        raise AudiogenError(f"nothing came for {limits.idle_seconds:g} seconds; begin again") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    return message["bytes"] if message.get("bytes") is not None else message["text"]


def _sample_rate(message: bytes | str) -> int:
    try:
        rate = json.loads(message)["sample_rate"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AudiogenError('begin with {"sample_rate": …} as a text message') from None
    if isinstance(rate, bool) or not isinstance(rate, int) or rate not in RATES:
        raise AudiogenError(f"the sample rate must be a whole number from 8,000 to 96,000, got {rate!r}")
    return rate


async def _refuse(socket: WebSocket, message: str, code: int) -> None:
    await socket.send_json({"type": "error", "message": message})
    await socket.close(code)
