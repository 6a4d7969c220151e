#!/usr/bin/env python3
"""The VAE's encoder of full size in strips against the same in one piece: the difference, and the memory of both.

    scripts/bench_encoder.py [--side 1024]

Weights and picture are random. The difference is that of normalised latents, as a part of the largest of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import bonsai_mlx

bonsai_mlx.prepare()  # before MLX is there

import mlx.core as mx

from bonsai_mlx.flux2 import vae
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import make_checkpoint

FULL_SIZE = {"block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32, "latent_channels": 32}
WHOLE = 1 << 40  # values of a strip: more than there are


def encoded(checkpoint: Checkpoint, pixels: np.ndarray, strip_values: int | None) -> tuple[np.ndarray, int]:
    """The latents, and the peak in bytes above what was held before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    encoding = vae.encode(checkpoint, pixels, mx.float32, strip_values=strip_values)
    while True:
        try:
            next(encoding)
        except StopIteration as stop:
            return np.array(stop.value), mx.get_peak_memory() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels")
    side = parser.parse_args().side
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint.open(
            make_checkpoint(Path(folder) / "full", vae=FULL_SIZE, transformer={"in_channels": 128})
        )
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        strips, in_strips = encoded(checkpoint, pixels, None)
        whole, in_whole = encoded(checkpoint, pixels, WHOLE)
    print(f"largest difference  {np.abs(strips - whole).max() / np.abs(whole).max():.1e}")
    print(f"peak in one piece   {in_whole / 1e9:.3f} GB")
    print(f"peak in strips      {in_strips / 1e9:.3f} GB, {in_strips / in_whole:.2f} of it")


if __name__ == "__main__":
    main()
