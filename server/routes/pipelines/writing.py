"""The prompt writer: proposals of a scene, word by word."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import BeforeValidator, Field
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bonsai_mlx.request import Seed
from bonsai_mlx.writing.limits import MAX_PROMPT_CHARS, MAX_PROPOSALS, PROPOSALS

from ...errors import ApiError
from ...events import encode
from ...parameters import Fields, ModelName, annotation, whole
from ...validation import Answer
from ...writing.writing import Text
from ..common import EVENT, StudioDep, errors

router = APIRouter(tags=["pipelines"])


class WriteFields(Fields):
    """A few words, in any language."""

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT_CHARS, pattern=r"\S")
    count: Annotated[
        int,
        Field(strict=True, ge=1, le=MAX_PROPOSALS, description="proposals, from consecutive seeds"),
        BeforeValidator(whole),
    ] = PROPOSALS
    seed: annotation(Seed) | None = Field(None, description="the same one writes the same again")  # type: ignore[valid-type]
    model: ModelName | None = Field(None, description="whose checkpoint has the language model")


class Proposal(Answer):
    """A text to be drawn."""

    proposal: int
    text: str
    seed: int
    missing: list[str] = Field(description="words and numbers of the prompt that it lacks")
    note: str | None = Field(description="the same for people, or that it could not be checked")


class Proposals(Answer):
    """`prompt` goes into a request for a picture as `typed`, and a text as its `prompt`: the recipe then has both."""

    prompt: str
    proposals: list[Proposal]


@router.post(
    "/write",
    summary="Make a scene of a few words",
    response_class=Response,
    responses={
        200: {"model": Proposals, "content": {"text/event-stream": {"itemSchema": EVENT}}},
        **errors(409, 429, 500, 507),
    },
)
async def write(studio: StudioDep, request: Request, body: WriteFields) -> Response:
    """Events as they come: `word` (a part of a text), `proposal` (a whole one, with what it lacks), `done`, or `error`.
    With `Accept: application/json` one answer at the end. Leaving stops it; the memory that it takes is given back.
    """
    texts = studio.writing.write(body.prompt, seed=body.seed, count=body.count, model=body.model)
    if "application/json" in request.headers.get("accept", ""):
        async with contextlib.aclosing(texts):
            wholes = [_proposal(text) async for text in texts if text is not None and text.seed is not None]
        return JSONResponse(Proposals(prompt=body.prompt, proposals=wholes).model_dump())
    first = await anext(texts, None)  # what cannot be done is an answer of its own
    return _Texts(texts, first)


class _Texts(StreamingResponse):
    """The texts as events. What writes them is stopped however this ends."""

    def __init__(self, texts: AsyncGenerator[Text | None, None], first: Text | None) -> None:
        self._texts = texts
        super().__init__(_events(texts, first), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._texts):
            await super().__call__(scope, receive, send)


async def _events(texts: AsyncGenerator[Text | None, None], first: Text | None) -> AsyncIterator[bytes]:
    """While nothing is written yet, comments show whether anybody is still there."""
    yield _event(first)
    try:
        async for text in texts:
            yield _event(text)
    except ApiError as error:
        yield encode("error", {"error": error.detail.model_dump()})
    else:
        yield encode("done", {})


def _event(text: Text | None) -> bytes:
    if text is None:
        return KEEPALIVE_COMMENT
    if text.seed is None:
        return encode("word", {"proposal": text.proposal, "text": text.text})
    return encode("proposal", _proposal(text).model_dump())


def _proposal(text: Text) -> Proposal:
    return Proposal(
        proposal=text.proposal, text=text.text, seed=text.seed or 0, missing=list(text.missing), note=text.note
    )
