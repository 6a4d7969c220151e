"""The pictures that a request names, found and measured before anything waits in the queue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bonsai_mlx.adapters.prompt import with_prompt_adapters
from bonsai_mlx.editing.frame import Box, Size, frame_of, held_bytes, redrawing, reference_size, resolved_by
from bonsai_mlx.editing.notes import LAID_ON_WHITE, stretched
from bonsai_mlx.errors import RequestError
from bonsai_mlx.request import Draw, Enlarge, ResolvedEnlarge, drawn_with

from ..checkpoints.ready import ReadyModel
from ..errors import ApiError
from ..gallery.gallery import Gallery
from ..gallery.inputs import Input, Inputs
from ..schemas.images import Image
from ..schemas.jobs import Relative

_DIGEST_CHARS = 64  # of an input; a picture of the gallery has an id half as long
_REMEDY = "Add it with POST /inputs first, or give the id of a picture in the gallery."


@dataclass(slots=True)
class Prepared:
    """A request whose pictures are inputs, with its size."""

    request: Draw
    parents: list[Relative] = field(default_factory=list)  # pictures of the gallery among them
    references: list[Size] = field(default_factory=list)  # at which they are looked at
    held_bytes: int = 0  # see frame.held_bytes
    notes: list[str] = field(default_factory=list)  # for people, of what pictures lose and how they are made to fit


def refused(error: RequestError) -> ApiError:
    return ApiError(422, "bad_field", f"{error.message[0].upper()}{error.message[1:]}.", field=error.field)


async def prepare(request: Draw, inputs: Inputs, gallery: Gallery, recommended: Size) -> Prepared:
    """ApiError for a picture that is not there or cannot be used, naming its field."""
    prepared = Prepared(request)
    if not (request.references or request.init or request.mask or request.extend or request.morph):
        return prepared
    finder = _Finder(inputs, gallery, prepared.parents, prepared.notes)
    references = [await finder.find(one, f"references[{i}]", "reference") for i, one in enumerate(request.references)]
    init = await finder.find(request.init, "init", "input") if request.init else None
    mask = await finder.find(request.mask, "mask", "mask") if request.mask else None
    morph = await finder.find(request.morph, "morph", "morph") if request.morph else None
    prepared.request = replace(
        request,
        references=tuple(one.id for one in references),
        init=init.id if init else None,
        mask=mask.id if mask else None,
        morph=morph.id if morph else None,
        extend=tuple(request.extend) if request.extend else None,
    ).validated()
    try:
        frame = frame_of(
            prepared.request,
            recommended=recommended,
            init=init.size if init else None,
            mask=_box_in(mask, init.size) if mask and init else None,
            references=[one.size for one in references],
        )
    except RequestError as error:
        raise refused(error) from None
    if init and mask and (note := stretched(mask.size, init.size)):
        prepared.notes.append(note)
    prepared.request = resolved_by(frame, prepared.request)
    prepared.held_bytes = held_bytes(init.size if init else None, [one.size for one in references])
    prepared.references = _looked_at(prepared.request, [one.size for one in references])
    return prepared


async def prepare_enlarging(
    request: Enlarge, inputs: Inputs, gallery: Gallery, notes: list[str]
) -> tuple[Enlarge, Size, Image | None, list[Relative]]:
    """The request with its picture as an input, that one's size, and its entry if the gallery has it. ApiError.

    Without words the picture's own are taken, and with them the adapters and the guidance that it was drawn with. What
    is enlarged exactly stays transparent; what a picture loses is added to the `notes`.
    """
    parents: list[Relative] = []
    finder = _Finder(inputs, gallery, parents, notes, whole=request.method == "exact")
    found = await finder.find(request.source, "source", "source")
    entry = gallery.get(parents[0].id) if parents else None
    if request.prompt.strip() or entry is None:
        return replace(request, source=found.id), found.size, entry, parents
    own = drawn_with(entry.recipe or {}) if request.method == "refine" else {}
    own = {name: getattr(request, name) or value for name, value in own.items()}
    return replace(request, source=found.id, prompt=entry.prompt, **own), found.size, entry, parents


def enlarging(request: Enlarge, size: Size, ready: ReadyModel) -> ResolvedEnlarge:
    """The request with nothing left open, as this model carries it out; `size` is that of the picture. RequestError."""
    if request.method != "refine":
        return request.resolved(size=size, steps=ready.recommended_steps)
    resolved = with_prompt_adapters(request).resolved(
        size=size, steps=ready.recommended_steps, guidance=ready.recommended_guidance
    )
    redrawing(resolved, ready.recommended_size)[0].resolved(**ready.recommended)  # which may refuse the guidance
    return resolved


def _looked_at(request: Draw, sizes: Sequence[Size]) -> list[Size]:
    return [reference_size(size, request.reference_detail) for size in sizes]


async def picture_of(name: str, place: str, inputs: Inputs, gallery: Gallery) -> Input:
    """The picture of the gallery or among the inputs as an input. ApiError names the field `place`."""
    return await _Finder(inputs, gallery, [], []).find(name, place, "picture")


class _Finder:
    """`whole`: with its transparent parts, where a picture has any."""

    def __init__(
        self, inputs: Inputs, gallery: Gallery, parents: list[Relative], notes: list[str], *, whole: bool = False
    ) -> None:
        self._inputs, self._gallery, self._parents = inputs, gallery, parents
        self._notes, self._whole = notes, whole

    async def find(self, name: str, place: str, role: str) -> Input:
        mask = role == "mask"
        if len(name) != _DIGEST_CHARS:
            try:
                image = self._gallery.get(name)
            except ApiError:
                raise _unknown(place) from None
            self._parents.append(Relative(id=image.id, role=role))
            return await self._taken(self._gallery.file(name), place, mask=mask)
        found = self._inputs.find(name)
        if found is None:
            raise _unknown(place)
        if role == "input" and (image_id := self._gallery.changed_before(name)):
            self._parents.append(Relative(id=image_id, role=role))
        if self._whole and found.whole and (whole := self._inputs.find(found.whole)):
            return whole
        if found.mask != mask or found.is_transparent:  # a plain picture as a mask, or the other way round
            return await self._taken(self._inputs.path(name), place, mask=mask)
        if found.whole:
            self._notes.append(f"{place}: {LAID_ON_WHITE}")
        return found

    async def _taken(self, file: Path, place: str, *, mask: bool) -> Input:
        first, *others = await self._inputs.add(file, place, mask=mask, whole=self._whole)
        if self._whole and others:
            return others[-1]
        self._notes += [f"{place}: {note}" for note in first.notes]
        return first


def _unknown(place: str) -> ApiError:
    return ApiError(422, "bad_field", "There is no such picture.", field=place, remedy=_REMEDY)


def _box_in(mask: Input, size: Size) -> Box | None:
    if mask.box is None:
        return None
    across, down = size[0] / mask.width, size[1] / mask.height
    left, top, right, bottom = mask.box
    far = min(size[0], math.ceil(right * across)), min(size[1], math.ceil(bottom * down))
    return math.floor(left * across), math.floor(top * down), *far
