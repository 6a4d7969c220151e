"""How the interfaces of other programs fail: what happened in words, and each one's own shape around them."""

import json
import logging
import math
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from bonsai_mlx.errors import BonsaiError

from ..errors import ApiError, ErrorDetail, from_bonsai, from_http, from_index
from ..validation import explain

log = logging.getLogger("bonsai.compat")

Render = Callable[[int, ErrorDetail], Response]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_ABSENT = {  # what programs look for that another kind of server has, by a word of the path
    "chat": "chat",
    "completions": "chat",
    "responses": "chat",
    "messages": "chat",
    "embed": "embedding of texts",
    "embeddings": "embedding of texts",
    "audio": "speech",
    "moderations": "moderation",
    "videos": "video",
    "interrogate": "describing of pictures",
    "pull": "downloading of models: that is done on the page Models, or with `bonsai-mlx download`",
    "push": "uploading of models",
    "create": "making of models",
    "copy": "copying of models",
    "delete": "deleting of models: that is done on the page Models",
    "files": "storage of files",
    "batches": "storage of files",
    "fine_tuning": "training",
    "train": "training",
}


def absent(draws_at: str, path: str) -> str:
    """What to say of a path that leads nowhere, below an interface that draws at `draws_at`."""
    missing = next((_ABSENT[part] for part in path.split("/") if part in _ABSENT), None)
    if missing is None:
        return f"There is nothing at this address; this server draws pictures, with POST {draws_at}."
    return f"There is no {missing} here; this server draws pictures, with POST {draws_at}."


def json_answer(content: Any, status: int = 200) -> Response:
    """JSON in plain ASCII, which can hold whatever a client has sent, half characters included."""
    return Response(json.dumps(content), status_code=status, media_type="application/json")


def sentence(detail: ErrorDetail) -> str:
    """Message and remedy in one text, for shapes that have only one place for both."""
    if not detail.remedy:
        return detail.message
    said = detail.remedy.endswith(".")  # the others are commands to be copied
    return f"{detail.message} {detail.remedy}" if said else f"{detail.message} Run: {detail.remedy}"


def as_api_error(error: Exception) -> ApiError:
    """Any exception as an answer for clients; the unexpected ones go to the log under an id."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BonsaiError):
        return from_bonsai(error)
    if isinstance(error, HTTPException):
        return from_http(error)
    if (of_index := from_index(error)) is not None:
        return of_index
    if isinstance(error, ClientDisconnect):
        return ApiError(499, "cancelled", "The caller left before the request had arrived.")
    if isinstance(error, RequestValidationError):
        fault = explain(error.errors()[0])
        return ApiError(400, "bad_field", fault.message, field=fault.field, remedy=fault.remedy)
    error_id = secrets.token_hex(4)
    log.error("error %s", error_id, exc_info=error)
    message = f"Something went wrong inside the server; its log has the details under {error_id}."
    return ApiError(500, "failed", message)


def errors_as(render: Render) -> type[APIRoute]:
    """A route class whose failures leave in the interface's own shape; `render` gets the status and what went wrong."""

    class _Route(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except Exception as error:
                    mapped = as_api_error(error)
                    response = render(mapped.status, mapped.detail)
                    if mapped.detail.retry_after_s is not None:  # the header is every client's; the shapes differ
                        response.headers["Retry-After"] = str(max(1, math.ceil(mapped.detail.retry_after_s)))
                    if isinstance(error, HTTPException):  # such as that the connection ends: its body was not read
                        response.headers.update(error.headers or {})
                    return response

            return answer

    return _Route
