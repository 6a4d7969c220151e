"""An SVG chart of memory over a run, with its phases marked. Plain text out, no drawing library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from .memory import Sample

WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 48, 44
PHASE_COLOURS = {"load": "#c9c2b2", "encode": "#b7c9a8", "denoise": "#8fb08a", "decode": "#d8b98a", "done": "#dddddd"}


def write_chart(path: Path, samples: Sequence[Sample], title: str) -> None:
    """Write the chart of `samples` (at least one) to `path`."""
    path.write_text(chart(samples, title), encoding="utf-8")


def chart(samples: Sequence[Sample], title: str) -> str:
    """The SVG document."""
    duration = max(samples[-1].t_s, 1e-3)
    most = max(max(sample.active_bytes, sample.process_bytes) for sample in samples) or 1

    def x(seconds: float) -> float:
        return LEFT + seconds / duration * (WIDTH - LEFT - RIGHT)

    def y(size: float) -> float:
        return HEIGHT - BOTTOM - size / most * (HEIGHT - TOP - BOTTOM)

    def line(values: Sequence[float], colour: str) -> str:
        points = " ".join(f"{x(s.t_s):.1f},{y(v):.1f}" for s, v in zip(samples, values, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf6"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}: memory over {duration:.1f} s</text>',
    ]
    for phase, group in groupby(samples, key=lambda sample: sample.phase):
        inside = list(group)
        start, end = x(inside[0].t_s), x(inside[-1].t_s)
        colour = PHASE_COLOURS.get(phase, "#dddddd")
        parts.append(
            f'<rect x="{start:.1f}" y="{TOP}" width="{max(end - start, 1):.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'fill="{colour}" opacity="0.35"/>'
        )
        if end - start > 40:
            parts.append(f'<text x="{start + 4:.1f}" y="{TOP - 6}">{escape(phase)}</text>')
    for step in range(5):
        size = most * step / 4
        parts.append(f'<text x="{LEFT - 8}" y="{y(size) + 4:.1f}" text-anchor="end">{size / 1e9:.2f} GB</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(size):.1f}" y2="{y(size):.1f}" stroke="#0002"/>')
    parts.append(line([sample.process_bytes for sample in samples], "#9a6b3f"))
    parts.append(line([sample.active_bytes for sample in samples], "#2f5d3a"))
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 14}" fill="#2f5d3a">MLX active</text>')
    parts.append(f'<text x="{LEFT + 90}" y="{HEIGHT - 14}" fill="#9a6b3f">process</text>')
    return "\n".join([*parts, "</svg>", ""])
