"""Upscaler files with random weights, in the layouts of the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

Tensors = dict[str, np.ndarray]


def rrdbnet(scale: int = 4, width: int = 16, grown: int = 8, blocks: int = 2, seed: int = 0) -> Tensors:
    """Names and shapes of RRDBNet."""
    shapes = {"conv_first": (width, 3 * (4 // scale) ** 2), "conv_body": (width, width), "conv_last": (3, width)}
    shapes |= dict.fromkeys(("conv_up1", "conv_up2", "conv_hr"), (width, width))
    for block in range(blocks):
        for dense in range(1, 4):
            for place in range(5):
                after = width if place == 4 else grown
                shapes[f"body.{block}.rdb{dense}.conv{place + 1}"] = (after, width + place * grown)
    return _convolutions(shapes, seed)


def compact(scale: int = 4, width: int = 16, convolutions: int = 3, seed: int = 0) -> Tensors:
    """Names and shapes of the compact network."""
    last = 2 * convolutions + 2
    shapes = {"body.0": (width, 3), f"body.{last}": (3 * scale**2, width)}
    shapes |= {f"body.{place}": (width, width) for place in range(2, last, 2)}
    slopes = {f"body.{place}.weight": np.full(width, 0.1 + 0.01 * place, np.float32) for place in range(1, last, 2)}
    return _convolutions(shapes, seed) | slopes


def _convolutions(shapes: dict[str, tuple[int, int]], seed: int) -> Tensors:
    rng, found = np.random.default_rng(seed), {}
    for name, (after, before) in shapes.items():
        found[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(9 * before), (after, before, 3, 3)).astype(np.float32)
        found[f"{name}.bias"] = rng.normal(0, 0.05, after).astype(np.float32)
    return found


def saved(path: Path, tensors: Tensors) -> Path:
    save_file(tensors, path)
    return path
