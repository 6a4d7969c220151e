"""Upscalers against their networks as torch has them, written from the papers' own code, on the same files."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional

from bonsai_mlx.upscaling.files import open_upscaler
from tests.upscaling.files import Tensors, compact, rrdbnet, saved


def convolved(tensors: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(
        x, torch.tensor(tensors[f"{name}.weight"]), torch.tensor(tensors[f"{name}.bias"]), padding=1
    )


def leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2)


def dense(tensors: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    seen = [x]
    for place in range(1, 5):
        seen.append(leaky(convolved(tensors, f"{name}.conv{place}", torch.cat(seen, 1))))
    return convolved(tensors, f"{name}.conv5", torch.cat(seen, 1)) * 0.2 + x


def reference_rrdbnet(tensors: Tensors, x: torch.Tensor, scale: int) -> torch.Tensor:
    x = convolved(tensors, "conv_first", functional.pixel_unshuffle(x, 4 // scale) if scale < 4 else x)
    deep, block = x, 0
    while f"body.{block}.rdb1.conv1.weight" in tensors:
        out = deep
        for number in (1, 2, 3):
            out = dense(tensors, f"body.{block}.rdb{number}", out)
        deep, block = out * 0.2 + deep, block + 1
    x = x + convolved(tensors, "conv_body", deep)
    for name in ("conv_up1", "conv_up2"):
        x = leaky(convolved(tensors, name, functional.interpolate(x, scale_factor=2, mode="nearest")))
    return convolved(tensors, "conv_last", leaky(convolved(tensors, "conv_hr", x)))


def reference_compact(tensors: Tensors, x: torch.Tensor, scale: int) -> torch.Tensor:
    deep, place = convolved(tensors, "body.0", x), 1
    while f"body.{place}.weight" in tensors:
        deep = functional.prelu(deep, torch.tensor(tensors[f"body.{place}.weight"]))
        deep, place = convolved(tensors, f"body.{place + 1}", deep), place + 2
    return functional.pixel_shuffle(deep, scale) + functional.interpolate(x, scale_factor=scale, mode="nearest")


@pytest.mark.parametrize(
    ("kind", "scale"), [("rrdbnet", 2), ("rrdbnet", 4), ("compact", 2), ("compact", 3), ("compact", 4)]
)
def test_equal_to_torch(kind: str, scale: int, tmp_path: Path) -> None:
    make, reference = (rrdbnet, reference_rrdbnet) if kind == "rrdbnet" else (compact, reference_compact)
    tensors = make(scale=scale)
    network = open_upscaler(saved(tmp_path / "x.safetensors", tensors))
    pixels = np.random.default_rng(3).random((1, 24, 32, 3), dtype=np.float32)
    ours = np.array(network(mx.array(pixels)))
    theirs = reference(tensors, torch.tensor(pixels).permute(0, 3, 1, 2), scale).permute(0, 2, 3, 1).numpy()
    assert ours.shape == (1, 24 * scale, 32 * scale, 3)
    assert np.abs(ours - theirs).max() < 1e-4
