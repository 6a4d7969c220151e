"""Which part of a picture is drawn, at what size, and what size comes out: numbers alone, before a pixel is read.

    init, 900x600    extend (0, 0, 300, 0)          canvas  1200x600: the picture with what is added to it
    +---------+      +---------+----+               box     the part that is drawn, in the canvas's pixels: all of it,
    |         |  ->  |         |new |                       or the surroundings of the mask
    +---------+      +---------+----+               drawn   the size at which the model draws the box
                                                    out     the size of the finished picture

The rules of `diffusers`' pipelines hold where they are asked for (`restore_unmasked=False`), and for references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import RequestError
from ..request import MAX_CANVAS_AREA, MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX, Draw, ResolvedEnlarge

Size = tuple[int, int]  # pixels, width x height
Box = tuple[int, int, int, int]  # pixels: left, top, right, bottom

MAX_DRAWN_AREA = 1024 * 1024  # above it a picture is scaled down to be drawn, as in the reference
MAX_ASPECT = 8
_MARGIN_PX = 32  # at least, around a mask whose surroundings alone are drawn; the widest mask blur of other programs
_WORTH_IT = 0.5  # of the canvas: what is drawn alone covers no more


@dataclass(frozen=True, slots=True)
class Frame:
    """See the module's docstring."""

    drawn: Size
    out: Size
    canvas: Size | None = None  # None: no picture is changed
    offset: tuple[int, int] = (0, 0)  # of `init` in the canvas
    box: Box = (0, 0, 0, 0)  # may reach beyond the canvas
    only_masked: bool = False

    @property
    def on_canvas(self) -> Box:
        left, top, right, bottom = self.box
        width, height = self.canvas or (0, 0)
        return max(left, 0), max(top, 0), min(right, width), min(bottom, height)

    @property
    def beyond(self) -> Box:
        """By how many pixels the box reaches beyond the canvas, on each side."""
        inside = self.on_canvas
        return inside[0] - self.box[0], inside[1] - self.box[1], self.box[2] - inside[2], self.box[3] - inside[3]

    @property
    def box_size(self) -> Size:
        return _size(self.box)


def frame_of(
    request: Draw, *, recommended: Size, init: Size | None, mask: Box | None, references: Sequence[Size] = ()
) -> Frame:
    """The frame of a request whose `init` and references have these sizes.

    `mask` is the smallest box, in `init`'s pixels, that holds all that the mask repaints. `recommended` is the size
    that the checkpoint draws best. A request that was resolved with the frame's size and choice has the same frame:
    a size that is given counts where it is not the one that would be chosen. RequestError for a picture that is too
    small, too narrow or becomes too large.
    """
    for place, size in enumerate(references):
        check_picture(f"references[{place}]", size)
    if init is None:
        wanted = reference_size(references[0]) if references else recommended
        size = _given(request, wanted)
        return Frame(drawn=size, out=size)
    check_picture("init", init)
    left, top, right, bottom = request.extend or (0, 0, 0, 0)
    canvas = (init[0] + left + right, init[1] + top + bottom)
    if canvas[0] * canvas[1] > MAX_CANVAS_AREA:
        limit = MAX_CANVAS_AREA // 1_000_000
        raise RequestError("extend", f"makes {canvas[0]}x{canvas[1]} pixels; at most {limit} million are possible")
    offset = (left, top)
    painted = _painted(request, init, canvas, mask)
    if painted == (0, 0, 0, 0):
        lack = "the mask repaints nothing; what is to be drawn anew has to be white in it, or transparent"
        raise RequestError("mask", lack)
    if painted is None or not request.restore_unmasked:
        usual = floored(canvas)
        size = _given(request, usual)
        box = (0, 0, *canvas) if size == usual else _covering(canvas, size)
        return Frame(size, size, canvas, offset, box)
    usual, whole = _whole(canvas)
    size = _given(request, usual)
    if size != usual and not request.only_masked:
        return Frame(size, size, canvas, offset, _covering(canvas, size))
    box = _surroundings(painted, canvas, request.margin_px)
    if _only_masked(request, box, canvas):
        drawn = _given(request, _enlarged(_size(box), recommended))
        return Frame(drawn, canvas, canvas, offset, box, only_masked=True)
    return Frame(usual, canvas, canvas, offset, whole)


def check_picture(field: str, size: Size) -> None:
    """RequestError for a picture that is too small or too narrow to be looked at or changed."""
    width, height = size
    if min(size) < MIN_SIZE_PX:
        raise RequestError(field, f"the picture has {width}x{height} pixels; {MIN_SIZE_PX} a side are needed")
    if max(size) > MAX_ASPECT * min(size):
        raise RequestError(field, f"the picture is {width}x{height}; one side may have {MAX_ASPECT} times the other")


def reference_size(size: Size, detail: int | None = None) -> Size:
    """What a picture that is looked at is scaled and cropped to; `detail` squared is its area at most."""
    width, height = within(size, (detail or 1024) ** 2)
    return _down(width), _down(height)


def within(size: Size, area: int) -> Size:
    """The size scaled down to an area, as the reference does it; a smaller one is left as it is."""
    width, height = size
    if width * height <= area:
        return size
    scale = math.sqrt(area / (width * height))
    return int(width * scale), int(height * scale)


def floored(size: Size) -> Size:
    """The size at which a picture is drawn whole, when it may be stretched by some pixels."""
    width, height = within(size, MAX_DRAWN_AREA)
    return _side(_down(width)), _side(_down(height))


def _given(request: Draw, otherwise: Size) -> Size:
    return request.width or otherwise[0], request.height or otherwise[1]


def _painted(request: Draw, init: Size, canvas: Size, mask: Box | None) -> Box | None:
    """What is repainted, in the canvas's pixels; None where no mask and no extension is asked for."""
    left, top, right, bottom = request.extend or (0, 0, 0, 0)
    boxes = [(0, 0, left, canvas[1]), (0, 0, canvas[0], top)]
    boxes += [(left + init[0], 0, canvas[0], canvas[1]), (0, top + init[1], canvas[0], canvas[1])]
    boxes = [box for box, new in zip(boxes, (left, top, right, bottom), strict=True) if new]
    if mask is not None:
        boxes.append((mask[0] + left, mask[1] + top, mask[2] + left, mask[3] + top))
    if not boxes:
        return (0, 0, 0, 0) if request.mask is not None else None
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _surroundings(painted: Box, canvas: Size, margin: int | None) -> Box:
    """The painted box with a margin, in the middle, its sides at most as one to two.

    A model puts what it is asked for in the middle. So the box may reach beyond the canvas, unless the painted box
    lies at the border itself.
    """
    sides = _size(painted)
    if margin is None:
        margin = max(_MARGIN_PX, max(sides) // 4)
    wanted = [side + 2 * margin for side in sides]
    spans = []
    for start, end, side, limit in zip(painted[:2], painted[2:], wanted, canvas, strict=True):
        length = max(side, max(wanted) // 2, MIN_SIZE_PX)
        first = (start + end - length) // 2
        if start == 0 or end == limit or length > limit:
            length = min(length, limit)
            first = min(max(0, first), limit - length)
        spans.append((first, first + length))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _only_masked(request: Draw, box: Box, canvas: Size) -> bool:
    """Whether the box alone is drawn, enlarged: as asked, else where it is a small part of the picture.

    What is added to a picture is drawn with all of it, unless that had to be made smaller for it.
    """
    if request.only_masked is not None:
        return request.only_masked
    if request.source_as_reference or (request.extend and math.prod(canvas) <= MAX_DRAWN_AREA):
        return False
    return math.prod(_size(box)) <= _WORTH_IT * math.prod(canvas)


def _enlarged(size: Size, recommended: Size) -> Size:
    """As many pixels as the model draws best, or the box's own, if those are more and not too many."""
    area = min(max(math.prod(size), math.prod(recommended)), MAX_DRAWN_AREA)
    scale = math.sqrt(area / math.prod(size))
    return _side(round(size[0] * scale / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX), _side(
        round(size[1] * scale / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX
    )


def _whole(canvas: Size) -> tuple[Size, Box]:
    """The canvas as it is, filled up to whole tokens; a larger one is drawn smaller."""
    up = tuple(-(-side // SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX for side in canvas)
    if up[0] * up[1] <= MAX_DRAWN_AREA + SIZE_MULTIPLE_PX * sum(up) and max(up) <= MAX_SIZE_PX:
        return (up[0], up[1]), (0, 0, up[0], up[1])
    return floored(canvas), (0, 0, *canvas)


def _covering(canvas: Size, size: Size) -> Box:
    width = min(canvas[0], round(canvas[1] * size[0] / size[1]))
    height = min(canvas[1], round(canvas[0] * size[1] / size[0]))
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    return left, top, left + width, top + height


def _size(box: Box) -> Size:
    return box[2] - box[0], box[3] - box[1]


def _down(side: int) -> int:
    return side - side % SIZE_MULTIPLE_PX


def _side(side: int) -> int:
    return min(max(side, MIN_SIZE_PX), MAX_SIZE_PX)


def resolved_by(frame: Frame, request: Draw) -> Draw:
    """The request with what the frame has decided; the frame of the result is the same."""
    partly = request.init is not None and (request.mask is not None or request.extend is not None)
    only_masked = frame.only_masked if partly else None
    return replace(request, width=frame.drawn[0], height=frame.drawn[1], only_masked=only_masked)


def held_bytes(init: Size | None, references: Sequence[Size] = ()) -> int:
    """What pictures of these sizes take of the process while one is drawn, beside what the model holds.

    RGB each; of `init` also what comes out, its mask, what of it lies on the canvas and what of that is touched.
    """
    return 9 * math.prod(init or (0, 0)) + sum(3 * math.prod(size) for size in references)


def canvas_size(size: Size) -> Size:
    """Whole tokens that hold a picture of this size. RequestError if that is too small to be drawn."""
    if min(size) < MIN_SIZE_PX:
        message = f"the picture is too small to be redrawn; enlarged, a side needs {MIN_SIZE_PX} pixels"
        raise RequestError("source", message)
    return -(-size[0] // SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX, -(-size[1] // SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX


def tile_size(canvas: Size, recommended: Size) -> Size:
    return min(canvas[0], recommended[0]), min(canvas[1], recommended[1])


def redrawing(request: ResolvedEnlarge, recommended: Size) -> tuple[Draw, Size]:
    """The drawing of one tile, and the size of the canvas that the tiles cover. RequestError."""
    canvas = canvas_size((request.width, request.height))
    width, height = tile_size(canvas, recommended)
    tile = Draw(
        request.prompt,
        seed=request.seed,
        steps=request.steps,
        width=width,
        height=height,
        init=request.source,
        strength=request.strength,
        loras=request.loras,
        guidance=request.guidance,
        negative_prompt=request.negative_prompt,
    )
    return tile, canvas
