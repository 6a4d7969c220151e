"""Files as TAEF2's is, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bonsai_mlx.flux2.parts.tiny_decoder import FILE, TinyConfig

Tensors = dict[str, np.ndarray]


def taef2_tensors(seed: int = 0) -> Tensors:
    """Values that neither grow nor fade from layer to layer."""
    random, tensors = np.random.default_rng(seed), {}
    for name, spec in TinyConfig().tensors().items():
        values = random.standard_normal(spec.shape).astype(np.float32)
        scale = np.prod(spec.shape[1:]) ** -0.5 if len(spec.shape) == 4 else 0.1
        tensors[name] = scale * values + (name.endswith("pool.1.weight"))
    return tensors


def write_taef2(folder: Path, change: Callable[[Tensors], Tensors] = dict, seed: int = 0) -> Path:
    """The folder, with the file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(values, np.float32) for name, values in taef2_tensors(seed).items()}
    save_file(change(tensors), str(folder / FILE))
    return folder
