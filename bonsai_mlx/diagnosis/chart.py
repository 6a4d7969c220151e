"""An SVG chart of memory over a run, with its phases marked. Plain text out, no drawing library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from ..runtime.memory import Sample

WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 60, 56
PHASE_COLOURS = {"load": "#c9c2b2", "encode": "#b7c9a8", "denoise": "#8fb08a", "decode": "#d8b98a", "done": "#dddddd"}
LINES = (("MLX active", "#2f5d3a"), ("process", "#9a6b3f"))
_LABEL_WIDTH_PX = 48  # narrower phases go without a name
_DIVISIONS = 4


def write_chart(path: Path, samples: Sequence[Sample], title: str) -> None:
    path.write_text(chart(samples, title), encoding="utf-8")


def chart(samples: Sequence[Sample], title: str) -> str:
    scale = _Scale(max(samples[-1].t_s, 1e-3), max(max(s.active_bytes, s.process_bytes) for s in samples) or 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf6"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}: memory over {scale.duration_s:.1f} s</text>',
        *_phases(samples, scale),
        *_grid(scale),
        _line(samples, scale, lambda sample: sample.process_bytes, LINES[1][1]),
        _line(samples, scale, lambda sample: sample.active_bytes, LINES[0][1]),
        *_legend(),
    ]
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a moment and a size are on the chart."""

    duration_s: float
    most_bytes: int

    def x(self, seconds: float) -> float:
        return LEFT + seconds / self.duration_s * (WIDTH - LEFT - RIGHT)

    def y(self, size: float) -> float:
        return HEIGHT - BOTTOM - size / self.most_bytes * (HEIGHT - TOP - BOTTOM)


def _phases(samples: Sequence[Sample], scale: _Scale) -> Iterator[str]:
    starts = [(phase, next(group).t_s) for phase, group in groupby(samples, key=lambda sample: sample.phase)]
    ends = [start for _, start in starts[1:]] + [scale.duration_s]
    for (phase, start_s), end_s in zip(starts, ends, strict=True):
        start, width = scale.x(start_s), scale.x(end_s) - scale.x(start_s)
        colour = PHASE_COLOURS.get(phase, "#dddddd")
        yield (
            f'<rect x="{start:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'fill="{colour}" opacity="0.35"/>'
        )
        if width > _LABEL_WIDTH_PX:
            yield f'<text x="{start + 4:.1f}" y="{TOP - 6}">{escape(phase)}</text>'


def _grid(scale: _Scale) -> Iterator[str]:
    unit, divisor = ("GB", 1e9) if scale.most_bytes >= 1e9 else ("MB", 1e6)
    for division in range(_DIVISIONS + 1):
        size = scale.most_bytes * division / _DIVISIONS
        y = scale.y(size)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#0002"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{size / divisor:.3g} {unit}</text>'
        seconds = scale.duration_s * division / _DIVISIONS
        x = scale.x(seconds)
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{seconds:.3g} s</text>'


def _line(samples: Sequence[Sample], scale: _Scale, value: Callable[[Sample], int], colour: str) -> str:
    points = " ".join(f"{scale.x(sample.t_s):.1f},{scale.y(value(sample)):.1f}" for sample in samples)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _legend() -> Iterator[str]:
    for index, (name, colour) in enumerate(LINES):
        yield f'<text x="{LEFT + 100 * index}" y="{HEIGHT - 12}" fill="{colour}">{name}</text>'
