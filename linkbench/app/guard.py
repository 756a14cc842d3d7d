"""Who is let in: requests of this machine's own page, with the token of its address, and no others.

The address is 127.0.0.1, but any page in the same browser can send requests there, and a name of its own may be made
to lead there (DNS rebinding). So the names of host and origin are checked, and a token is in the path.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: from here alone, and nobody may frame it."""

HEADERS = {
    "cache-control": "no-store",  # photos shall not stay in the browser's cache
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
"""Sent with every answer."""

ASKING = ("GET", "HEAD")
"""Methods that change nothing; browsers name no origin with them."""


class Guard:
    """Wraps an application; token: the first part of every path."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app = app
        self.token = token.encode()
        names = (HOST, "localhost")
        self.hosts = {f"{name}:{port}" for name in names}
        if port == 80:
            self.hosts.update(names)  # browsers leave out the port that every http address has
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("content-security-policy", PAGE_POLICY)
            await send(message)

        refused = self.refuses(scope)
        await (self.app if refused is None else refused)(scope, receive, protected)

    def refuses(self, scope: Scope) -> PlainTextResponse | None:
        """The answer to a request that is not let in; None for one that is."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return PlainTextResponse("This page answers to the address that linkbench printed.\n", 421)
        if any(origin not in self.origins for origin in origins) or (scope["method"] not in ASKING and not origins):
            return PlainTextResponse("Another page must not ask here.\n", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return PlainTextResponse("Another page must not ask here.\n", 403)
        first = scope["path"].encode("utf-8", "surrogatepass").split(b"/")[1:2]
        if not secrets.compare_digest(b"".join(first), self.token):
            return PlainTextResponse("There is nothing here. The address that linkbench printed has all of it.\n", 404)
        return None
