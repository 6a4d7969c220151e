"""Words: named texts around a prompt, ours and the user's, and how much of a prompt is read."""

from typing import Annotated

from fastapi import APIRouter, Query

from bonsai_mlx.pipelines.styles import Style, StyleBook
from bonsai_mlx.request import MAX_STYLE_NAME_CHARS

from ...parameters import PromptRequest, StyleFields
from ...schemas.system import PromptLength, StyleList, StyleShown
from ..common import StudioDep, errors

router = APIRouter(tags=["styles"])

StyleNameQuery = Annotated[str, Query(min_length=1, max_length=MAX_STYLE_NAME_CHARS)]


def listed(book: StyleBook) -> StyleList:
    return StyleList(styles=[StyleShown(**style.as_json(), ours=book.is_ours(style)) for style in book.styles])


@router.get("/styles", summary="The styles there are", responses=errors())
async def styles() -> StyleList:
    return listed(StyleBook.open())


@router.post("/styles", summary="Add a style, or change the one of that name", responses=errors())
async def save(body: StyleFields) -> StyleList:
    return listed(StyleBook.open().save(Style(**body.model_dump())))


@router.delete("/styles", summary="Remove a style, also one of ours", responses=errors())
async def delete(name: StyleNameQuery) -> StyleList:
    return listed(StyleBook.open().delete(name))


@router.post("/styles/restore", summary="Have our own styles back as they were", responses=errors())
async def restore() -> StyleList:
    return listed(StyleBook.open().restore())


@router.post("/prompts/length", tags=["styles"], summary="How much of a prompt the model reads", responses=errors(409))
async def length(studio: StudioDep, body: PromptRequest) -> PromptLength:
    """With its styles. Counted without drawing anything, and without the engine."""
    return await studio.prompt_length(body, body.model)
