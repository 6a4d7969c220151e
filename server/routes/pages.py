"""The HTML pages. They can be read without JavaScript; everything live comes from the JSON routes and /events."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse

from bonsai_mlx.images.bitcode import QR_CHARS
from bonsai_mlx.version import __version__

from ..assets.files import STATIC
from ..gallery.listing import Query
from ..library.facts import facts
from ..library.reveal import file_manager
from ..library.shapes import Bin
from ..openapi import operations
from ..templating import render
from .common import BinCursor, Cursor, IdPath, ListingQuery, StudioDep

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

RECENT = 12
PAGE = 24  # a screen of them; its script fetches those that follow
_DELETED = 60
_SIMILAR = 12
_TEMPLATES = {
    "home": "home.html",
    "gallery": "gallery.html",
    "image": "image.html",
    "deleted": "deleted.html",
    "models": "model_manager.html",
    "docs": "docs.html",
    "offline": "offline.html",
    "preferences": "preferences.html",
}


async def _now(studio: StudioDep) -> int:
    """The last event before anything of the page is read: its scripts ask for those that follow."""
    return studio.events.last_id


Since = Annotated[int, Depends(_now)]


def rendered(studio: StudioDep, page: str, since: int | None = None, **context: Any) -> HTMLResponse:
    common = {"version": __version__, "page": page, "settings": studio.preferences()}
    common["since"] = studio.events.last_id if since is None else since
    # a browser may keep it for the way back, where one was: its scripts ask for what happened since
    return HTMLResponse(render(_TEMPLATES[page], common | context), headers={"Cache-Control": "private, no-cache"})


@router.get("/")
async def home(studio: StudioDep, since: Since) -> HTMLResponse:
    recent = await studio.gallery.page(limit=RECENT)
    return rendered(studio, "home", since, images=recent.images, real_ready=studio.models.any_downloaded())


@router.get("/gallery")
async def gallery(studio: StudioDep, since: Since, query: ListingQuery, cursor: Cursor | None = None) -> HTMLResponse:
    query = query._replace(favourite=query.favourite or None)  # a form's favourite=0 is no wish for those that are none
    page = await studio.gallery.page(query, limit=PAGE, cursor=cursor)
    collections = studio.collections.all()
    chosen = next((one for one in collections if one.id == query.collection), None)
    context = {"images": page.images, "next_cursor": page.next_cursor, "total": page.total}
    shown = {"collections": collections, "collection": chosen, "query": query, "address": _address(query)}
    return rendered(studio, "gallery", since, **context, **shown)


def _address(query: Query) -> str:
    """What follows the ? in addresses that lead to the same pictures, in the same order."""
    named = {"q": query.q, "favourite": int(bool(query.favourite)), "collection": query.collection}
    named["sort"] = query.sort if query.sort != "newest" else None
    return urlencode({name: value for name, value in named.items() if value})


@router.get("/gallery/deleted")
async def deleted(studio: StudioDep, since: Since, cursor: BinCursor | None = None) -> HTMLResponse:
    found = Bin.of(await studio.gallery.deleted(_DELETED, cursor))
    return rendered(studio, "deleted", since, bin=found, days=studio.settings.trash_days)


@router.get("/i/{image_id:id}")
async def image(studio: StudioDep, since: Since, image_id: IdPath, query: ListingQuery) -> HTMLResponse:
    found = studio.gallery.details(image_id)
    query = query._replace(favourite=query.favourite or None, group=None)
    before, after = await studio.gallery.listing.neighbours(found, query)
    siblings = (await studio.gallery.page(Query(group=found.group))).images if found.group else []
    context: dict[str, Any] = {"before": before, "after": after, "siblings": siblings[::-1], "address": _address(query)}
    context["lineage"] = await studio.gallery.listing.lineage(image_id)
    code = await studio.codes.find(found)
    if code is not None:
        context["code"] = {"bytes": len(code.as_bytes()), "fits_qr": len(code.as_text()) <= QR_CHARS}
        bits = 8 * len(code.bits)
        context["similar"] = [(one, far / bits) for one, far in await studio.codes.similar(found, _SIMILAR)]
    inside = [one for one in studio.collections.all() if one.id in found.collections]
    return rendered(
        studio,
        "image",
        since,
        image=found,
        facts=facts(found.recipe),
        query=query,
        collections=inside,
        file_manager=file_manager(studio.settings),
        **context,
    )


@router.get("/model-manager")
async def model_manager(studio: StudioDep) -> HTMLResponse:
    known = studio.models
    return rendered(studio, "models", models=known.all(), parts=known.parts(), disk_free_bytes=known.disk_free_bytes())


@router.get("/offline")
async def offline(studio: StudioDep) -> HTMLResponse:
    """What an installed page shows while there is no server; it is kept by it (static/sw.js)."""
    return rendered(studio, "offline")


@router.get("/sw.js")
async def worker() -> FileResponse:
    """Here and not below /static: it answers for its own folder and what is below."""
    return FileResponse(STATIC / "sw.js", media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def docs(studio: StudioDep, request: Request) -> HTMLResponse:
    return rendered(studio, "docs", operations=operations(request.app.openapi()))
