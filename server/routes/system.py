"""Events, memory, health, preferences: what concerns the whole server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse
from starlette.responses import StreamingResponse

from bonsai_mlx.version import __version__

from ..events import EventHub, Listener
from ..options.shapes import Preferences, PreferencesPatch
from ..schemas.system import Health, Memory
from .common import EVENT, StudioDep, errors, streamed

router = APIRouter(tags=["system"])


@contextmanager
def _subscribed(hub: EventHub, listener: Listener) -> Iterator[None]:
    try:
        yield
    finally:
        hub.unsubscribe(listener)


@router.get(
    "/events",
    summary="Everything that happens, as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"itemSchema": EVENT}}}, **errors(429, 503)},
)
async def events(
    studio: StudioDep,
    since: Annotated[str | None, Query(max_length=40, description="The id of an event; those after it come")] = None,
    last_event_id: Annotated[str | None, Header(max_length=40, description="Where to go on after a break")] = None,
) -> EventSourceResponse:
    """Begins with `hello`; then `job`, `preview`, `image`, `image_deleted`, `memory`, `model`, `queue` and `worker`.

    With Last-Event-ID, or else `since`, what was missed follows first, or `reset` when that is too long ago.
    """
    last = last_event_id if last_event_id is not None else since
    listener = studio.events.subscribe(studio.hello(), None if last is None else _id(last))
    subscribed = _subscribed(studio.events, listener)
    return streamed(EventSourceResponse, listener.stream(), subscribed)


def _id(text: str) -> int:
    """What is no id of ours (another program's, or nonsense) is as good as one too old: start over."""
    return int(text) if text.isascii() and text.isdigit() else 0


@router.get("/memory", summary="The memory figures of this moment")
async def memory(studio: StudioDep) -> Memory:
    return studio.memory.snapshot()


@router.post(
    "/unload", summary="End the idle engine, so that all its memory returns to the system", responses=errors(409)
)
async def unload(studio: StudioDep) -> Memory:
    return await studio.unload()


@router.get("/healthz", include_in_schema=False)
@router.get("/health", summary="Whether the server answers; never waits for the engine")
async def health(studio: StudioDep) -> Health:
    return Health(version=__version__, worker=studio.engines.state, uptime_s=round(studio.uptime_s(), 3))


@router.get("/settings", summary="The preferences, and the options that matter to a page")
async def settings(studio: StudioDep) -> Preferences:
    return studio.preferences()


@router.patch("/settings", summary="Change preferences, for this and later starts", responses=errors(409))
async def change_settings(studio: StudioDep, patch: PreferencesPatch) -> Preferences:
    return studio.set_preferences(patch)
