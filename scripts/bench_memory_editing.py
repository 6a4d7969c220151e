#!/usr/bin/env python3
"""Compare the memory plan with what MLX measured where pictures go in.

    scripts/bench_memory_editing.py CHECKPOINT [--cases NAME,...]

One denoising step is enough: every step holds the same. Exits with 1 if a prediction is more than 10 % off.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

import bonsai_mlx
from bench_memory import remember_contexts
from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.editing.pictures import PictureSet
from bonsai_mlx.errors import OutOfMemory
from bonsai_mlx.flux2 import plan
from bonsai_mlx.flux2.model import Flux2

TOLERANCE = 0.10
# What is drawn at which side under which of the plans, and the sides of the pictures that go in.
CASES: Mapping[str, tuple[int, str, dict[str, Any]]] = {
    "reference 256": (256, "default", {"references": [256]}),
    "reference 512": (256, "default", {"references": [512]}),
    "two references": (256, "less", {"references": [256, 512]}),
    "four references": (256, "least", {"references": [256, 256, 256, 256]}),
    "reference 1024": (256, "least", {"references": [1024]}),
    "reference, 512": (512, "default", {"references": [512]}),
    "reference, 512, least": (512, "least", {"references": [512]}),
    "redrawn": (256, "default", {"init": 256}),
    "redrawn, 512": (512, "least", {"init": 512}),
    "mask": (256, "less", {"init": 256, "mask": True}),
    "mask, itself a reference": (256, "default", {"init": 256, "mask": True, "source_as_reference": True}),
    "extended": (512, "less", {"init": 256, "extend": (128, 128, 128, 128), "references": [256]}),
}


def main() -> int:
    """Measure every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--cases", default=",".join(CASES), help="names, between commas (all)")
    options = parser.parse_args()
    bonsai_mlx.prepare()
    print("| pictures | drawn | plan | phase at its peak | predicted GB | measured GB | error |")
    print("|---|---|---|---|---|---|---|", flush=True)
    errors = [_measured(options.checkpoint, name) for name in CASES if name in options.cases]
    return int(any(abs(error) > TOLERANCE for error in errors))


def _measured(checkpoint: str, name: str) -> float:
    side, level, given = CASES[name]
    pipe = Pipeline.from_pretrained(checkpoint)
    assert isinstance(pipe.model, Flux2)
    request, pictures = _request(side, given)
    pipe.memory_limit_bytes = _limit_of(pipe, request, pictures, level)
    expected = pipe.plan(request, pictures=pictures)
    if level == "default":
        pipe.model.transformer(streamed=False)  # as it stays after a first picture
    remember_contexts(pipe.model)
    *_, last = pipe.run(request, pictures=pictures)
    assert last.result is not None
    assert isinstance(expected, plan.Plan)
    measured = int(last.result.memory["peak_bytes"])
    phases = last.result.memory["phases"]
    error = expected.peak_bytes / measured - 1
    print(
        f"| {name} | {side}x{side} | {expected.level} | {max(phases, key=phases.__getitem__)} "
        f"| {expected.peak_bytes / 1e9:.3f} | {measured / 1e9:.3f} | {error:+.1%} |",
        flush=True,
    )
    pipe.unload()
    return error


def _request(side: int, given: dict[str, Any]) -> tuple[GenerationRequest, dict[str, Image.Image]]:
    pictures = PictureSet()
    fields = dict(given)
    fields["references"] = tuple(pictures.add("references", _noise(size)) for size in given.get("references", ()))
    if "init" in given:
        fields["init"] = pictures.add("init", _noise(given["init"]))
    if given.get("mask"):
        mask = Image.new("L", (side, side), 0)
        mask.paste(255, (0, 0, side, side - 64))
        fields["mask"] = pictures.add_mask("mask", mask)
    if "references" in given:
        fields["reference_detail"] = 1024  # or a limit would choose a smaller one
    if "extend" not in given:
        fields |= {"width": side, "height": side}
    return GenerationRequest("a tree by the sea", seed=2, steps=1, **fields), pictures.by_digest


def _noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


def _limit_of(pipe: Pipeline, request: GenerationRequest, pictures: dict[str, Image.Image], level: str) -> int | None:
    """None for the fastest plan; else the peak of the next one that needs less, or of the smallest."""
    if level == "default":
        return None
    limit = None
    while True:
        pipe.memory_limit_bytes = limit
        try:
            found = pipe.plan(request, pictures=pictures)
        except OutOfMemory:
            return None if limit is None else limit + 1
        if level == "less" and limit is not None:
            return found.peak_bytes
        limit = found.peak_bytes - 1


if __name__ == "__main__":
    raise SystemExit(main())
