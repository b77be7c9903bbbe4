"""Who gets in: a password where other machines can reach us, no foreign pages, and no Gradio but for its looks.

No event of the page runs Python, so Gradio's own interface (uploads, files, proxies, queues) is shut as a whole. A
browser sends a page's origin with every WebSocket and every POST; one that is not our own is another site's page trying
to use the service through its visitor. Without a password the host must be this machine's own name, so that no other
name can be pointed here (DNS rebinding).
"""

import base64
import binascii
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audiogen.errors import AudiogenError

SHUT = "gradio_api"
COOKIE = "audiogen_session"


def check_host(host: str, password: str | None) -> None:
    """Refuse an address that other machines can reach, unless there is a password (`user:password`).

    Raises:
        AudiogenError: If it is such an address, or the password is not of that form.
    """
    if password is not None and not all(password.partition(":")):
        raise AudiogenError("AUDIOGEN_AUTH must be user:password, with neither part empty")
    if password is None and not is_loopback(host):
        raise AudiogenError(
            f"--host {host} lets other machines in; set a password first: AUDIOGEN_AUTH=user:password audiogen serve …"
        )


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and no other can reach it."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Gate:
    """ASGI middleware; see the module's first lines.

    Args:
        app: What is behind the gate.
        password: `user:password` for HTTP basic authentication; None lets everyone on this machine in.
    """

    def __init__(self, app: ASGIApp, password: str | None = None) -> None:
        self._app = app
        self._password = password
        self._token = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, self._with_cookie(scope, headers, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if SHUT in scope["path"].lower():
            return PlainTextResponse("not found", 404)
        if self._password is None and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return PlainTextResponse("this service answers to localhost only", 403)
        if "origin" in headers and urlsplit(headers["origin"]).netloc != host:
            return PlainTextResponse("another site's page may not use this service", 403)
        if not self._known(headers):
            challenge = {"WWW-Authenticate": 'Basic realm="audiogen", charset="UTF-8"'}
            return PlainTextResponse("a user name and a password are needed", 401, challenge)
        return None

    def _known(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the password, or the cookie that one with the password was given."""
        if self._password is None or hmac.compare_digest(_cookie(headers).encode(), self._token.encode()):
            return True
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._password.encode())

    def _with_cookie(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """`send` that gives a browser the cookie its WebSockets will carry, where there is a password."""
        if self._password is None or scope["type"] != "http" or _cookie(headers):
            return send

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        return send_with_cookie


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
