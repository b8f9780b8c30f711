"""What a request may be, checked before anything of it is parsed; and the headers of every answer."""

import json
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = 8_000_000
"""Bytes of a request at most."""
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " + (
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Limits:
    """Refuses bodies above `largest` bytes (413) and writes that another site's page sent (403); sets the headers."""

    def __init__(self, app: ASGIApp, largest: int = BODY):
        self.app = app
        self.largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                written = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    written.setdefault(name, value)
            await send(message)

        if scope["method"] not in ("GET", "HEAD") and _foreign(headers):
            await _refuse(with_headers, 403, "a page of another site may not change an index.")
            return
        said = headers.get("content-length", "0")
        body = await self._body(receive) if said.isdigit() and int(said) <= self.largest else None
        if body is None:
            await _refuse(
                with_headers, 413, f"a request may have {self.largest:,} bytes at most. Send fewer documents at once."
            )
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, with_headers)

    async def _body(self, receive: Receive) -> bytes | None:
        """None when it is too large; what comes after that is not read."""
        held = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client has left
                return bytes(held)
            held += message.get("body", b"")
            if len(held) > self.largest:
                return None
            if not message.get("more_body"):
                return bytes(held)


def _foreign(headers: Headers) -> bool:
    """Whether a browser sent this for a page of another origin; programs that are no browsers send no Origin."""
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


async def _refuse(send: Send, status: int, message: str) -> None:
    content = json.dumps({"error": {"status": status, "message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
