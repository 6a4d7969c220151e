"""Pages and lists are sent compressed to whoever takes them so: they are half of what a page weighs. Pure ASGI.

Only whole answers to GET: nothing that streams. There is no secret in them that their length could tell of.
"""

from __future__ import annotations

import gzip
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TYPES = ("text/html", "application/json")
_LEAST_BYTES = 1024  # what is shorter fits into one packet anyway


_CODING = re.compile(r"\s*(?P<name>[\w*-]+)\s*(?:;\s*q\s*=\s*(?P<weight>0(?:\.\d*)?|1(?:\.0*)?))?\s*", re.IGNORECASE)


def takes_gzip(headers: Headers) -> bool:
    """Whether a caller takes gzip, and would not rather have a plain answer (RFC 9110, 12.5.3)."""
    codings = (_CODING.fullmatch(coding) for coding in ",".join(headers.getlist("accept-encoding")).split(","))
    weights = {coding["name"].lower(): float(coding["weight"] or 1) for coding in codings if coding}
    gzip_weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0)))
    return gzip_weight > 0 and gzip_weight >= weights.get("identity", 0)


class Compression:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        taken = takes_gzip(Headers(scope=scope))
        head: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and _compressible(MutableHeaders(scope=message), taken):
                head = message  # sent with the body, whose length it tells
                return
            if head is not None:
                if not message.get("more_body"):
                    message = {**message, "body": _compressed(MutableHeaders(scope=head), message["body"])}
                await send(head)
                head = None
            await send(message)

        await self.app(scope, receive, send_compressed)


def _compressible(headers: MutableHeaders, taken: bool) -> bool:
    if not headers.get("content-type", "").startswith(_TYPES) or "content-encoding" in headers:
        return False
    headers.add_vary_header("Accept-Encoding")
    return taken and int(headers.get("content-length", 0)) >= _LEAST_BYTES


def _compressed(headers: MutableHeaders, body: bytes) -> bytes:
    packed = gzip.compress(body, 5)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(packed))
    return packed
