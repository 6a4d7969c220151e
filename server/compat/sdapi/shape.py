"""What all routes of A1111's interface share: their prefix, and how they fail."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from ...errors import ErrorDetail
from ...routes.common import failures
from ..failing import errors_as, json_answer, sentence


class SdapiFailure(BaseModel):
    """An error as A1111 has it."""

    error: str
    detail: str
    body: str
    errors: str


def render_error(status: int, detail: ErrorDetail) -> Response:
    message = sentence(detail)
    return json_answer({"error": detail.code, "detail": message, "body": "", "errors": message}, status)


def new_router() -> APIRouter:
    return APIRouter(
        prefix="/sdapi/v1", tags=["sdapi"], route_class=errors_as(render_error), responses=failures(SdapiFailure)
    )
