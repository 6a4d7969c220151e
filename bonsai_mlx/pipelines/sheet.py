"""Contact sheets: the pictures of a grid on one, with labels above the columns and before the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from ..request import MAX_CANVAS_AREA

_PAPER, _INK, _MISSING = "#ffffff", "#1a1a1a", "#e4e4e4"
_WIDE_FONTS = ("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "NotoSansCJK-Regular.ttc", "DejaVuSans.ttf")
_LAST_LATIN = "\u024f"  # up to which Pillow's own font has letters
_MOST_IN_A_ROW = 4  # of a single list of pictures, before it goes on below

AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels of a sheet: of a cell, of the margins for labels, between cells, and of the letters."""

    width: int
    height: int
    top: int
    left: int
    gap: int
    letters: int


def contact_sheet(
    pictures: Sequence[tuple[int, int, Image.Image | None]], columns: Sequence[str], rows: Sequence[str]
) -> Image.Image:
    """`pictures` are (column, row, picture), None for one that was not made. Larger than 40 million pixels it is never.

    Pictures are never enlarged; those of other sizes than the largest are centred. One row of many pictures goes on in
    the next, with its labels above each picture.
    """
    if len(rows) == 1 and len(columns) > _MOST_IN_A_ROW:
        return _wrapped(pictures, columns)
    layout = _layout([one for _, _, one in pictures if one], len(columns), len(rows), columns, rows)
    sheet = _paper(layout, len(columns), len(rows), headed_rows=1)
    draw, font = ImageDraw.Draw(sheet), layout.letters
    for column, label in enumerate(columns):
        _write(draw, label, (_x(layout, column) + layout.width // 2, layout.top // 2), layout.width, font, "mm")
    for row, label in enumerate(rows):
        y = layout.top + row * (layout.height + layout.gap) + layout.height // 2
        _write(draw, label, (layout.gap, y), layout.left - 2 * layout.gap, font, "lm")
    for column, row, picture in pictures:
        place = (_x(layout, column), layout.top + row * (layout.height + layout.gap))
        _put(sheet, picture, place, (layout.width, layout.height))
    return sheet


def _wrapped(pictures: Sequence[tuple[int, int, Image.Image | None]], labels: Sequence[str]) -> Image.Image:
    across = math.ceil(math.sqrt(len(labels)))
    down = math.ceil(len(labels) / across)
    layout = _layout([one for _, _, one in pictures if one], across, down, labels, ("",))
    sheet = _paper(layout, across, down, headed_rows=down)
    draw = ImageDraw.Draw(sheet)
    for index, _, picture in pictures:
        row, column = divmod(index, across)
        x, y = _x(layout, column), row * (layout.top + layout.height + layout.gap)
        middle = (x + layout.width // 2, y + layout.top // 2)
        _write(draw, labels[index], middle, layout.width, layout.letters, "mm")
        _put(sheet, picture, (x, y + layout.top), (layout.width, layout.height))
    return sheet


def _layout(
    pictures: Sequence[Image.Image], across: int, down: int, columns: Sequence[str], rows: Sequence[str]
) -> Layout:
    width = max((one.width for one in pictures), default=256)
    height = max((one.height for one in pictures), default=256)
    area = width * height * across * down * 1.3  # with what labels take
    scale = min(1.0, math.sqrt(MAX_CANVAS_AREA / area))
    width, height = max(16, int(width * scale)), max(16, int(height * scale))
    letters = max(11, min(width, height) // 16)
    gap = max(4, letters // 2)
    longest = max((_length(label, letters) for label in rows), default=0)
    left = gap if not longest else min(longest, max(width // 2, 120)) + 2 * gap
    return Layout(width, height, 2 * letters + gap if any(columns) else gap, left, gap, letters)


def _paper(layout: Layout, across: int, down: int, *, headed_rows: int) -> Image.Image:
    width = layout.left + across * (layout.width + layout.gap)
    height = headed_rows * layout.top + down * (layout.height + layout.gap)
    return Image.new("RGB", (width, height), _PAPER)


def _x(layout: Layout, column: int) -> int:
    return layout.left + column * (layout.width + layout.gap)


def _put(sheet: Image.Image, picture: Image.Image | None, place: tuple[int, int], size: tuple[int, int]) -> None:
    if picture is None:
        sheet.paste(_MISSING, (*place, place[0] + size[0], place[1] + size[1]))
        return
    small = picture.convert("RGB")
    small.thumbnail(size, Image.Resampling.LANCZOS)  # changes nothing that fits
    sheet.paste(small, (place[0] + (size[0] - small.width) // 2, place[1] + (size[1] - small.height) // 2))


def _write(
    draw: ImageDraw.ImageDraw, text: str, place: tuple[int, int], most_px: int, letters: int, anchor: str
) -> None:
    shown = text
    while shown and _length(shown, letters) > most_px:
        text = text[:-1]
        shown = f"{text.rstrip()}…" if text else ""
    if shown:
        draw.text(place, shown, fill=_INK, font=_font(shown, letters), anchor=anchor)


def _length(text: str, letters: int) -> int:
    return math.ceil(_font(text, letters).getlength(text)) if text else 0


def _font(text: str, letters: int) -> AnyFont:
    return _wide_font(letters) if any(c > _LAST_LATIN and c not in "…–—’‘“”" for c in text) else _plain_font(letters)


@cache
def _plain_font(letters: int) -> AnyFont:
    return ImageFont.load_default(letters)


@cache
def _wide_font(letters: int) -> AnyFont:
    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, letters)
        except OSError:
            continue
    return _plain_font(letters)
