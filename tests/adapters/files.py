"""Files of adapters for tests: random ones that fit a model, and others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bonsai_mlx.adapters.fitting import Linears


def lora_tensors(
    linears: Linears, *, rank: int = 4, seed: int = 0, only: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """A random LoRA in our names; `only` some linears."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name in only or linears:
        rows, columns = linears[name]
        tensors[f"{name}.lora_A.weight"] = random.standard_normal((rank, columns)).astype(np.float32) / columns**0.5
        tensors[f"{name}.lora_B.weight"] = 0.5 * random.standard_normal((rows, rank)).astype(np.float32)
    return tensors


def lokr_tensors(linears: Linears, *, seed: int = 0, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """A random LoKr in our names."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name in only or linears:
        rows, columns = linears[name]
        tensors[f"{name}.lokr_w1"] = random.standard_normal((4, 4)).astype(np.float32)
        second = random.standard_normal((rows // 4, columns // 4)).astype(np.float32)
        tensors[f"{name}.lokr_w2"] = 0.5 * second / columns**0.5
    return tensors


def saved(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata)
    return path
