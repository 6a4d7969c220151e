#!/usr/bin/env python3
"""Compare the memory plan with what MLX measured, for every combination of checkpoint, size and plan level.

    scripts/bench_memory.py CHECKPOINT [CHECKPOINT ...] [--sizes 256,512] [--levels default,drop,stream] [--json FILE]

Checkpoints may be catalog names or folders, such as full-size random ones from scripts/make_checkpoint.py. One
denoising step is enough: every step holds the same. The last column is how far the picture is at most from that of the
first plan. Before the plans, for each size, comes what it takes to encode a picture, beside what is held anyway. Exits
with 1 if a prediction is more than 10 % off, or a picture more than 1 of 255.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.flux2 import plan, vae
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.model import Flux2
from bonsai_mlx.flux2.parts import vae_memory
from bonsai_mlx.nn.limits import SMALL_STRIP_VALUES, STRIP_VALUES
from bonsai_mlx.runtime import device

TOLERANCE = 0.10
LEVELS = 1  # of 255, between the pictures of two plans
Pixels = np.ndarray[Any, np.dtype[np.int16]]


def main() -> int:
    """Measure every combination and print a Markdown table."""
    arguments = _parser().parse_args()
    rows = []
    print("| checkpoint | size | plan | phase at its peak | predicted GB | measured GB | error | GPU plan GB | image |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.checkpoints:
        for size in arguments.sizes.split(","):
            encoded = _encoding_image(name, int(size))
            rows += encoded
            for row in encoded:
                _print(row)
            first: Pixels | None = None
            for level in arguments.levels.split(","):
                row, image = _measured(name, int(size), level)
                first = image if first is None else first
                row["difference"] = int(np.abs(image - first).max())
                rows.append(row)
                _print(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows) + "\n")
    return int(any(abs(row["error"]) > TOLERANCE or row["difference"] > LEVELS for row in rows))


def _print(row: dict[str, Any]) -> None:
    print(
        f"| {row['checkpoint']} | {row['size']}x{row['size']} | {row['level']} | {row['phase']} "
        f"| {row['predicted'] / 1e9:.3f} | {row['measured'] / 1e9:.3f} | {row['error']:+.1%} "
        f"| {row['gpu_predicted'] / 1e9:.3f} | {row['difference']}/255 |",
        flush=True,
    )


def _measured(name: str, size: int, level: plan.Level) -> tuple[dict[str, Any], Pixels]:
    pipe = Pipeline.from_pretrained(name)
    model = pipe.model
    assert isinstance(model, Flux2)
    expected = _plan_of_level(model.checkpoint, size, level, device.backend(), model.dtype.size)
    pipe.memory_limit_bytes = expected.peak_bytes
    if expected.level == "default":
        model.transformer(streamed=False)  # as it stays after a first picture: the plan describes the ones that follow
    remember_contexts(model)
    result = pipe.generate("a tree by the sea", seed=2, steps=1, width=size, height=size)
    used = model.plan(model.resolve(GenerationRequest("x", width=size, height=size)), pipe.memory_limit_bytes)
    phases = {phase: value for phase, value in result.memory["phases"].items() if phase in used.phases}
    phase = max(phases, key=lambda item: phases[item])
    pipe.unload()
    row = {
        "checkpoint": f"{model.checkpoint.precision} ({pipe.name})",
        "size": size,
        "level": used.level,
        "phase": phase,
        "predicted": used.peak_bytes,
        "measured": result.memory["peak_bytes"],
        "error": used.peak_bytes / result.memory["peak_bytes"] - 1,
        "phases": phases,
        "predicted_phases": dict(used.phases),
        "gpu_predicted": _plan_of_level(model.checkpoint, size, level, "metal", 2).peak_bytes,
    }
    return row, np.asarray(result.image, dtype=np.int16)


def _encoding_image(name: str, size: int) -> list[dict[str, Any]]:
    """What it takes to encode a picture, with maps kept and recomputed."""
    import mlx.core as mx  # late: it must come after the fast BLAS

    model = Pipeline.from_pretrained(name).model
    assert isinstance(model, Flux2)
    checkpoint = model.checkpoint
    backend, dtype, rows = device.backend(), device.activation_dtype(), []
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)

    def planned(backend: str, item: int) -> int:
        strips = _strip_values(backend, recompute=recompute)
        return vae_memory.encoding_image(checkpoint.vae, size, size, backend, item, strips, recompute=recompute)

    for recompute in (False, True):
        device.release_cache()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        strips = _strip_values(backend, recompute=recompute)
        for _ in vae.encode(checkpoint, pixels, dtype, strip_values=strips, recompute=recompute):
            pass
        measured, predicted = mx.get_peak_memory() - before, planned(backend, dtype.size)
        on_gpu = planned("metal", 2)
        rows.append(
            {
                "checkpoint": f"{checkpoint.precision} ({checkpoint.root.name})",
                "size": size,
                "level": "recomputing" if recompute else "keeping",
                "phase": "encode image",
                "predicted": predicted,
                "measured": measured,
                "error": predicted / measured - 1,
                "gpu_predicted": on_gpu,
                "difference": 0,
            }
        )
    return rows


def _strip_values(backend: str, *, recompute: bool) -> int:
    """As the plan chooses them."""
    return min(STRIP_VALUES[backend], SMALL_STRIP_VALUES) if recompute else STRIP_VALUES[backend]


def remember_contexts(model: Flux2) -> None:
    """As after some pictures of other prompts: the plan counts all that are kept, but the one of this run."""
    import mlx.core as mx  # late: it must come after the fast BLAS

    config = model.checkpoint.transformer
    for number in range(plan.CACHED_CONTEXTS - 1):
        context = mx.zeros((1, model.checkpoint.max_sequence_length, config.dim), model.dtype)
        mx.eval(context)
        model._contexts.put((f"another prompt {number}",), context)


def _plan_of_level(checkpoint: Checkpoint, size: int, level: plan.Level, backend: str, item_bytes: int) -> plan.Plan:
    plans: Sequence[plan.Plan] = list(plan.levels(checkpoint, size, size, backend, item_bytes))
    return [candidate for candidate in plans if candidate.level == level][-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--sizes", default="256,512", help="sides in pixels (%(default)s)")
    parser.add_argument("--levels", default="default,drop,stream", help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
