#!/usr/bin/env python
"""Record pictures before a change to the engine, and compare with them afterwards.

    scripts/compare_pictures.py record FOLDER     # before
    scripts/compare_pictures.py compare FOLDER    # after, on the same machine: other processors round otherwise

24 combinations of seed, size, steps, variant and memory plan. Half are the embedded model's; the others are a random
checkpoint's that is wide enough for its blocks to be cut between the cores of a CPU. `compare` ends with an error if a
picture differs in any value, and says by how much.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.model import Flux2
from bonsai_mlx.flux2.plan import Plan, levels
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub import api as hub
from bonsai_mlx.request import ResolvedRequest
from bonsai_mlx.runtime import device

PROMPTS = ("maple bonsai in autumn", "three green stars", "a lake under a full moon")
WIDE: Mapping[str, Any] = {
    "attention_head_dim": 64,
    "axes_dims_rope": [16, 16, 16, 16],
    "num_attention_heads": 16,
    "num_layers": 1,
    "num_single_layers": 2,
}
SHAPES = {"seedling": ((256, 256, 4), (320, 176, 1)), "wide": ((128, 128, 2), (192, 256, 1))}  # with the steps
PLANS = {"default": 0, "recompute": 2, "stream": 3}  # by their place in the list of levels


class Planned(Flux2):
    """A model that follows one plan, whatever the limit."""

    place = 0

    def plan(self, request: ResolvedRequest, *_: object, **__: object) -> Plan:
        plans = levels(self.checkpoint, request.width, request.height, device.backend(), self.dtype.size)
        return list(plans)[self.place]


def pictures(checkpoints: Path) -> Iterator[tuple[str, Image.Image]]:
    """The name and the picture of every combination; its seed is its place in the list."""
    models = [(model, *shape) for model, shapes in SHAPES.items() for shape in shapes]
    combinations = itertools.product(models, ("ternary", "binary"), PLANS)
    for seed, ((model, width, height, steps), variant, plan) in enumerate(combinations):
        folder = _wide(checkpoints, variant) if model == "wide" else hub.find(f"seedling-{variant}")
        planned = Planned(Checkpoint.open(folder))
        planned.place = PLANS[plan]
        pipe = Pipeline(planned, name=model)
        prompt = PROMPTS[seed % len(PROMPTS)]
        image = pipe.generate(prompt, seed=seed, steps=steps, width=width, height=height).image
        yield f"{model}-{variant}-{width}x{height}-{steps}-{plan}-{seed}", image


def _wide(checkpoints: Path, variant: str) -> Path:
    folder = checkpoints / variant
    return folder if folder.exists() else make_checkpoint(folder, "tiny", variant, transformer=WIDE)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    different = 0
    with tempfile.TemporaryDirectory() as checkpoints:
        for name, image in pictures(Path(checkpoints)):
            path = options.folder / f"{name}.png"
            if options.what == "record":
                image.save(path)
                print(name)
                continue
            before, after = (np.asarray(picture, dtype=int) for picture in (Image.open(path), image))
            largest = int(abs(before - after).max())
            different += largest > 0
            print(f"{name}: {'equal' if not largest else f'differs by up to {largest} of 255'}")
    print(f"{different} pictures differ" if options.what == "compare" else "recorded")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
