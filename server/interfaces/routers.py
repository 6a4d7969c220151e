"""The interfaces of other programs: the paths that they are below, and how each of them tells an error."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from ..compat import ollama, openai, openai_edits, openai_upscale
from ..compat.failing import Render
from ..compat.sdapi import shape as sdapi
from ..compat.sdapi.routers import ROUTERS as SDAPI

ROUTERS: Sequence[tuple[str, APIRouter]] = (
    ("/v1", openai.router),
    ("/v1", openai_edits.router),
    ("/api/v1", openai.router),
    ("/api/v1", openai_edits.router),
    ("/api/v1", openai_upscale.lemonade),
    *(("", router) for router in SDAPI),
    ("", ollama.router),
)
RENDERED: Mapping[str, Render] = {
    "/v1": openai.render_error,
    "/api/v1": openai.render_error,
    "/api": ollama.render_error,
    "/sdapi": sdapi.render_error,
}
