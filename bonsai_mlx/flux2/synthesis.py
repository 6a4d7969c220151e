"""Make a checkpoint with random weights in the published layout, tiny for tests or full size for measurements.

Owns the two presets, the JSON files of every component and the folder they are written into. `config` says which
tensors there are, `weights.random` fills them. Pictures from such a checkpoint are noise, but names, types,
shapes, file sizes and the work of running it are those of the real one. Needs no MLX.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..decoding import decode
from ..weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE
from ..weights.random import write_random_weights
from ..weights.spec import DENSE_BITS, Tensors, bits_of, tensor_bytes
from .parts.config import TextEncoderConfig, TransformerConfig, VaeConfig

COMMON_COMPONENTS = (TEXT_ENCODER, TOKENIZER, VAE, SCHEDULER)  # the same whatever the precision

DIFFUSERS_VERSION = "0.37.0.dev0"  # as in the published files
_SEEDLING_TOKENIZER = Path(__file__).parents[1] / "seedling" / "common" / PACKED.folder(TOKENIZER)
_UNPACKED = ("x_embedder", "context_embedder", "time_guidance_embed", "norm_out", "proj_out", "modulation")
_PACKED_GROUP, _TEXT_GROUP = 128, 64
_QUANTIZATION = {"group_size": _TEXT_GROUP, "bits": 4}

_TRANSFORMER_4B: dict[str, Any] = {
    "_class_name": "Flux2Transformer2DModel",
    "_diffusers_version": DIFFUSERS_VERSION,
    "attention_head_dim": 128,
    "axes_dims_rope": [32, 32, 32, 32],
    "eps": 1e-06,
    "guidance_embeds": False,
    "mlp_ratio": 3.0,
    "num_attention_heads": 24,
    "num_layers": 5,
    "num_single_layers": 20,
    "out_channels": None,
    "patch_size": 1,
    "rope_theta": 2000,
    "timestep_guidance_channels": 256,
}
_TEXT_ENCODER_4B: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 9728,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "model_type": "qwen3",
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "quantization": _QUANTIZATION,
    "quantization_config": _QUANTIZATION,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
_VAE_4B: dict[str, Any] = {
    "_class_name": "AutoencoderKLFlux2",
    "_diffusers_version": DIFFUSERS_VERSION,
    "act_fn": "silu",
    "batch_norm_eps": 0.0001,
    "batch_norm_momentum": 0.1,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 32,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "patch_size": [2, 2],
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
SCHEDULER_CONFIG: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": DIFFUSERS_VERSION,
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "shift_terminal": None,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}
BERNOULLI_CONFIG: dict[str, Any] = {
    "_class_name": "BernoulliScheduler",
    "_diffusers_version": DIFFUSERS_VERSION,
    "schedule": "linear",
}
_MODEL_INDEX: dict[str, Any] = {"_class_name": "Flux2KleinPipeline", "_diffusers_version": DIFFUSERS_VERSION}
_PUBLISHED_OUT_LAYERS = (9, 18, 27)  # what a model_index.json without text_encoder_out_layers means


@dataclass(frozen=True, slots=True)
class Preset:
    """The configuration of every component. What follows from the others is filled in by `resolved`."""

    transformer: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    vae: Mapping[str, Any]
    model_index: Mapping[str, Any]

    def resolved(self, overrides: Mapping[str, Mapping[str, Any]], tokenizer: Path) -> Preset:
        """The preset with changed fields, room for the tokenizer's vocabulary, and dimensions that agree.

        ValueError says which fields do not fit together.
        """
        if unknown := set(overrides) - set(self.__slots__):
            raise ValueError(f"unknown component {min(unknown)!r}; overrides are for {', '.join(self.__slots__)}")
        transformer, text_encoder, vae, model_index = (
            {**getattr(self, name), **overrides.get(name, {})} for name in self.__slots__
        )
        text_encoder["vocab_size"] = max(text_encoder["vocab_size"], _vocabulary(tokenizer))
        out_layers = model_index.get("text_encoder_out_layers", _PUBLISHED_OUT_LAYERS)
        transformer = _joined(transformer, text_encoder, vae, out_layers)
        if sum(transformer["axes_dims_rope"]) != transformer["attention_head_dim"]:
            raise ValueError(f"axes_dims_rope {transformer['axes_dims_rope']} must add up to attention_head_dim")
        if max(out_layers) >= text_encoder["num_hidden_layers"]:  # the last layer's output is not read: a norm follows
            raise ValueError(f"text_encoder_out_layers {out_layers} must be less than num_hidden_layers")
        _check_groups(transformer, text_encoder)
        return Preset(transformer, text_encoder, vae, model_index)


def _joined(
    transformer: Mapping[str, Any], text_encoder: Mapping[str, Any], vae: Mapping[str, Any], out_layers: Sequence[int]
) -> dict[str, Any]:
    """The transformer's configuration with what follows from the others."""
    channels = vae["latent_channels"] * vae["patch_size"][0] * vae["patch_size"][1]
    widths = {"joint_attention_dim": len(out_layers) * text_encoder["hidden_size"], "in_channels": channels}
    return {**widths, **transformer}


def _check_groups(transformer: Mapping[str, Any], text_encoder: Mapping[str, Any]) -> None:
    dim = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    inputs = {
        "num_attention_heads * attention_head_dim": (dim, _PACKED_GROUP),
        "mlp_ratio * that": (int(dim * transformer["mlp_ratio"]), _PACKED_GROUP),
        "hidden_size": (text_encoder["hidden_size"], _TEXT_GROUP),
        "intermediate_size": (text_encoder["intermediate_size"], _TEXT_GROUP),
        "num_attention_heads * head_dim": (text_encoder["num_attention_heads"] * text_encoder["head_dim"], _TEXT_GROUP),
    }
    for name, (size, group) in inputs.items():
        if size % group:
            raise ValueError(f"{name} is {size}; it must be a multiple of {group}, the size of a group")


PRESETS = {
    "bonsai-4b": Preset(_TRANSFORMER_4B, _TEXT_ENCODER_4B, _VAE_4B, _MODEL_INDEX),
    "tiny": Preset(
        transformer=_TRANSFORMER_4B
        | {
            "attention_head_dim": 32,
            "axes_dims_rope": [8, 8, 8, 8],
            "num_attention_heads": 4,
            "num_layers": 2,
            "num_single_layers": 2,
        },
        text_encoder=_TEXT_ENCODER_4B
        | {
            "bos_token_id": None,
            "eos_token_id": None,
            "head_dim": 32,
            "hidden_size": 64,
            "intermediate_size": 192,
            "max_position_embeddings": 2048,
            "max_window_layers": 7,
            "num_attention_heads": 4,
            "num_hidden_layers": 7,
            "num_key_value_heads": 2,
            "vocab_size": 640,
        },
        vae=_VAE_4B
        | {
            "block_out_channels": [16, 16, 32, 32],
            "latent_channels": 8,
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "sample_size": 128,
        },
        model_index=_MODEL_INDEX
        | {
            "text_encoder_out_layers": [2, 4, 6],
            "max_sequence_length": 64,
            "recommended_steps": 4,
            "recommended_size": [128, 128],
        },
    ),
}

PRESETS["tiny-bits"] = Preset(
    transformer={**PRESETS["tiny"].transformer, "known_tokens": True},
    text_encoder=PRESETS["tiny"].text_encoder,
    vae=PRESETS["tiny"].vae,
    model_index={**PRESETS["tiny"].model_index, "latents": {"kind": "bernoulli"}, "recommended_steps": 16},
)


def transformer_config(preset: str) -> TransformerConfig:
    """That of a preset; its matrices are said to be dense."""
    parts = PRESETS[preset]
    out_layers = parts.model_index.get("text_encoder_out_layers", _PUBLISHED_OUT_LAYERS)
    whole = _joined(parts.transformer, parts.text_encoder, parts.vae, out_layers)
    return decode(TransformerConfig, {**whole, "bits": DENSE_BITS, "group_size": 1})


def make_checkpoint(
    out: Path | str,
    preset: str = "tiny",
    precision: str = "ternary",
    seed: int = 0,
    *,
    tokenizer: Path | str | None = None,
    common: Path | str | None = None,
    group_size: int = _PACKED_GROUP,
    **overrides: Mapping[str, Any],
) -> Path:
    """Write a checkpoint with random weights into the new or empty folder `out`, and return that folder.

    `precision` is that of the transformer's blocks: "ternary", "binary", "3-bit" to "8-bit", "bf16" or "float32".
    `tokenizer` is a folder to copy instead of the embedded tokenizer. `common` is another made checkpoint whose
    text encoder, VAE, tokenizer and scheduler are hard-linked instead of written again. `overrides` change single
    fields of a component: `transformer={"num_layers": 3}`, `text_encoder=...`, `vae=...`, `model_index=...`; a text
    encoder whose "quantization" is None is bfloat16. The same arguments give the same bytes. ValueError for
    arguments that make no checkpoint, FileExistsError when `out` has something in it, FileNotFoundError when a
    folder to take from is incomplete.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    bits = bits_of(precision)
    if tokenizer is not None and common is not None:
        raise ValueError("give a tokenizer or a common checkpoint, which brings its own, not both")
    out = Path(out)
    source = Path(tokenizer or _SEEDLING_TOKENIZER) if common is None else Path(common) / PACKED.folder(TOKENIZER)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(errno.EEXIST, "is not empty; give a new folder", str(out))
    parts = PRESETS[preset].resolved(overrides, source)
    if common is None:
        _write_common(out, parts, seed, source)
    else:
        _link_common(out, parts, Path(common))
    _write_transformer(out, parts, bits, group_size, seed)
    _write_json(out / "model_index.json", parts.model_index)  # last: a folder without it is not a checkpoint
    return out


def _write_common(out: Path, parts: Preset, seed: int, tokenizer: Path) -> None:
    shutil.copytree(tokenizer, out / PACKED.folder(TOKENIZER))
    scheduler = BERNOULLI_CONFIG if "latents" in parts.model_index else SCHEDULER_CONFIG
    _write_json(out / PACKED.folder(SCHEDULER) / "scheduler_config.json", scheduler)
    _write_text_encoder(out, parts.text_encoder, seed)
    _write_json(out / PACKED.folder(VAE) / "config.json", parts.vae)
    tensors = decode(VaeConfig, parts.vae).tensors()
    write_random_weights(out / PACKED.weights(VAE), tensors, bits=None, seed=seed, writer="pt")


def _write_transformer(out: Path, parts: Preset, bits: int, group_size: int, seed: int) -> None:
    dense = bits >= DENSE_BITS
    folder = out / (TRANSFORMER if dense else PACKED.folder(TRANSFORMER))  # as diffusers calls it
    _write_json(folder / "config.json", parts.transformer)
    quantization = {"bits": bits, "group_size": 1 if dense else group_size, "skip_patterns": _UNPACKED}
    if not dense:
        _write_json(folder / "quantization_config.json", quantization)
    tensors = decode(TransformerConfig, {**parts.transformer, **quantization}).tensors()
    path = folder / PACKED.component(TRANSFORMER).weights
    write_random_weights(path, tensors, bits=None if dense else bits, seed=seed, writer=None)


def _write_text_encoder(out: Path, config: Mapping[str, Any], seed: int) -> None:
    dense = config["quantization"] is None
    folder = out / (TEXT_ENCODER if dense else PACKED.folder(TEXT_ENCODER))  # as diffusers calls it
    packing = config["quantization"] or {"bits": DENSE_BITS, "group_size": 1}
    tensors = decode(TextEncoderConfig, {**config, **packing}).tensors()
    stated = {name: value for name, value in config.items() if not dense or not name.startswith("quantization")}
    _write_json(folder / "config.json", stated, indent=4, end="")
    _write_json(folder / "model.safetensors.index.json", _shard_index(tensors), indent=4, end="")
    bits = None if dense else packing["bits"]
    path = folder / PACKED.component(TEXT_ENCODER).weights
    write_random_weights(path, tensors, bits=bits, seed=seed, writer="mlx")


def _shard_index(tensors: Tensors) -> dict[str, Any]:
    return {
        "metadata": {"total_size": tensor_bytes(tensors)},
        "weight_map": dict.fromkeys(sorted(tensors), "model.safetensors"),
    }


def _link_common(out: Path, parts: Preset, common: Path) -> None:
    for component, expected in ((TEXT_ENCODER, parts.text_encoder), (VAE, parts.vae)):
        path = common / PACKED.folder(component) / "config.json"
        if json.loads(path.read_text()) != expected:
            raise ValueError(f"{path} differs from what this checkpoint needs; leave out `common` to write it anew")
    for component in COMMON_COMPONENTS:
        folder = PACKED.folder(component)
        shutil.copytree(common / folder, out / folder, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copy2(source, target)  # another disk, or one without hard links


def _vocabulary(tokenizer: Path) -> int:
    """How many rows an embedding needs for every id of a tokenizer.json, rounded up to a multiple of 64."""
    content = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    ids: list[int] = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    return -(-(max(ids) + 1) // 64) * 64


def _write_json(path: Path, content: Mapping[str, Any], *, indent: int = 2, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(content.items())), indent=indent) + end, encoding="utf-8")
