"""Write the published layout: one folder a variant, and one folder for what both share.

Owns the files and the check that the engine accepts them. The engine reads them with no special case: dimensions,
prompt layers, text length, size and steps are all in the JSON files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import DIFFUSERS_VERSION, SCHEDULER_CONFIG
from bonsai_mlx.weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE

from ..options import BLOCK_GROUP, OUT_LAYERS, TEXT_LAYERS, VARIANTS, Options
from .distil import TEXT_FILE, pack_transformer
from .networks import build_transformer, build_vae
from .quantise import BITS, Variant
from .run import EXPORT, Run

COMMON = "common"
_UNPACKED = ("x_embedder", "context_embedder", "time_guidance_embed", "norm_out", "proj_out", "modulation")


def export(run: Run) -> None:
    """The stage "export": both variants and their common folder, then open them as the engine does."""
    folder = run.folder / EXPORT
    shutil.rmtree(folder, ignore_errors=True)
    _write_common(run, folder / COMMON)
    for variant in VARIANTS:
        write_variant(run.options, folder / variant, load_file(run.weights(f"packed-{variant}")), variant)
    for variant in VARIANTS:
        Checkpoint.open(folder / variant)
    run.log("export", f"{folder}: {total_bytes(folder) / 1e6:.2f} MB")


def export_rounded(run: Run, variant: Variant, folder: Path) -> None:
    """The baseline: the full-precision student rounded without training, beside the exported common folder."""
    transformer = build_transformer(run.options)
    run.restore("student", transformer)
    write_variant(run.options, folder, pack_transformer(transformer, variant), variant)
    Checkpoint.open(folder)


def write_variant(
    options: Options,
    folder: Path,
    tensors: dict[str, Tensor],
    variant: str,
    more_config: Mapping[str, Any] | None = None,
    more_index: Mapping[str, Any] | None = None,
) -> None:
    """A variant's own files: the index and the packed transformer."""
    target = folder / PACKED.folder(TRANSFORMER)
    config = options.transformer_config() | {"_diffusers_version": DIFFUSERS_VERSION} | dict(more_config or {})
    packing = {"bits": BITS[_variant(variant)], "group_size": BLOCK_GROUP, "skip_patterns": list(_UNPACKED)}
    write_json(target / "config.json", config)
    write_json(target / "quantization_config.json", packing)
    save_file(tensors, folder / PACKED.weights(TRANSFORMER))
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "Flux2KleinPipeline",
            "_common_folder": f"../{COMMON}",
            "_diffusers_version": DIFFUSERS_VERSION,
            "max_sequence_length": options.text_tokens,
            "recommended_size": [options.size, options.size],
            "recommended_steps": options.sample_steps,
            "text_encoder_out_layers": list(OUT_LAYERS),
            **(more_index or {}),
        },
    )


def total_bytes(folder: Path) -> int:
    """Bytes of every file below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_common(run: Run, folder: Path) -> None:
    write_text_encoder(run, folder)
    write_json(folder / PACKED.folder(SCHEDULER) / "scheduler_config.json", SCHEDULER_CONFIG)
    write_json(
        folder / PACKED.folder(VAE) / "config.json",
        run.options.vae_config() | {"_diffusers_version": DIFFUSERS_VERSION},
    )
    vae = build_vae(run.options)
    run.restore("vae", vae)
    kept = {name: half_precision(value).contiguous() for name, value in vae.state_dict().items()}
    save_file(kept, folder / PACKED.weights(VAE), metadata={"format": "pt"})


def write_text_encoder(run: Run, common: Path) -> None:
    """The tokenizer and the text encoder, which all variants share."""
    shutil.copytree(run.folder / "tokenizer", common / PACKED.folder(TOKENIZER))
    folder = common / PACKED.folder(TEXT_ENCODER)
    tensors = load_file(run.weights(TEXT_FILE))
    vocabulary, words = tensors["embed_tokens.weight"].shape
    config = run.options.text_config(vocabulary)
    tensors |= _unread_layer(tensors)
    tensors["norm.weight"] = torch.ones(words * 8, dtype=torch.bfloat16)
    write_json(folder / "config.json", config)
    save_file({f"model.{name}": value for name, value in tensors.items()}, folder / "model.safetensors")


def _unread_layer(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last layer, which the layout asks for and nothing reads: zeros of the first layer's shapes."""
    first, last = "layers.0.", f"layers.{TEXT_LAYERS - 1}."
    layer = {name: value for name, value in tensors.items() if name.startswith(first)}
    return {last + name.removeprefix(first): torch.zeros_like(value) for name, value in layer.items()}


def half_precision(value: Tensor) -> Tensor:
    return value.to(torch.bfloat16) if value.is_floating_point() else value


def _variant(name: str) -> Variant:
    return "ternary" if name == "ternary" else "binary"


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(content.items())), indent=2) + "\n", encoding="utf-8")
