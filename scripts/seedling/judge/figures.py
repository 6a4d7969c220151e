"""Pictures for the documentation: grids of drawings with their prompts, and training curves as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Line = list[tuple[float, float]]

_CELL, _GAP, _TEXT = 192, 8, 30  # pixels: a picture, the space around it, two lines of prompt below it
_INK, _PAPER = (40, 44, 52), (255, 255, 255)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 320, 56, 36, 16
_COLOURS = ("#2f6f4f", "#b4532a", "#3b5b92", "#8a6d1f", "#7a3e76", "#4d4d4d", "#a33")


def grid(rows: Sequence[tuple[str, Sequence[tuple[Image.Image, str]]]], path: Path) -> None:
    """Write rows of pictures, each row with its name and each picture with its prompt, as WebP."""
    columns = max(len(pictures) for _, pictures in rows)
    named = any(name for name, _ in rows)
    row_height = _CELL + _TEXT + _GAP + (18 if named else 0)
    sheet = Image.new("RGB", (columns * (_CELL + _GAP) + _GAP, len(rows) * row_height + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (name, pictures) in enumerate(rows):
        top = _GAP + number * row_height
        if named:
            draw.text((_GAP, top), name, _INK, ImageFont.load_default(14))
            top += 18
        for column, (picture, prompt) in enumerate(pictures):
            left = _GAP + column * (_CELL + _GAP)
            sheet.paste(picture.resize((_CELL, _CELL), Image.Resampling.LANCZOS), (left, top))
            draw.multiline_text((left, top + _CELL + 2), _wrapped(prompt, font), _INK, font, spacing=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88)


def curves(lines: Mapping[str, Line], title: str, path: Path) -> None:
    """Write an SVG of losses over samples seen, the loss on a logarithmic scale."""
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    if not lines:
        return
    right = max(x for line in lines.values() for x, _ in line)
    values = [y for line in lines.values() for _, y in line if y > 0]
    low, high = math.log10(min(values)), math.log10(max(values))
    high = max(high, low + 0.1)

    def place(x: float, y: float) -> str:
        across = _LEFT + (_WIDTH - _LEFT - 12) * x / right
        down = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - math.log10(max(y, 1e-12))) / (high - low)
        return f"{across:.1f},{down:.1f}"

    parts = [_frame(title, right, low, high)]
    for index, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{_WIDTH - 130}" y="{_TOP + 16 * (index + 1)}" fill="{colour}">{escape(name)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _frame(title: str, right: float, low: float, high: float) -> str:
    """The opening of the SVG: background, axes and their ends."""
    bottom = _HEIGHT - _BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            f'font-size="12" role="img" aria-label="{escape(title)}">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<path d="M{_LEFT} {_TOP}V{bottom}H{_WIDTH - 12}" fill="none" stroke="#888"/>',
            f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{10**high:.3g}</text>',
            f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{10**low:.3g}</text>',
            f'<text x="{_LEFT}" y="{bottom + 16}">0</text>',
            f'<text x="{_WIDTH - 12}" y="{bottom + 16}" text-anchor="end">{right:,.0f} samples</text>',
            f'<text x="{(_LEFT + _WIDTH) // 2}" y="{bottom + 30}" text-anchor="middle">{escape(title)}</text>',
        ]
    )


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """At most two lines that fit under a picture."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= _CELL or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines[:2]) + ("…" if len(lines) > 2 else "")
