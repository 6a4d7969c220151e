"""Every address of an application, found in its own table of routes, so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from starlette.routing import Mount

from server.app import Application
from tests.server.conftest import LiveServer

ID = "0" * 32
_FILLED = {
    "group_id": ID,
    "image_id": ID,
    "input_id": 2 * ID,
    "job_id": ID,
    "collection_id": ID,
    "archive_id": ID,
    "name": "ternary",
    "suffix": "png",
    "format_": "png",
    "model_id": "ternary",
}
_UNROUTED = [("GET", "/nowhere"), ("OPTIONS", "/generate"), ("TRACE", "/"), ("POST", "/static/favicon.svg")]


def walk(app: Application) -> list[tuple[str, str]]:
    """(method, path) of all routes, of a shipped file, and of some addresses that lead nowhere."""
    app.include_further()
    app.include_interfaces()
    return sorted({*_routed(app), *_UNROUTED})


def _routed(app: Application) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/favicon.svg"
        else:
            for found in _candidates(route):
                yield from ((method, filled(found.path)) for method in found.methods)


def _candidates(route: Any) -> list[Any]:
    """FastAPI keeps an included router as a branch of its own, earlier versions as copies of its routes."""
    return list(route.effective_candidates()) if hasattr(route, "effective_candidates") else [route]


def filled(path: str) -> str:
    """`/images/{image_id:id}.png` with an id that nothing has."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: _FILLED[match[1]], path)


def status_of(server: LiveServer, method: str, path: str, headers: dict[str, str]) -> int:
    with server.client.stream(method, path, headers=headers) as response:  # /events never ends
        return response.status_code
