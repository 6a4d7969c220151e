"""What the routes share: the studio, ids, and how errors are documented."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..errors import ErrorBody
from ..gallery import trash
from ..gallery.listing import CURSOR, Sort
from ..gallery.listing import Query as Listed
from ..parameters import schema_of
from ..schemas.names import Id
from ..studio import Studio


def get_studio(request: Request) -> Studio:
    studio = request.app.state.studio
    if not isinstance(studio, Studio):
        raise TypeError("app.state.studio is not a Studio")
    return studio


EVENT = {  # of a stream, as the OpenAPI document has it
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
StudioDep = Annotated[Studio, Depends(get_studio)]


class IdConvertor(Convertor[str]):
    """`{name:id}` in a path: anything else is not found, whatever the method."""

    regex = "[0-9a-f]{32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", IdConvertor())

Parts = TypeVar("Parts", bound=StreamingResponse)
Responses = dict[int | str, dict[str, Any]]
Cursor = Annotated[str, Query(pattern=CURSOR, description="`next_cursor` of the page before")]
BinCursor = Annotated[str, Query(pattern=trash.CURSOR, description="`next_cursor` of the page before")]
Words = Annotated[str, Query(max_length=200, description="Words that the prompt must have")]


def _listed(
    q: Words = "",
    favourite: bool | None = None,
    group: Id | None = None,
    collection: Id | None = None,
    sort: Annotated[Sort, Query(description="by time, or by the prompt")] = "newest",
) -> Listed:
    return Listed(q, favourite, group, collection, sort)


ListingQuery = Annotated[Listed, Depends(_listed)]
IdPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]
ModelNamePath = Annotated[str, Path(min_length=1, max_length=80, pattern=r"^[a-z0-9-]+$")]


def json_body(shape: type[BaseModel]) -> dict[str, Any]:
    """The document's words for a JSON body that a route reads by itself; fields that are not named change nothing."""
    schema = _untitled(schema_of(shape))
    return {
        "requestBody": {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}
    }


def _untitled(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _untitled(part) for name, part in schema.items() if name != "title" or not isinstance(part, str)}


def streamed(
    kind: type[Parts], content: AsyncIterator[bytes], during: AbstractContextManager[None], **options: Any
) -> Parts:
    """An answer in parts, inside of the block `during`, which ends however the answer ends.

    What an iterator holds in a block of its own is never let go of if it is never begun: its caller may be gone before.
    """

    class _Streamed(kind):  # type: ignore[misc, valid-type]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            with during:
                await super().__call__(scope, receive, send)

    response: Parts = _Streamed(content, **options)
    return response


def file_of(*media_types: str) -> Responses:
    return {200: {"content": {name: {"schema": {"type": "string", "format": "binary"}} for name in media_types}}}


def failures(shape: type[BaseModel]) -> Responses:
    """The errors of another program's interface: its shape from its routes, ours from the middleware."""
    answer = {"model": shape | ErrorBody, "description": "What went wrong"}
    return {"4XX": answer, "5XX": answer}


def errors(*statuses: int) -> Responses:
    return {status: {"model": ErrorBody} for status in (400, 422, *statuses)}
