"""The pixels that are given to a model, and what comes back of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bonsai_mlx.editing.canvas import canvas_of, extended, reference_tokens, touched_tokens
from bonsai_mlx.editing.frame import frame_of
from bonsai_mlx.editing.inputs import mask_box
from bonsai_mlx.request import Draw

INIT, MASK = "a" * 64, "b" * 64


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(values)


def mask_of(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    return mask


def finished(init: Image.Image, mask: Image.Image | None, **fields: Any) -> tuple[np.ndarray, Any]:
    """What comes out when the model draws another picture altogether."""
    request = Draw("a fox", init=INIT, mask=MASK if mask else None, **fields)
    box = mask_box(mask, init.size) if mask else None
    frame = frame_of(request, recommended=(256, 256), init=init.size, mask=box)
    canvas = canvas_of(request, frame, init, mask)
    assert canvas.pixels.shape == (*frame.drawn[::-1], 3)
    drawn = photo(frame.drawn, seed=9)
    return np.asarray(canvas.finished(drawn)).astype(int), canvas


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    size = (draw(st.integers(64, 200)), draw(st.integers(64, 200)))
    left, top = draw(st.integers(0, size[0] - 2)), draw(st.integers(0, size[1] - 2))
    box = (left, top, draw(st.integers(left + 1, size[0])), draw(st.integers(top + 1, size[1])))
    fields = {
        "feather_px": draw(st.sampled_from([0, 1, 5, 16])),
        "only_masked": draw(st.none() | st.booleans()),
        "extend": draw(st.none() | st.tuples(*[st.integers(0, 40)] * 4).filter(any)),
    }
    return {"size": size, "box": box, "fields": fields}


@pytest.mark.slow
@given(cases())
def test_outside_of_mask_and_feather_nothing_changes(case: dict[str, Any]) -> None:
    size, box, fields = case["size"], case["box"], case["fields"]
    init = photo(size)
    out, _ = finished(init, mask_of(size, box), **fields)
    left, top, right, bottom = fields["extend"] or (0, 0, 0, 0)
    feather = fields["feather_px"]
    assert out.shape == (size[1] + top + bottom, size[0] + left + right, 3)
    kept = np.ones(size[::-1], bool)
    kept[max(0, box[1] - feather) : box[3] + feather, max(0, box[0] - feather) : box[2] + feather] = False
    beside = 2 * feather  # where something is added, what it overlaps and the slope
    if left:
        kept[:, :beside] = False
    if top:
        kept[:beside] = False
    if right:
        kept[:, max(0, size[0] - beside) :] = False
    if bottom:
        kept[max(0, size[1] - beside) :] = False
    inside = out[top : top + size[1], left : left + size[0]]
    assert (inside == np.asarray(init))[kept].all()


def test_inside_of_the_mask_it_is_the_models_picture() -> None:
    out, _ = finished(photo((128, 128)), mask_of((128, 128), (0, 0, 128, 100)), only_masked=False, feather_px=0)
    assert (out[:100] == np.asarray(photo((128, 128), seed=9))[:100]).all()


def test_a_redrawn_picture_is_the_models_alone() -> None:
    out, canvas = finished(photo((130, 100)), None)
    assert canvas.tokens is None
    assert (out == np.asarray(photo((128, 96), seed=9))).all()


def test_the_references_way_puts_nothing_back() -> None:
    out, canvas = finished(photo((128, 96)), mask_of((128, 96), (20, 20, 90, 70)), restore_unmasked=False)
    assert (out == np.asarray(photo((128, 96), seed=9))).all()
    assert canvas.tokens.shape == (6, 8)


def test_tokens_that_are_touched_are_drawn_anew() -> None:
    mask = np.zeros((32, 48), np.float32)
    mask[15, 16] = 0.5
    assert touched_tokens(mask).tolist() == [[0, 0.5, 0], [0, 0, 0]]


def test_tokens_as_the_reference_has_them() -> None:
    mask = np.zeros((16, 32), np.float32)
    mask[:, 8:] = 1
    assert reference_tokens(mask).tolist() == [[0.5, 1.0]]
    mask[:] = 0.49
    assert reference_tokens(mask).tolist() == [[0.0, 0.0]]


def test_what_is_added_is_never_black() -> None:
    white = Image.new("RGB", (64, 64), "white")
    assert np.asarray(extended(white, (128, 96), (32, 16))).min() == 255


def test_lines_go_on_where_a_picture_is_extended() -> None:
    init = Image.new("RGB", (64, 64), (90, 140, 240))
    init.paste((40, 160, 60), (0, 40, 64, 64))
    out = np.asarray(extended(init, (128, 64), (32, 0))).astype(int)
    assert (out[:, 32:96] == np.asarray(init)).all()
    assert (out[[5, 60]][:, [0, 127]] == np.asarray(init)[[5, 60]][:, [0, 63]]).all()


def test_a_masked_place_starts_from_what_lies_around_it_if_that_is_asked_for() -> None:
    init = Image.new("RGB", (128, 128), (20, 120, 220))
    init.paste((250, 0, 0), (48, 48, 80, 80))
    mask = mask_of((128, 128), (44, 44, 84, 84))
    for content, centre in (("original", (250, 0, 0)), ("surroundings", (20, 120, 220))):
        out, canvas = finished(init, mask, mask_content=content, only_masked=False, width=128, height=128)
        assert np.abs(canvas.pixels[64, 64].astype(int) - centre).max() <= 1, content
        assert (canvas.pixels[:40] == np.asarray(init)[:40]).all()
        assert (out[:20] == np.asarray(init)[:20]).all(), "what comes out keeps the picture's own pixels"


def test_a_place_that_is_the_whole_picture_has_nothing_around_it() -> None:
    init = photo((64, 64))
    _, canvas = finished(init, mask_of((64, 64), (0, 0, 64, 64)), mask_content="surroundings")
    assert (canvas.pixels == np.asarray(init)).all()
