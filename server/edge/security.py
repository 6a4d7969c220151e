"""The door: which requests reach the application at all. Pure ASGI, no state but the options it was built with.

Outermost first: log, security headers, Host allowlist, fetch metadata and Origin, token, body limits. Decisions look
at `scope["path"]` and raw headers only, never at a URL rebuilt from the Host header.

- The Host allowlist stops DNS rebinding: a rebound page is same-origin to itself in every other header.
- Fetch metadata (and Origin where a browser does not send it) stops every other website from calling this server.
- Programs that are not browsers send neither, hold no ambient credentials, and are let through.
- Who is not protected against: other users of this computer, unless a token is set.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bonsai_mlx.images.scan import MAX_FILE_BYTES

from ..errors import ErrorDetail, refusal
from ..hosts import address_in, in_url, own_names, parse_host
from ..settings import Settings
from .request_log import LoggedRequest, RequestLog

log = logging.getLogger("bonsai.server")

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_TOLD_HOSTS = 20
COOKIE = "bonsai_token"
PAGES = frozenset({"/", "/gallery", "/model-manager", "/connect", "/docs"})
IMAGE_PAGE = re.compile(r"/i/[0-9a-f]{32}")
_DISCARDED_BYTES, _DISCARD_S = 16 << 20, 0.5

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "img-src 'self' blob:",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not "no-referrer": under it a browser sends `Origin: null` with the forms of our own pages
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_page(path: str) -> bool:
    """Whether a link from another site may lead to this path."""
    return path in PAGES or IMAGE_PAGE.fullmatch(path) is not None


class SecurityHeaders:
    """Headers for every answer, including errors; nothing is cached unless a route says so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class HostAllowlist:
    """Only requests addressed to this server by a name or address of its own; no WebSockets at all.

    With `any_address`, every literal IP address but the unspecified one is accepted: rebinding needs a name.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, any_address: bool = False) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.any_address = any_address
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        values = Headers(scope=scope).getlist("host")
        host = parse_host(values[0]) if len(values) == 1 else None
        if host is None:
            await Response(status_code=400)(scope, receive, send)
        elif host in self.hosts or (self.any_address and address_in(host) and not _is_unspecified(host)):
            await self.app(scope, receive, send)
        else:
            self._tell(host)
            await Response(status_code=421)(scope, receive, send)

    def _tell(self, host: str) -> None:
        """Once for each name, and for a few only: whoever calls can make up as many as they like."""
        if host in self._told or len(self._told) == _TOLD_HOSTS:
            return
        self._told.add(host)
        log.warning(
            "refused a request for the name %s; if that is this computer, start with --allowed-host %s", host, host
        )


def _is_unspecified(host: str) -> bool:
    """Whether it is 0.0.0.0 or [::], which stand for every address and are none."""
    address = address_in(host)
    return address is not None and address.is_unspecified


class FetchMetadata:
    """The resource isolation policy, for every method and path alike."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or allowed_by_metadata(scope["method"], scope["path"], Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        detail = ErrorDetail(code="forbidden", message="Requests from other websites are not accepted.")
        await refusal(scope, 403, detail)(scope, receive, send)


def allowed_by_metadata(method: str, path: str, headers: Headers) -> bool:
    """Whether a request comes from our own page, from a link to a page of ours, or from no browser at all."""
    origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    if len(origins) > 1 or len(sites) > 1:
        return False
    if origins and not _same_origin(origins[0], headers["host"]):
        return False
    if not sites or sites[0] in ("same-origin", "none"):
        return True
    navigation = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return navigation and method in ("GET", "HEAD") and is_page(path)


def _same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the server that the (already checked) Host header names; `null` never does."""
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or scheme not in ("http", "https") or parse_host(authority) is None:
        return False
    default = ":80" if scheme == "http" else ":443"
    return authority.removesuffix(default) == host.lower().removesuffix(default)


class TokenGate:
    """Nothing without the token: as a cookie, as a bearer or Basic password, or once in the address of a page.

    The token in an address is exchanged for a cookie and redirected away, so that it stays out of bookmarks and the
    Referer header.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._presented(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        response = self._exchange(scope) or self._refusal(scope)
        await response(scope, receive, send)

    def _matches(self, candidate: str) -> bool:
        return secrets.compare_digest(candidate.encode(), self.token.encode())

    def _presented(self, headers: Headers) -> bool:
        return any(self._matches(candidate) for candidate in (*_from_cookies(headers), *_from_authorization(headers)))

    def _exchange(self, scope: Scope) -> Response | None:
        if scope["method"] != "GET" or not is_page(scope["path"]):
            return None
        try:
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
        except ValueError:  # more fields than any link of ours has
            return None
        if not any(self._matches(value) for name, value in query if name == "token"):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), status_code=303)
        # escaped: a cookie has no room for "=", spaces and much else that a token may contain
        response.set_cookie(COOKIE, quote(self.token, safe=""), httponly=True, samesite="strict", max_age=365 * 86_400)
        return response

    def _refusal(self, scope: Scope) -> Response:
        if is_page(scope["path"]) and "text/html" in Headers(scope=scope).get("accept", ""):
            text = "<!doctype html><title>Bonsai</title><p>Open the link that the server printed when it started."
            return HTMLResponse(text, status_code=401)
        remedy = "Send it as `Authorization: Bearer <token>`, or open the link that the server printed at its start."
        response = refusal(scope, 401, ErrorDetail(code="unauthorized", message="A token is needed.", remedy=remedy))
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


def _from_cookies(headers: Headers) -> list[str]:
    """By hand: one odd cookie of another program on this host makes http.cookies refuse them all."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [unquote(value) for name, _, value in pairs if name == COOKIE]


def _from_authorization(headers: Headers) -> list[str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip().encode("latin-1").decode(errors="replace")]  # sent as UTF-8, but read as Latin-1
    if scheme.lower() != "basic":
        return []
    try:
        return [base64.b64decode(value, validate=True).decode().partition(":")[2]]
    except ValueError:  # no base64, or no UTF-8 in it
        return []


class BodyLimit:
    """A bounded body that arrives in a bounded time; `larger` maps the few paths that accept more to their limit."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.max_bytes)
        if _declared_length(Headers(scope=scope)) > limit:
            message = f"The body is larger than the {limit} bytes that this address accepts."
            response = refusal(scope, 413, ErrorDetail(code="too_large", message=message))
            await _discard(receive)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self.app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        deadline, received, complete = time.monotonic() + self.timeout_s, 0, False

        async def receive_within_limits() -> Message:
            nonlocal received, complete
            if complete:  # from here on only the end of the connection is waited for
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                if not complete:
                    await _discard(receive)
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        return receive_within_limits


async def _discard(receive: Receive) -> None:
    """Read on for a moment without keeping anything: an answer to a caller that still sends would often be lost."""
    left = _DISCARDED_BYTES
    try:
        async with asyncio.timeout(_DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _declared_length(headers: Headers) -> int:
    value = headers.get("content-length", "0")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0


def door(app: ASGIApp, settings: Settings, recent: deque[LoggedRequest]) -> ASGIApp:
    """`app` behind all of the above; ValueError when others could reach it without a token."""
    if not settings.loopback and settings.token is None:
        raise ValueError(f"{settings.host} can be reached by others: set a token (--token or BONSAI_TOKEN)")
    uploads = {"/sdapi/v1/png-info": settings.max_upload_bytes, "/metadata": MAX_FILE_BYTES}
    app = BodyLimit(app, settings.max_body_bytes, settings.body_timeout_s, uploads)
    if settings.token is not None:
        app = TokenGate(app, settings.token)
    app = FetchMetadata(app)
    name = parse_host(in_url(settings.host))  # what is given as --host is something to be called by
    own = {name} if name and not _is_unspecified(name) else set()
    own |= set() if settings.loopback else own_names()
    app = HostAllowlist(app, LOOPBACK_HOSTS | own | set(settings.allowed_host), any_address=not settings.loopback)
    return RequestLog(SecurityHeaders(app), recent)
