"""The page that helps to connect other programs, and the list of the last requests that it shows."""

import sys
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from bonsai_mlx.version import __version__

from ..routes.common import StudioDep
from ..store import timestamp
from ..templating import render
from ..validation import Answer
from .base import public_name
from .guides import PROTOCOLS, Server, guides

router = APIRouter()

_SMALL_PX = 256  # the side of the test picture, unless the model's own size is smaller


class RecentRequest(Answer):
    """One request as it is remembered: no query, no body."""

    at: str
    method: str
    path: str
    status: int
    seconds: float
    client: str
    own: bool = Field(description="a page of this server asked, as browsers tell")


class RecentRequests(Answer):
    requests: list[RecentRequest]


@router.get("/connect", include_in_schema=False, response_class=HTMLResponse)
async def connect(studio: StudioDep, request: Request) -> HTMLResponse:
    # the Host header has passed the allowlist: it is the name under which the reader reaches this server
    address = f"{request.url.scheme}://{request.headers['host']}"
    model = studio.models.get(studio.models.default())
    width, height = model.recommended_size
    token, program = studio.settings.token is not None, Path(sys.executable).with_name("bonsai-mlx")
    command = str(program) if program.is_file() else "bonsai-mlx"
    server = Server(address, public_name(model.name), f"{width}x{height}", token, command)
    context = {
        "version": __version__,
        "page": "connect",
        "settings": studio.preferences(),
        "server": server,
        "model": model,
        "protocols": PROTOCOLS,
        "guides": guides(server),
        "test_side": min(_SMALL_PX, width, height),
    }
    return HTMLResponse(render("connect.html", context))


@router.get("/requests", tags=["system"], summary="The last requests, newest first; no queries and no prompts")
async def requests(studio: StudioDep) -> RecentRequests:
    recent = [
        RecentRequest(
            at=timestamp(entry.at),
            method=entry.method,
            path=entry.path,
            status=entry.status,
            seconds=round(entry.seconds, 3),
            client=entry.client,
            own=entry.own,
        )
        for entry in reversed(studio.recent_requests)
    ]
    return RecentRequests(requests=recent)
