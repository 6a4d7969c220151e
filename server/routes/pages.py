"""The HTML pages. They can be read without JavaScript; everything live comes from the JSON routes and /events."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bonsai_mlx.version import __version__

from ..openapi import operations
from ..templating import render
from .common import Cursor, IdPath, StudioDep

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

RECENT = 12
PAGE = 60
_TEMPLATES = {
    "home": "home.html",
    "gallery": "gallery.html",
    "image": "image.html",
    "models": "model_manager.html",
    "docs": "docs.html",
}


def _page(studio: StudioDep, page: str, **context: Any) -> HTMLResponse:
    common = {"version": __version__, "page": page, "settings": studio.preferences()}
    # a browser may keep it for the way back, where one was: its scripts ask for what happened since
    return HTMLResponse(render(_TEMPLATES[page], common | context), headers={"Cache-Control": "private, no-cache"})


@router.get("/")
async def home(studio: StudioDep) -> HTMLResponse:
    recent = await studio.gallery.page(limit=RECENT)
    return _page(studio, "home", images=recent.images)


@router.get("/gallery")
async def gallery(
    studio: StudioDep,
    q: Annotated[str, Query(max_length=200)] = "",
    favourite: bool = False,
    cursor: Cursor | None = None,
) -> HTMLResponse:
    page = await studio.gallery.page(limit=PAGE, q=q, favourite=favourite or None, cursor=cursor)
    context = {"images": page.images, "next_cursor": page.next_cursor, "total": page.total}
    return _page(studio, "gallery", q=q, favourite=favourite, **context)


@router.get("/i/{image_id:id}")
async def image(studio: StudioDep, image_id: IdPath) -> HTMLResponse:
    found = studio.gallery.get(image_id)
    newer, older = await studio.gallery.neighbours(found)
    siblings = (await studio.gallery.page(group=found.group)).images if found.group else []
    context = {"newer": newer, "older": older, "siblings": siblings[::-1]}
    return _page(studio, "image", image=found, **context)


@router.get("/model-manager")
async def model_manager(studio: StudioDep) -> HTMLResponse:
    return _page(studio, "models", models=studio.models.all(), disk_free_bytes=studio.models.disk_free_bytes())


@router.get("/docs")
async def docs(studio: StudioDep, request: Request) -> HTMLResponse:
    return _page(studio, "docs", operations=operations(request.app.openapi()))
