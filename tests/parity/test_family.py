"""FLUX.2 [klein] in other precisions and layouts, against diffusers in float32 on the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline

from bonsai_mlx import Pipeline

from .reference import load_reference, reference_run
from .test_pictures import assert_same

PROMPT, STEPS = "a red fox", 4
OWN_INDEX = {"text_encoder_out_layers": [2, 4, 6], "max_sequence_length": 64, "recommended_size": [128, 128]}


def saved(theirs: Flux2KleinPipeline, folder: Path, **index: Any) -> Path:
    """The reference's own folder, in shards, with what small checkpoints say of themselves."""
    theirs.save_pretrained(folder, max_shard_size="300KB")
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | OWN_INDEX | index))
    return folder


def compared(folder: Path, theirs: Flux2KleinPipeline, noise: Callable[..., np.ndarray]) -> None:
    ours = Pipeline.from_pretrained(folder, dtype=mx.float32)
    latents = noise(ours.model.checkpoint.transformer.in_channels, 128, 96)
    found = ours.generate(PROMPT, seed=0, steps=STEPS, width=128, height=96, latents=latents)
    assert_same(found.image, reference_run(theirs, PROMPT, latents, STEPS)["image"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "float32"])
def test_the_folder_that_diffusers_writes(
    dtype: torch.dtype, tiny_checkpoint: Callable[..., Path], tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    theirs = load_reference(tiny_checkpoint("8-bit"), dtype)
    folder = saved(theirs, tmp_path)
    assert len(list(folder.glob("transformer/*.safetensors"))) > 2
    assert len(list(folder.glob("text_encoder/*.safetensors"))) > 2
    compared(folder, theirs.to(torch.float32), noise)


@pytest.mark.parametrize("group_size", [64, 128])
@pytest.mark.parametrize("precision", ["4-bit", "8-bit"])
def test_more_bits(
    precision: str,
    group_size: int,
    tiny_checkpoint: Callable[..., Path],
    reference: Callable[[Path], Flux2KleinPipeline],
    noise: Callable[..., np.ndarray],
) -> None:
    folder = tiny_checkpoint(precision, group_size=group_size)
    compared(folder, reference(folder), noise)
