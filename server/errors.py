"""The shape of every error that leaves the server, and the mapping of exceptions to it.

Clients never see the text of a library's exception: only ours, or an error id to find in the log.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Scope

from bonsai_mlx.errors import (
    BonsaiError,
    CheckpointError,
    CheckpointInUse,
    OutOfMemory,
    PictureError,
    RequestError,
)
from bonsai_mlx.version import __version__

from .index.damage import is_damage
from .templating import render
from .validation import Answer, Unreadable, explain, unreadable

log = logging.getLogger("bonsai.server")

Code = Literal[
    "bad_field",
    "bad_request",
    "bad_picture",
    "queue_full",
    "model_missing",
    "not_installed",
    "not_found",
    "forbidden",
    "unauthorized",
    "too_large",
    "does_not_fit",
    "cancelled",
    "failed",
    "out_of_memory",
    "shutting_down",
    "conflict",
    "disk_full",
]


class ErrorDetail(Answer):
    """What went wrong, in words for a person, and what to do about it."""

    code: Code
    message: str
    field: str | None = None
    remedy: str | None = None
    retry_after_s: float | None = None


class ErrorBody(Answer):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


class ApiError(Exception):
    """An answer other than success, raised anywhere below a route."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = ErrorDetail(code=code, message=message, field=field, remedy=remedy, retry_after_s=retry_after_s)


AN_OBJECT = 'Send an object, such as {"prompt": "a red fox"}.'
_ELSEWHERE = {
    "job": "It may be too old to be kept; its picture, if there is one, is in the gallery.",
    "image": "It may have been deleted; the gallery has those that there are.",
    "deleted image": "It may have been restored, or be past its time in the trash.",
    "bits": "Only a model that draws in bits has them, beside its previews.",
    "preview": "There is one after the first step, unless previews are switched off.",
    "input": "It may be past its time; add the picture again with POST /inputs.",
    "model": "GET /models lists those that there are.",
}


def not_found(what: str) -> ApiError:
    """404 for `what`, e.g. "image"."""
    remedy = _ELSEWHERE.get(what, "It may have been deleted; ask for the list of those that there are.")
    return ApiError(404, "not_found", f"There is no such {what}.", remedy=remedy)


def shutting_down() -> ApiError:
    return ApiError(503, "shutting_down", "The server is shutting down.", retry_after_s=10)


def is_shutting_down(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.detail.code == "shutting_down"


def error_response(status: int, detail: ErrorDetail) -> JSONResponse:
    headers = {}
    if detail.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(detail.retry_after_s)))
    return JSONResponse(ErrorBody(error=detail).model_dump(), status_code=status, headers=headers)


@dataclass(frozen=True, slots=True)
class Interface:
    """Another program's interface: what is refused below its path is told in its own shape."""

    prefix: str
    render: Callable[[int, ErrorDetail], Response]
    absent: Callable[[str], str]  # what to say of a path below it that leads nowhere


def below(path: str, prefix: str) -> bool:
    return f"{path}/".startswith(f"{prefix}/")


def interface_of(scope: Scope) -> Interface | None:
    """The interface below whose path a request is; None: the native one, or an application that has no others."""
    interfaces: Sequence[Interface] = scope["app"].state.interfaces if "app" in scope else ()
    return next((interface for interface in interfaces if below(scope["path"], interface.prefix)), None)


def refusal(scope: Scope, status: int, detail: ErrorDetail) -> Response:
    interface = interface_of(scope)
    return interface.render(status, detail) if interface else error_response(status, detail)


_TITLES = {404: "Not found", 422: "This address is not right", 503: "Just a moment"}


def _answer(request: Request, status: int, detail: ErrorDetail) -> Response:
    """The error as a page for a browser that follows a link, in the caller's shape for everybody else."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        remedy = _REMEDIES_ON_A_PAGE.get(detail.remedy or "", detail.remedy)
        said = (remedy or "").endswith(".")  # the others are commands to be copied
        message = f"{detail.message} {remedy}" if said else detail.message
        context = {"title": _TITLES.get(status, "That did not work"), "message": message}
        asked = request.scope  # mostly it is what is after the ? that is wrong
        bare = asked["path"] if status == 422 and asked["query_string"] else None
        common = {"version": __version__, "page": "error", "remedy": None if said else remedy, "bare": bare}
        return HTMLResponse(render("error.html", context | common), status_code=status)
    return refusal(request.scope, status, detail)


_STATUS_CODES: dict[int, Code] = {401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large"}
_STATUS_TEXTS = {
    400: "The request could not be read.",
    404: "There is nothing at this address.",
    405: "This address does not answer to that method.",
    408: "The body did not arrive in time.",
    413: "The request is larger than this address accepts.",
}
_STATUS_REMEDIES = {
    400: "Look at its address, its headers and its form.",
    404: "Look whether the address is spelt right; /openapi.json has all of them.",
    408: "Send it again, all at once.",
    413: "Send less at a time.",
}
_REMEDIES_ON_A_PAGE = {_STATUS_REMEDIES[404]: "The link may be wrong, or what it led to was deleted."}


def from_bonsai(error: BonsaiError) -> ApiError:
    if isinstance(error, RequestError):
        return ApiError(422, "bad_field", error.message, field=error.field)
    if isinstance(error, OutOfMemory):
        return ApiError(507, "out_of_memory", str(error), remedy="Choose a smaller size, or a larger memory limit.")
    if isinstance(error, CheckpointError):
        return ApiError(409, "model_missing", str(error))
    if isinstance(error, PictureError):
        return ApiError(422, "bad_picture", f"{str(error)[0].upper()}{str(error)[1:]}.")
    if isinstance(error, CheckpointInUse):
        message = "Another program is downloading, checking or deleting this checkpoint."
        return ApiError(409, "conflict", message, remedy="Wait until it has finished, then try again.")
    return ApiError(500, "failed", str(error))


def from_http(error: HTTPException) -> ApiError:
    code = _STATUS_CODES.get(error.status_code, "bad_request")
    message = _STATUS_TEXTS.get(error.status_code, "The request was not accepted.")
    return ApiError(error.status_code, code, message, remedy=_STATUS_REMEDIES.get(error.status_code))


DAMAGED_INDEX = ErrorDetail(
    code="failed",
    message="The gallery's index is damaged.",
    remedy="Start the server again: it makes the index anew from the images.",
)


def from_index(error: Exception) -> ApiError | None:
    """Why the gallery's index, an SQLite file, did not do what was asked; None when the mistake is our own."""
    damaged = is_damage(error)
    if not damaged and not isinstance(error, sqlite3.OperationalError):
        return None
    log.error("the gallery's index: %s", error)
    if damaged:
        return ApiError(500, DAMAGED_INDEX.code, DAMAGED_INDEX.message, remedy=DAMAGED_INDEX.remedy)
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the bits above tell where in SQLite it was noticed
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        remedy = "Close the program that has it open, then try again."
        return ApiError(503, "conflict", "The gallery's index is in use by another program.", remedy=remedy)
    message = "The gallery's index cannot be written, most likely because the disk is full."
    return ApiError(507, "disk_full", message, remedy="Free some space.")


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101  (the registration below guarantees it)
    return _answer(request, error.status, error.detail)


async def _on_bonsai_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BonsaiError)  # noqa: S101
    mapped = from_bonsai(error)
    return _answer(request, mapped.status, mapped.detail)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first: Any = error.errors()[0]
    kind, place = first["type"], tuple(first["loc"])
    if kind == "json_invalid" or (place == ("body",) and kind in ("missing", "model_attributes_type")):
        return await _on_wrong_body(request, kind)
    fault = explain(first)
    detail = ErrorDetail(code="bad_field", message=fault.message, field=fault.field, remedy=fault.remedy)
    return _answer(request, 422, detail)


async def _on_wrong_body(request: Request, kind: str) -> Response:
    """What is wrong with the body as a whole. Curl, most of all, calls it a form unless it is told otherwise."""
    if (problem := await _unreadable(request)) is not None and (kind == "json_invalid" or problem.compressed):
        detail = ErrorDetail(code="bad_field", message=problem.message, remedy=problem.remedy)
        return _answer(request, 415 if problem.compressed else 422, detail)
    return _answer(request, 422, _wrong_kind(request, kind))


async def _unreadable(request: Request) -> Unreadable | None:
    raw = await request.body()
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as problem:
        return unreadable(raw, request.headers.get("content-encoding", ""), problem)
    return None


def _wrong_kind(request: Request, kind: str) -> ErrorDetail:
    if kind == "missing":
        return ErrorDetail(code="bad_field", message="There is no body.", remedy="Send a JSON object.")
    sent_as = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent_as.startswith("application/") and sent_as.endswith(("/json", "+json")):
        return ErrorDetail(code="bad_field", message="The body has to be a JSON object.", remedy=AN_OBJECT)
    message = f"The body is sent as {sent_as[:80]}, not as JSON." if sent_as else "The body is not said to be JSON."
    remedy = "Send the header `Content-Type: application/json`; with curl: -H 'Content-Type: application/json'."
    return ErrorDetail(code="bad_field", message=message, field="Content-Type", remedy=remedy)


def _methods(request: Request) -> set[str]:
    """Every method that the path answers to; the router itself names those of one route only."""
    document = request.app.openapi()["paths"]
    path = request.scope["path"]
    meant = {path: document[path]} if path in document else document  # "/images/ids" is no id of a picture
    methods = {
        method.upper()
        for template, methods in meant.items()
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/.]+", re.escape(template)), path)
        for method in methods
    } or {"GET"}
    return methods | ({"HEAD"} if "GET" in methods else set())


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status, detail = error.status_code, from_http(error).detail
    if status == 400 and isinstance(
        error.__cause__, ValueError | RecursionError
    ):  # the framework's word for its parser
        problem = await _unreadable(request)
        if problem is not None:
            status = 415 if problem.compressed else 400
            detail = ErrorDetail(code="bad_request", message=problem.message, remedy=problem.remedy)
    elif status == 404 and (interface := interface_of(request.scope)) is not None:
        detail = detail.model_copy(update={"message": interface.absent(request.scope["path"])})
    elif status == 405:
        methods = ", ".join(sorted(_methods(request)))
        update = {
            "message": f"This address answers to {methods}.",
            "remedy": f"Ask with {methods.replace(', ', ' or ')}.",
        }
        detail = detail.model_copy(update=update)
    response = _answer(request, status, detail)
    response.headers.update(error.headers or {})
    if status == 405:
        response.headers["Allow"] = methods
    return response


async def _on_database_error(request: Request, error: Exception) -> Response:
    mapped = from_index(error)
    if mapped is None:
        raise error
    return _answer(request, mapped.status, mapped.detail)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    error_id = secrets.token_hex(4)
    log.error("error %s: %s", error_id, type(error).__name__)  # the traceback follows from the server itself
    message = f"Something went wrong inside the server; its log has the details under {error_id}."
    return _answer(request, 500, ErrorDetail(code="failed", message=message))


def install(app: FastAPI, interfaces: Sequence[Interface] = ()) -> None:
    """Register the handlers: everything that is raised below leaves in the shape of the path that was asked for.

    Of the other programs' interfaces the first whose prefix a path has counts.
    """
    app.state.interfaces = interfaces
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(BonsaiError, _on_bonsai_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(sqlite3.DatabaseError, _on_database_error)
    app.add_exception_handler(Exception, _on_unexpected)
