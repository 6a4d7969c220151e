"""Other programs' interfaces, imported with the first request for one of them: they are a fifth of what a start would
import, and most people's server is never asked by another program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..compat.failing import absent
from ..errors import ErrorDetail, Interface, below

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

# Where each of them draws; the first whose prefix fits counts.
_DRAWS_AT = {
    "/api/v1": "/api/v1/images/generations",
    "/v1": "/v1/images/generations",
    "/api": "/api/generate",
    "/sdapi": "/sdapi/v1/txt2img",
}


def _render(prefix: str, status: int, detail: ErrorDetail) -> Response:
    from .routers import RENDERED

    return RENDERED[prefix](status, detail)


INTERFACES = tuple(Interface(prefix, partial(_render, prefix), partial(absent, at)) for prefix, at in _DRAWS_AT.items())


def include_interfaces(app: FastAPI) -> None:
    from .routers import ROUTERS

    for prefix, router in ROUTERS:
        if prefix:
            app.include_router(router, prefix=prefix)
        else:
            take_routes(app, [router])


def take_routes(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Routes as they are: `include_router` makes each of them anew, which was a fifth of the first answer's time."""
    for router in routers:
        app.router.routes.extend(router.routes)


def is_of_interface(path: str) -> bool:
    return any(below(path, prefix) for prefix in _DRAWS_AT)


class RoutersOnDemand:
    """Calls `include` before a request is routed."""

    def __init__(self, app: ASGIApp, include: Callable[[Scope], None]) -> None:
        self._app = app
        self._include = include

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._include(scope)
        await self._app(scope, receive, send)
