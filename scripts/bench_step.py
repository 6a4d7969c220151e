#!/usr/bin/env python3
"""Time one denoising step of the full-size transformer, ours and diffusers', one after the other in one run.

    scripts/make_checkpoint.py --preset bonsai-4b --variant ternary --out /somewhere/ternary
    scripts/bench_step.py /somewhere/ternary [--size 512] [--repeats 3]

Each contender runs in a process of its own, so that only one is in memory (diffusers in float32 needs 17 GB). The
weights of diffusers' model are random; a dense product takes the same time whatever they are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bonsai_mlx import prepare
from bonsai_mlx.weights.layout import PACKED, TRANSFORMER

CONTENDERS = ("bonsai-mlx", "diffusers-float32", "diffusers-bfloat16")


def main() -> int:
    """Run every contender in turn and print seconds per step and ratios."""
    prepare()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--size", type=int, default=512, help="pixels a side (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps after one to warm up (%(default)s)")
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        seconds = _contender(arguments.only)(arguments.checkpoint, arguments.size, arguments.repeats)
        print(json.dumps(seconds))
        return 0
    medians = {}
    for name in CONTENDERS:
        command = [sys.executable, __file__, str(arguments.checkpoint), "--only", name]
        command += ["--size", str(arguments.size), "--repeats", str(arguments.repeats)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds = json.loads(output.splitlines()[-1])
        medians[name] = statistics.median(seconds)
        print(f"{name:20} {medians[name]:7.2f} s a step   (min {min(seconds):.2f}, max {max(seconds):.2f})", flush=True)
    for name in CONTENDERS[1:]:
        print(f"bonsai-mlx / {name}: {medians['bonsai-mlx'] / medians[name]:.2f}")
    return 0


def _contender(name: str) -> Callable[[Path, int, int], list[float]]:
    return _ours if name == "bonsai-mlx" else (lambda *rest: _diffusers(name.partition("-")[2], *rest))


def _ours(folder: Path, size: int, repeats: int) -> list[float]:
    import mlx.core as mx

    from bonsai_mlx.flux2.model import open_model
    from bonsai_mlx.flux2.transformer import rotary_embedding

    model = open_model(folder)
    config = model.checkpoint.transformer
    rows, text = size // 16, model.checkpoint.max_sequence_length
    transformer = model.transformer(streamed=False)
    (modulation,) = model.modulation([1.0, 0.0])
    rope = rotary_embedding(config, text, [(0, rows, rows)])
    latents = mx.random.normal((1, rows * rows, config.in_channels))
    context = mx.random.normal((1, text, config.dim)).astype(model.dtype)
    mx.eval(latents, context, rope)
    return _timed(lambda: mx.eval(transformer(latents, context, modulation, rope)), repeats)


def _diffusers(dtype_name: str, folder: Path, size: int, repeats: int) -> list[float]:
    import torch
    from diffusers import Flux2Transformer2DModel

    config = json.loads((folder / PACKED.folder(TRANSFORMER) / "config.json").read_text())
    torch.set_default_dtype(getattr(torch, dtype_name))
    with torch.device("meta"):
        model = Flux2Transformer2DModel.from_config(config)
    model = model.to_empty(device="cpu").eval()
    for parameter in model.parameters():
        parameter.data.fill_(0.01)
    rows, text = size // 16, 512
    grid = torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(rows), torch.arange(1))
    words = torch.cartesian_prod(torch.arange(1), torch.arange(1), torch.arange(1), torch.arange(text))
    inputs = {
        "hidden_states": torch.randn(1, rows * rows, config["in_channels"]),
        "encoder_hidden_states": torch.randn(1, text, config["joint_attention_dim"]),
        "timestep": torch.ones(1),
        "img_ids": grid,
        "txt_ids": words,
    }
    with torch.inference_mode():
        return _timed(lambda: model(**inputs), repeats)


def _timed(step: Callable[[], object], repeats: int) -> list[float]:
    step()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
