#!/usr/bin/env python3
"""What editing does to the embedded model's own drawings, judged by the judge of its training.

    scripts/bench_editing.py [redraw|repaint|extend ...] [--tries 50] [--variant ternary] [--sheet FILE.png]

redraw    a drawing that is right, drawn again from its own pixels with some of it noise: is it still right?
repaint   "a red star" in a round mask somewhere in a drawing of a landscape or a thing: is a red star there?
extend    a landscape made twice as wide: where is its horizon, and how large is the step across each seam beside the
          steps between neighbouring columns of pixels near it?

The seedling was trained for neither references nor masks.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import bonsai_mlx
from bonsai_mlx import Pipeline
from seedling.judge.expectations import Prompt
from seedling.judge.judge import judge
from seedling.judge.prompts import free, held_out
from seedling.judge.recognition import recognise
from seedling.judge.segmentation import _closed, _region, filled, label, pixels_of

STRENGTHS, SHOWN = (0.3, 0.5, 0.7, 0.9), 0.5  # of those, the one that the sheet shows beside what it was made from
RADIUS_PX = 56
ADDED_PX = 128  # on the left and on the right
NEAR_PX = 16  # columns beside a seam that it is compared with


def main() -> None:
    """Measure and print."""
    options = _options()
    bonsai_mlx.prepare()
    pipe = Pipeline.from_pretrained(Path(bonsai_mlx.__file__).parent / "seedling" / options.variant)
    sheet: list[Image.Image] = []
    for way in options.ways or WAYS:
        WAYS[way](pipe, options.tries, sheet)
    if options.sheet:
        _save(sheet, options.sheet)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ways", nargs="*", choices=[[], *WAYS], metavar="WAY", help=f"{', '.join(WAYS)} (all)")
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--variant", default="ternary")
    parser.add_argument("--sheet", type=Path, help="a picture of the results, to be looked at")
    return parser.parse_args()


def right_drawings(pipe: Pipeline, prompts: list[Prompt], count: int) -> Iterator[tuple[Prompt, Image.Image]]:
    """`count` drawings that the judge finds right, each prompt with as many seeds as that takes."""
    for seed in range(20 * count):
        prompt = prompts[seed % len(prompts)]
        image = pipe.generate(prompt.text, seed=seed).image
        if judge(image, prompt).passed:
            yield prompt, image
            count -= 1
        if not count:
            return


def landscapes() -> list[Prompt]:
    """The prompts that ask for a place."""
    return [prompt for prompt in free() if prompt.expected.outdoors]


def _drawings(pipe: Pipeline, tries: int) -> list[tuple[Prompt, Image.Image]]:
    """Half of them landscapes, half of them things on plain paper."""
    things = held_out("single", tries, seed=1)
    outdoors = right_drawings(pipe, landscapes(), tries // 2)
    return [*outdoors, *right_drawings(pipe, things, tries - tries // 2)]


def redraw(pipe: Pipeline, tries: int, sheet: list[Image.Image]) -> None:
    """Print how many drawings stay right at each strength."""
    drawings = _drawings(pipe, tries)
    for strength in STRENGTHS:
        edited = [
            pipe.edit(image, prompt.text, strength=strength, seed=1000 + place).image
            for place, (prompt, image) in enumerate(drawings)
        ]
        kept = sum(judge(image, prompt).passed for (prompt, _), image in zip(drawings, edited, strict=True))
        if strength == SHOWN:
            sheet += [
                picture for (_, before), after in zip(drawings, edited, strict=True) for picture in (before, after)
            ]
        changed = np.mean([_difference(before, after) for (_, before), after in zip(drawings, edited, strict=True)])
        print(f"redraw at {strength}: {kept} of {len(drawings)} still right, {changed:.1f} of 255 levels changed")


def repaint(pipe: Pipeline, tries: int, sheet: list[Image.Image]) -> None:
    """Print how often a red star is where it was asked for."""
    drawings = _drawings(pipe, tries)
    for where, candidates in (("anywhere", 1), ("where little is", 24)):
        rng = random.Random(0)
        found = 0
        for seed, (_, image) in enumerate(drawings):
            places = [_somewhere(rng, image.size) for _ in range(candidates)]
            centre = min(places, key=lambda place: _content(image, place))
            edited = pipe.edit(image, "a red star", mask=_disc(image.size, centre), seed=seed).image
            there = is_star_there(edited, centre)
            found += there
            sheet.append(_marked(edited, centre, found=there))
        print(f"repaint {where}: a red star in {found} of {len(drawings)} masks")


def _marked(image: Image.Image, centre: tuple[int, ...], *, found: bool) -> Image.Image:
    """For the sheet: where the mask was, green where the judge has found what was asked for."""
    shown = image.copy()
    box = (*(value - RADIUS_PX for value in centre), *(value + RADIUS_PX for value in centre))
    ImageDraw.Draw(shown).ellipse(box, outline="lime" if found else "red", width=2)
    return shown


def _somewhere(rng: random.Random, size: tuple[int, int]) -> tuple[int, ...]:
    return tuple(rng.randint(RADIUS_PX + 8, side - RADIUS_PX - 8) for side in size)


def _content(image: Image.Image, centre: tuple[int, ...]) -> float:
    """How much there is in the mask: the spread of its colours."""
    inside = np.asarray(_disc(image.size, centre)) > 0
    return float(np.asarray(image, float)[inside].std(axis=0).sum())


def is_star_there(image: Image.Image, centre: tuple[int, ...]) -> bool:
    """Whether the largest red thing in the mask and its slope has the silhouette of a star."""
    pixels = pixels_of(image)
    near = np.asarray(_disc(image.size, centre, 1.25)) > 0
    red = near & (pixels[..., 0] - pixels[..., 1:].max(axis=2) > 50)
    labels, count = label(_closed(red, 5))
    if not count:
        return False
    largest = labels == 1 + int(np.bincount(labels.ravel(), minlength=count + 1)[1:].argmax())
    return recognise(_region(filled(largest), pixels)).looks_like("star")


def extend(pipe: Pipeline, tries: int, sheet: list[Image.Image]) -> None:
    """Print how visible seams are and how far horizons move at them."""
    seams, moved = [], []
    drawings = list(right_drawings(pipe, landscapes(), tries))
    for seed, (prompt, image) in enumerate(drawings):
        wide = pipe.edit(image, prompt.text, extend=(ADDED_PX, 0, ADDED_PX, 0), seed=seed).image
        values = np.asarray(wide, np.float64)
        steps = np.abs(np.diff(values, axis=1)).mean(axis=(0, 2))
        for seam in (ADDED_PX - 1, ADDED_PX + image.width - 1):
            beside = [*range(seam - NEAR_PX, seam), *range(seam + 1, seam + 1 + NEAR_PX)]
            seams.append(steps[seam] / max(float(np.mean(steps[beside])), 1e-6))
        before = np.asarray(image, np.float64)
        for own, new in ((5, 5), (image.width - 6, wide.width - 6)):  # at the borders, where things are few
            moved.append(abs(_horizon(before, own) - _horizon(values, new)))
        sheet.append(wide)
    print(
        f"extend: {len(drawings)} landscapes; step across a seam {np.mean(seams):.2f} times those beside it "
        f"(largest {max(seams):.2f}); horizon moved by {np.median(moved):.0f} pixels (median), "
        f"within 8 pixels at {np.mean([m <= 8 for m in moved]):.0%} of the borders"
    )


WAYS: dict[str, Callable[[Pipeline, int, list[Image.Image]], None]] = {
    "redraw": redraw,
    "repaint": repaint,
    "extend": extend,
}


def _horizon(values: np.ndarray, column: int) -> int:
    """The row of the largest step from sky to land around a column."""
    strip = values[:, column - 4 : column + 5].mean(axis=1)
    smooth = np.array([strip[max(0, y - 3) : y].mean(0) - strip[y : y + 3].mean(0) for y in range(1, len(strip))])
    return int(np.abs(smooth).sum(1)[32:-32].argmax()) + 32


def _disc(size: tuple[int, int], centre: tuple[int, ...], scale: float = 1.0) -> Image.Image:
    mask, radius = Image.new("L", size, 0), scale * RADIUS_PX
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


def _difference(before: Image.Image, after: Image.Image) -> float:
    return float(np.abs(np.asarray(before, float) - np.asarray(after, float)).mean())


def _save(pictures: list[Image.Image], path: Path) -> None:
    side, across = 256, 12
    rows: list[list[Image.Image]] = [[]]
    for picture in pictures:
        if sum(one.width for one in rows[-1]) + picture.width > across * side:
            rows.append([])
        rows[-1].append(picture)
    sheet = Image.new("RGB", (across * side, side * len(rows)), "white")
    for y, row in enumerate(rows):
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y * side))
            x += picture.width
    sheet.save(path)


if __name__ == "__main__":
    main()
