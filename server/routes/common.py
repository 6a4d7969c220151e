"""What the routes share: the studio, ids, and how errors are documented."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor

from ..errors import ErrorBody
from ..gallery import CURSOR
from ..studio import Studio


def get_studio(request: Request) -> Studio:
    studio = request.app.state.studio
    if not isinstance(studio, Studio):
        raise TypeError("app.state.studio is not a Studio")
    return studio


StudioDep = Annotated[Studio, Depends(get_studio)]


class IdConvertor(Convertor[str]):
    """`{name:id}` in a path: anything else is not found, whatever the method."""

    regex = "[0-9a-f]{32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", IdConvertor())

Responses = dict[int | str, dict[str, Any]]
Cursor = Annotated[str, Query(pattern=CURSOR, description="`next_cursor` of the page before")]
IdPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]
ModelNamePath = Annotated[str, Path(min_length=1, max_length=80, pattern=r"^[a-z0-9-]+$")]


def errors(*statuses: int) -> Responses:
    """The error answers of a route, for the OpenAPI document."""
    return {status: {"model": ErrorBody} for status in (400, 422, *statuses)}
