"""`create_app(settings)`: the application, its parts started and stopped with it, behind `edge.security`."""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from bonsai_mlx.version import __version__

from . import errors
from .assets.files import STATIC, content, type_of_joined, version_of
from .edge.access import Access
from .edge.compression import Compression, takes_gzip
from .edge.concurrency import ConcurrencyLimit
from .edge.head import HeadAsGet
from .edge.pages import PagesForPeople
from .edge.request_log import LoggedRequest
from .edge.security import security_stack
from .interfaces.on_demand import INTERFACES, RoutersOnDemand, include_interfaces, is_of_interface, take_routes
from .routes import pages, system
from .settings import Settings
from .studio import Studio

# The pages, and whether the server is there. The others (`interfaces.further`) are imported with the first request that
# none of these answers: routes and their schemas are a third of a start.
ROUTERS = (pages.router, system.router)
_CROWDED = frozenset({"/jobs", "/jobs/again", "/grids", "/pipelines/run", "/write", "/encode", "/decode"})


_TEXTS = (".js", ".css", ".svg", ".json")


@lru_cache(maxsize=64)
def _joined(path: str, _version: str) -> bytes:
    return content(path)


@lru_cache(maxsize=256)
def _packed(path: str, _version: str | None) -> bytes:
    return gzip.compress(content(path), mtime=0)


class Assets(StaticFiles):
    """The shipped files. An address that names the current content may be kept for ever, others are revalidated."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        media_type = type_of_joined(path)
        if media_type and scope["method"] == "GET" and (version := version_of(path)):
            response = Response(_joined(path, version), headers={"etag": f'"{version}"'}, media_type=media_type)
        else:
            response = await super().get_response(path, scope)  # refuses what leads out of the folder unread
            version = version_of(path)
        if response.status_code == 200 and path.endswith(_TEXTS) and takes_gzip(Headers(scope=scope)):
            kept = {name: response.headers[name] for name in ("etag", "last-modified") if name in response.headers}
            response = Response(_packed(path, version), headers=kept, media_type=response.media_type)
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        named = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
        current = bool(named) and named == version
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
        return response


class Application(FastAPI):
    """FastAPI with the security stack around everything, including its own answers to unexpected errors."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self.settings = settings
        self.recent_requests: deque[LoggedRequest] = deque(maxlen=settings.max_log_lines)
        self._has_interfaces = False
        self._has_further = False
        self.access = Access(settings.token) if settings.token else None
        security_stack(_nothing, settings, self.recent_requests)  # refuse unsafe options now, not at the first request

    def build_middleware_stack(self) -> ASGIApp:
        routed = RoutersOnDemand(super().build_middleware_stack(), self._include_for)
        app = HeadAsGet(Compression(PagesForPeople(ConcurrencyLimit(routed, _CROWDED))))
        return security_stack(app, self.settings, self.recent_requests, self.access)

    def _include_for(self, scope: Scope) -> None:
        if is_of_interface(scope["path"]):
            self.include_interfaces()
        elif not self._has_further and not any(route.matches(scope)[0] is Match.FULL for route in self.routes):
            self.include_further()

    def include_interfaces(self) -> None:
        """Have the routes of other programs' interfaces, which are imported now."""
        if not self._has_interfaces:
            self._has_interfaces = True
            include_interfaces(self)

    def include_further(self) -> None:
        """Have the routes that the first page does without, which are imported now."""
        if not self._has_further:
            self._has_further = True
            from .interfaces.further import ROUTERS

            take_routes(self, ROUTERS)

    def openapi(self) -> dict[str, Any]:
        self.include_further()
        self.include_interfaces()
        return super().openapi()


async def _nothing(*_arguments: Any) -> None:
    """An ASGI application that is never called."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    studio: Studio = app.state.studio
    await studio.start()
    try:
        yield
    finally:
        await studio.stop()


def create_app(settings: Settings | None = None) -> Application:
    """The application for these options (default: from `BONSAI_*`). ValueError: reachable by others without a token."""
    settings = settings or Settings()
    app = Application(
        settings,
        title="Bonsai",
        version=__version__,
        description="A local image server for Bonsai Image 4B.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.studio = Studio(settings, app.recent_requests)
    errors.install(app, INTERFACES)
    take_routes(app, ROUTERS)
    app.mount("/static", Assets(directory=STATIC), name="static")
    return app
