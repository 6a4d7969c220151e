"""The page of settings, and the way in for a phone."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bonsai_mlx.hub import published
from bonsai_mlx.printable import printable

from ..edge.access import TICKET, TICKET_S
from ..errors import ApiError
from ..library.reveal import file_manager
from ..options.choices import OPTIONS, PART_KINDS
from ..options.phone import outside_url, qr_svg
from ..options.shapes import PhoneLink
from .common import StudioDep, errors
from .pages import rendered

router = APIRouter(tags=["system"])


def _offered(field: str, studio: StudioDep) -> list[tuple[str, str, bool]]:
    """Name, title and whether it is here of what may take the place of a model's own part."""
    current = studio.choices.named_parts.get(field)
    known = published.parts(PART_KINDS[field])
    offered = [(entry.name, entry.title, studio.choices.has(field, entry.name)) for entry in known]
    if current and current not in (name for name, _, _ in offered):  # a path that the start was given
        offered.append((current, printable(current), True))
    return offered


@router.get("/preferences", include_in_schema=False, response_class=HTMLResponse)
async def page(studio: StudioDep) -> HTMLResponse:
    models = [model for model in studio.models.all() if model.state == "ready"]
    return rendered(
        studio,
        "preferences",
        models=models,
        folder=printable(studio.settings.output.absolute()),
        file_manager=file_manager(studio.settings),
        options={field: option for field, (_, option) in OPTIONS.items()},
        parts={field: _offered(field, studio) for field in PART_KINDS},
        offered_preview=studio.choices.offered_preview(),
        server=studio.settings,
        memory_total_gb=studio.memory.snapshot().system_total_bytes / 1e9,
    )


@router.post("/settings/phone", summary="A link that signs one phone in, once, and its QR code", responses=errors(409))
async def phone(studio: StudioDep, request: Request) -> PhoneLink:
    """Only where the server listens to the network. The link is good for ten minutes."""
    access = request.app.access
    if studio.settings.loopback or access is None:
        message = "This server listens to this computer alone; a phone cannot reach it."
        raise ApiError(409, "conflict", message, remedy="Start it with --host 0.0.0.0.")
    url = f"{outside_url(studio.settings.host, request.scope['server'][1])}/?{TICKET}={access.tickets.issue()}"
    return PhoneLink(url=url, svg=qr_svg(url), seconds=TICKET_S)
