"""Which addresses are pages for people, and so may be reached by a link from anywhere."""

import re

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PAGES = frozenset({"/", "/gallery", "/gallery/deleted", "/model-manager", "/connect", "/preferences", "/docs"})
IMAGE_PAGE = re.compile(r"/i/[0-9a-f]{32}")


# What a person who types the address of data means.
_PAGE_OF = {
    "/models": "/model-manager",
    "/settings": "/preferences",
    "/images": "/gallery",
    "/collections": "/gallery",
    "/jobs": "/",
    "/styles": "/",
}


class PagesForPeople:
    """Who asks for a page where there is data is led to the page that shows it. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = _PAGE_OF.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if page and Headers(scope=scope).get("accept", "").startswith("text/html"):
            headers = {"Vary": "Accept", "Cache-Control": "no-store"}
            await RedirectResponse(page, 303, headers)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def is_page(path: str) -> bool:
    """Whether a link from another site may lead to this path."""
    return path in PAGES or IMAGE_PAGE.fullmatch(path) is not None
