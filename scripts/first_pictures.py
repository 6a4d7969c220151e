#!/usr/bin/env python3
"""Draws the pictures that an empty studio offers, with the seedling: those in static/first/pictures.json.

A press on one draws the same again, live. Run it when the seedling has been trained anew; takes a few seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from bonsai_mlx import Pipeline

FOLDER = Path(__file__).resolve().parents[1] / "static/first"
SIDE_PX = 192


def main() -> None:
    pipeline = Pipeline.from_pretrained("seedling")
    for entry in json.loads((FOLDER / "pictures.json").read_text("utf-8")):
        drawn = pipeline.generate(entry["prompt"], seed=entry["seed"]).image
        drawn.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS).save(FOLDER / entry["file"], quality=80, method=6)
        print(entry["file"], (FOLDER / entry["file"]).stat().st_size)


if __name__ == "__main__":
    main()
