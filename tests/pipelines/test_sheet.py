"""Where the pictures of a contact sheet are, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.pipelines import sheet as module
from bonsai_mlx.pipelines.sheet import contact_sheet
from bonsai_mlx.request import MAX_CANVAS_AREA

COLOURS = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff"]


def pictures(count: int, across: int, size: tuple[int, int] = (64, 48)) -> list[tuple[int, int, Image.Image | None]]:
    return [(i % across, i // across, Image.new("RGB", size, COLOURS[i])) for i in range(count)]


def boxes(sheet: Image.Image, colour: str) -> tuple[int, int, int, int] | None:
    """Where the sheet has exactly this colour, which is a rectangle full of it."""
    wanted = np.array(Image.new("RGB", (1, 1), colour))[0, 0]
    ys, xs = np.where((np.asarray(sheet) == wanted).all(-1))
    if not len(xs):
        return None
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    assert len(xs) == (box[2] - box[0]) * (box[3] - box[1])
    return box


def test_every_picture_is_there_as_it_is_in_its_column_and_row() -> None:
    sheet = contact_sheet(pictures(6, 3), ["seed 1", "seed 2", "seed 3"], ["red", "blue"])
    found = [boxes(sheet, colour) for colour in COLOURS]
    assert all(box and (box[2] - box[0], box[3] - box[1]) == (64, 48) for box in found)
    lefts, tops = [box[0] for box in found if box], [box[1] for box in found if box]
    assert lefts[:3] == lefts[3:] == sorted(set(lefts))
    assert len(set(tops[:3])) == len(set(tops[3:])) == 1
    assert tops[0] < tops[3]


def test_labels_are_written_above_and_before() -> None:
    said, silent = (np.asarray(contact_sheet(pictures(4, 2), [a, "b"], [b, "d"])) for a, b in (("A", "C"), ("I", "C")))
    assert said.shape == silent.shape
    assert (said != silent).any()
    top = boxes(Image.fromarray(said), COLOURS[0])[1]  # type: ignore[index]
    assert not (said[top:] != silent[top:]).any()


def test_one_long_row_goes_on_below() -> None:
    sheet = contact_sheet(pictures(6, 6), [f"seed {n}" for n in range(6)], [""])
    found = [boxes(sheet, colour) for colour in COLOURS]
    assert len({box[1] for box in found if box}) == 2
    assert sheet.width < 6 * 64


def test_what_was_not_made_is_a_grey_place_and_other_sizes_are_centred() -> None:
    small = Image.new("RGB", (32, 16), COLOURS[1])
    sheet = contact_sheet([*pictures(1, 2), (1, 0, small), (0, 1, None)], ["a", "b"], ["c", "d"])
    large, inner = boxes(sheet, COLOURS[0]), boxes(sheet, COLOURS[1])
    assert large is not None
    assert inner is not None
    assert (inner[1] - large[1], inner[3] - inner[1]) == (16, 16)
    assert boxes(sheet, module._MISSING) is not None


@pytest.mark.slow
def test_a_sheet_is_never_larger_than_what_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CANVAS_AREA == 40_000_000
    monkeypatch.setattr(module, "MAX_CANVAS_AREA", 4_000_000)  # a tenth of the pixels, and of the work
    huge = [(c, r, Image.new("RGB", (648, 648))) for c in range(4) for r in range(4)]
    sheet = contact_sheet(huge, ["日本", "b", "c", "d"], list("wxyz"))
    assert 2_000_000 < sheet.width * sheet.height <= 4_000_000
    assert contact_sheet([(0, 0, None)], ["x" * 500], ["y" * 500]).width < 1_000
