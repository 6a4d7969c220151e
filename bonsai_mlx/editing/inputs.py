"""The pictures of one request: found by digest, framed, and as the model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ..errors import RequestError
from ..request import Draw
from .blending import Image8
from .canvas import Canvas, canvas_of
from .frame import Box, Frame, Size, frame_of, reference_size, resolved_by, within
from .notes import stretched


@dataclass(frozen=True, slots=True)
class Inputs:
    """What goes into a request beside its words."""

    request: Draw  # with its size, and what the frame has decided
    frame: Frame
    _references: Sequence[Image.Image]
    _init: Image.Image | None
    mask: Image.Image | None
    _morph: Image.Image | None

    @classmethod
    def of(cls, request: Draw, pictures: Mapping[str, Image.Image], recommended: Size) -> Inputs:
        """The pictures by their digests: RGB, and L for the mask. RequestError for one that is missing or unfit."""
        references = [
            _found(pictures, digest, f"references[{place}]") for place, digest in enumerate(request.references)
        ]
        init = None if request.init is None else _found(pictures, request.init, "init")
        mask = None if request.mask is None else _found(pictures, request.mask, "mask")
        morph = None if request.morph is None else _found(pictures, request.morph, "morph")
        frame = frame_of(
            request,
            recommended=recommended,
            init=init.size if init else None,
            mask=mask_box(mask, init.size) if mask and init else None,
            references=[picture.size for picture in references],
        )
        return cls(resolved_by(frame, request), frame, references, init, mask, morph)

    def reference_sizes(self, detail: int | None) -> list[Size]:
        """Pixels, width x height, at which the references are looked at."""
        return [reference_size(picture.size, detail) for picture in self._references]

    def references(self, detail: int | None) -> list[Image8]:
        """The references at those sizes: scaled down, then cropped around their middle, and never stretched."""
        return [_as_reference(picture, detail) for picture in self._references]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done with them that nobody asked for."""
        note = stretched(self.mask.size, self._init.size) if self.mask and self._init else None
        return (note,) if note else ()

    def canvas(self) -> Canvas | None:
        return canvas_of(self.request, self.frame, self._init, self.mask) if self._init else None

    def morph(self, size: Size) -> Image8 | None:
        """The picture to morph into, at the size of the other: scaled to cover it, and cropped around its middle."""
        return None if self._morph is None else np.asarray(ImageOps.fit(self._morph, size, Image.Resampling.LANCZOS))


def mask_box(mask: Image.Image, size: Size) -> Box | None:
    """The smallest box in a picture of that size that holds all that the mask repaints; None if it repaints nothing."""
    fitting = mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)
    return fitting.getbbox()


def _found(pictures: Mapping[str, Image.Image], digest: str, field: str) -> Image.Image:
    if digest not in pictures:
        raise RequestError(field, f"the picture {digest[:12]}... is not there; give it again")
    return pictures[digest]


def _as_reference(picture: Image.Image, detail: int | None) -> Image8:
    width, height = reference_size(picture.size, detail)
    smaller = within(picture.size, (detail or 1024) ** 2)
    if smaller != picture.size:
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))
