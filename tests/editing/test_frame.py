"""What is drawn of a picture, at what size, and what size comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.editing.frame import MAX_DRAWN_AREA, Box, Frame, Size, frame_of, reference_size, resolved_by
from bonsai_mlx.errors import RequestError
from bonsai_mlx.request import Draw

INIT, MASK = "a" * 64, "b" * 64
NATIVE = (512, 512)


def frame(init: Size | None = None, mask: Box | None = None, **fields: Any) -> Frame:
    named = {"init": INIT if init else None, "mask": MASK if mask else None} | fields
    return frame_of(Draw("a fox", **named), recommended=NATIVE, init=init, mask=mask)


@pytest.mark.parametrize(
    ("size", "detail", "expected"),
    [
        ((512, 512), None, (512, 512)),
        ((101, 99), None, (96, 96)),
        ((2000, 1000), None, (1440, 720)),
        ((2000, 1000), 256, (352, 176)),
        ((640, 480), 512, (576, 432)),
        ((64, 512), None, (64, 512)),
    ],
)
def test_references_are_scaled_down_and_cropped(size: Size, detail: int | None, expected: Size) -> None:
    assert reference_size(size, detail) == expected


def test_without_pictures_the_models_own_size() -> None:
    assert frame().drawn == NATIVE
    assert frame(width=256).drawn == (256, 512)


def test_with_references_the_first_ones_size() -> None:
    request = Draw("a fox", references=(INIT, MASK))
    found = frame_of(request, recommended=NATIVE, init=None, mask=None, references=[(300, 200), (64, 64)])
    assert (found.drawn, found.out) == ((288, 192), (288, 192))


@pytest.mark.parametrize(
    ("init", "fields", "drawn", "out"),
    [
        ((512, 384), {}, (512, 384), (512, 384)),
        ((500, 375), {}, (496, 368), (496, 368)),  # redrawn whole: stretched by some pixels, as in the reference
        ((3000, 2000), {}, (1248, 832), (1248, 832)),
        ((512, 384), {"width": 256, "height": 256}, (256, 256), (256, 256)),
        ((500, 375), {"extend": (0, 0, 100, 0)}, (608, 384), (600, 375)),  # the photo's own pixels stay
        ((3000, 2000), {"extend": (0, 0, 500, 0)}, (880, 1184), (3500, 2000)),
        ((512, 384), {"extend": (0, 0, 128, 0), "width": 320, "height": 192}, (320, 192), (320, 192)),
    ],
)
def test_sizes(init: Size, fields: dict[str, Any], drawn: Size, out: Size) -> None:
    found = frame(init, **fields)
    assert (found.drawn, found.out) == (drawn, out)


def test_a_small_mask_is_drawn_with_its_surroundings_alone() -> None:
    found = frame((1024, 1024), (500, 500, 600, 560))
    assert found.only_masked
    assert found.box == (468, 468, 632, 592)
    assert found.out == (1024, 1024)
    assert 0.7 <= found.drawn[0] * found.drawn[1] / (512 * 512) <= 1.3
    assert (found.box[0] + found.box[2]) // 2 == 550


@pytest.mark.parametrize("margin", [0, 5, 200])
def test_the_surroundings_are_as_wide_as_is_asked(margin: int) -> None:
    found = frame((1024, 1024), (400, 400, 520, 500), margin_px=margin, only_masked=True)
    assert (found.box[0], found.box[2]) == (400 - margin, 520 + margin)


def test_a_large_mask_is_drawn_with_the_whole_picture() -> None:
    found = frame((512, 512), (10, 10, 500, 400))
    assert not found.only_masked
    assert found.box == (0, 0, 512, 512)


@pytest.mark.parametrize("asked", [True, False])
def test_it_can_be_asked_for(asked: bool) -> None:
    assert frame((512, 512), (10, 10, 500, 400), only_masked=asked).only_masked is asked
    assert frame((512, 512), (10, 10, 60, 60), only_masked=asked).only_masked is asked


def test_a_mask_at_the_border_is_not_looked_at_beyond_it() -> None:
    found = frame((512, 512), (0, 200, 80, 300))
    assert found.only_masked
    assert found.box[0] == 0


def test_the_references_way_is_never_cropped() -> None:
    assert not frame((1024, 1024), (500, 500, 600, 560), source_as_reference=True).only_masked
    found = frame((1024, 1024), (500, 500, 600, 560), restore_unmasked=False)
    assert (found.only_masked, found.out) == (False, (1024, 1024))


@pytest.mark.parametrize(
    ("init", "fields", "field"),
    [
        ((63, 64), {}, "init"),
        ((64, 513), {}, "init"),
        ((8000, 4000), {"extend": (2048, 0, 0, 0)}, "extend"),
    ],
)
def test_what_cannot_be_drawn_is_refused(init: Size, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        frame(init, **fields)
    assert caught.value.field == field


def test_a_mask_that_repaints_nothing_is_refused_unless_something_is_added() -> None:
    masked = Draw("a fox", init=INIT, mask=MASK)
    with pytest.raises(RequestError, match="repaints nothing") as caught:
        frame_of(masked, recommended=NATIVE, init=(128, 96), mask=None)
    assert caught.value.field == "mask"
    extended = replace(masked, extend=(16, 0, 0, 0))
    assert frame_of(extended, recommended=NATIVE, init=(128, 96), mask=None).out == (144, 96)


SIDES = st.integers(64, 1800)
MARGINS = st.none() | st.tuples(*[st.integers(0, 400)] * 4).filter(any)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Draw, Size, Box | None]:
    init = (draw(SIDES), draw(SIDES))
    if max(init) > 8 * min(init):
        init = (512, 512)
    mask = None
    if draw(st.booleans()):
        left, top = (draw(st.integers(0, side - 1)) for side in init)
        mask = (left, top, draw(st.integers(left + 1, init[0])), draw(st.integers(top + 1, init[1])))
    sides = st.none() | st.integers(4, 64).map(lambda n: 16 * n)
    request = Draw(
        "a fox",
        init=INIT,
        mask=MASK if mask else None,
        extend=draw(MARGINS),
        width=draw(sides),
        height=draw(sides),
        restore_unmasked=draw(st.booleans()),
        only_masked=draw(st.none() | st.booleans()),
    )
    return request, init, mask


@given(cases())
def test_whatever_is_asked_can_be_drawn_and_repeated(case: tuple[Draw, Size, Box | None]) -> None:
    request, init, mask = case
    found = frame_of(request, recommended=NATIVE, init=init, mask=mask)
    again = resolved_by(found, request)
    assert frame_of(again, recommended=NATIVE, init=init, mask=mask) == found
    again.resolved(steps=4, size=NATIVE)  # within the bounds of a request
    assert found.canvas is not None
    left, top, right, bottom = found.on_canvas
    assert 0 <= left < right <= found.canvas[0]
    assert 0 <= top < bottom <= found.canvas[1]
    if request.width is None and request.height is None:
        assert found.drawn[0] * found.drawn[1] <= MAX_DRAWN_AREA * 1.1
