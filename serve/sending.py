"""Sound on request: a POST is answered with 16-bit mono samples, sent as they are made."""

import asyncio
import time
from collections.abc import Callable, Iterator

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from torch import Tensor

from audiogen import audio
from audiogen.errors import AudiogenError
from audiogen.serve.sessions import Busy, Limits, Sessions


class SoundEndpoint:
    """The ASGI endpoint. A client that leaves stops the work at the next chunk."""

    def __init__(
        self, make: Callable[[bytes], Iterator[Tensor]], sample_rate: int, sessions: Sessions, limits: Limits
    ) -> None:
        """Answer with what `make` makes.

        Args:
            make: Chunks [1, n] of sound for the body of a request. It raises `AudiogenError` for a body that is wrong,
                and works only once the first chunk is asked for.
            sample_rate: Of the chunks.
            sessions: Places for those at work.
            limits: Sizes and times.
        """
        self._make, self._sample_rate = make, sample_rate
        self._sessions, self._limits = sessions, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            chunks = self._make(await _read(Request(scope, receive), self._limits.request_bytes))
            gone = asyncio.create_task(_wait_until_gone(receive))
            try:
                async with self._sessions.place():
                    await self._answer(chunks, send, gone)
            finally:
                gone.cancel()
        except ClientDisconnect:
            return
        except Busy as busy:
            await JSONResponse({"error": str(busy)}, 503, {"Retry-After": "30"})(scope, receive, send)
        except AudiogenError as error:
            await JSONResponse({"error": str(error)}, 400)(scope, receive, send)

    async def _answer(self, chunks: Iterator[Tensor], send: Send, gone: asyncio.Task) -> None:
        """Send the sound, as long as somebody is there and time is left.

        A mistake that only shows at work shows at the first chunk, before the answer's status is sent.
        """
        deadline = time.monotonic() + self._limits.work_seconds
        chunk = None if gone.done() else await anyio.to_thread.run_sync(next, chunks, None)
        rate = str(self._sample_rate).encode()
        headers = [(b"content-type", b"audio/pcm"), (b"x-sample-rate", rate), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while chunk is not None and not gone.done() and time.monotonic() < deadline:
            samples = audio.to_bytes(chunk, self._sample_rate, "RAW", "PCM_16")
            await send({"type": "http.response.body", "body": samples, "more_body": True})
            chunk = await anyio.to_thread.run_sync(next, chunks, None)
        await send({"type": "http.response.body", "body": b""})


async def _read(request: Request, limit: int) -> bytes:
    """The body of a request, counted as it comes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise AudiogenError(f"the request is larger than {limit:,} bytes; a shorter recording is needed")
    return bytes(body)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
