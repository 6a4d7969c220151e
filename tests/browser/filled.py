"""A server on a folder that has pictures already, made here in no time instead of drawn."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from bonsai_mlx.images.metadata import Recipe, encode_png, save_picture
from bonsai_mlx.images.recipe import timestamp
from tests.browser.driver import Site


def fill(folder: Path, pictures: Iterable[tuple[str, int, int, float]]) -> list[str]:
    """Prompt, width, height in pixels and age in days of each; their ids, which sort as they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    ids, now = [], time.time()
    for number, (prompt, width, height, days) in enumerate(pictures):
        at = now - days * 86_400 - number
        recipe = Recipe(
            prompt=prompt, seed=1_000 + number, steps=4, width=width, height=height, variant="ternary",
            model="seedling-ternary", timings={"total": 1.5}, created_at=timestamp(at),
        )  # fmt: skip
        ids.append(f"{number:032x}")
        colour = (number * 37 % 256, number * 91 % 256, 128)
        save_picture(folder / f"{ids[-1]}.png", encode_png(Image.new("RGB", (width, height), colour), recipe))
        os.utime(folder / f"{ids[-1]}.png", (at, at))
    return ids


def filled_site(folder: Path, pictures: Iterable[tuple[str, int, int, float]]) -> tuple[Site, list[str]]:
    ids = fill(folder / "out", pictures)
    site = Site(folder)
    while listed(site) < len(ids):  # they are entered while the server answers already
        time.sleep(0.05)
    return site, ids


def listed(site: Site) -> int:
    with urllib.request.urlopen(f"{site.url}/images?limit=1", timeout=60) as answer:  # noqa: S310  (our own server)
        return int(json.load(answer)["total"])
