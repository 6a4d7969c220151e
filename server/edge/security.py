"""Which requests reach the application at all. Pure ASGI, no state but the options it was built with.

Outermost first: log, security headers, Host allowlist, fetch metadata and Origin, token, body limits. Decisions look
at `scope["path"]` and raw headers only, never at a URL rebuilt from the Host header.

- The Host allowlist stops DNS rebinding: a rebound page is same-origin to itself in every other header.
- Fetch metadata (and Origin where a browser does not send it) stops every other website from calling this server.
- Programs that are not browsers send neither, hold no ambient credentials, and are let through.
- Who is not protected against: other users of this computer, unless a token is set.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bonsai_mlx.images.scan import MAX_FILE_BYTES

from ..errors import ErrorDetail, refusal
from ..hosts import address_in, in_url, own_names, parse_host
from ..settings import Settings
from .access import Access, TokenGate
from .limits import BodyLimit
from .pages import is_page
from .request_log import LoggedRequest, RequestLog

log = logging.getLogger("bonsai.server")

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OTHER_SITES = "Open the page at its own address; a program sends no Origin header, or that of the server."
_TOLD_HOSTS = 20

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "img-src 'self' blob:",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
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
        detail = ErrorDetail(
            code="forbidden", message="Requests from other websites are not accepted.", remedy=_OTHER_SITES
        )
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


_PICTURES_COME_HERE = (
    "/metadata",
    "/inputs",
    "/v1/images/edits",
    "/v1/images/variations",
    "/api/v1/images/edits",
    "/api/v1/images/variations",
    "/api/v1/images/upscale",
    "/sdapi/v1/img2img",
    "/sdapi/v1/extra-single-image",
    "/sdapi/v1/extra-batch-images",
    "/api/generate",
)


def security_stack(
    app: ASGIApp, settings: Settings, recent: deque[LoggedRequest], access: Access | None = None
) -> ASGIApp:
    """`app` behind all of the above; ValueError when others could reach it without a token.

    `access` is for who has a use for its tickets; there is one for every token.
    """
    if not settings.loopback and settings.token is None:
        raise ValueError(f"{settings.host} can be reached by others: set a token (--token or BONSAI_TOKEN)")
    uploads = {"/sdapi/v1/png-info": settings.max_upload_bytes} | dict.fromkeys(_PICTURES_COME_HERE, MAX_FILE_BYTES)
    app = BodyLimit(app, settings.max_body_bytes, settings.body_timeout_s, uploads)
    if settings.token is not None:
        app = TokenGate(app, access or Access(settings.token))
    app = FetchMetadata(app)
    name = parse_host(in_url(settings.host))  # what is given as --host is something to be called by
    own = {name} if name and not _is_unspecified(name) else set()
    own |= set() if settings.loopback else own_names()
    app = HostAllowlist(app, LOOPBACK_HOSTS | own | set(settings.allowed_host), any_address=not settings.loopback)
    return RequestLog(SecurityHeaders(app), recent)
