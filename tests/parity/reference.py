"""The reference: a checkpoint folder run by diffusers and transformers in torch, with dequantised weights.

Written from the description of the format alone and with numpy; it uses neither MLX nor the product's code, so that a
mistake there cannot hide here. In a test:

    pipe = load_reference(folder)                     # a real diffusers.Flux2KleinPipeline, float32, on the CPU
    run = reference_run(pipe, "a red fox", latents, steps=4)
    run["sigmas"], run["prompt_embeds"], run["latents"], run["image"]

    with captured_blocks(pipe) as blocks:             # every transformer block's output, call by call
        reference_run(pipe, "a red fox", latents, steps=1)
    blocks["single_transformer_blocks.0"][0]          # of the first step: [1, text + image tokens, width]

Latents are numpy arrays [1, in_channels, height/16, width/16], as the engine takes them; the picture's size follows
from them. Everything that comes back is numpy, in float32 unless said otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from diffusers.utils.logging import set_verbosity_error
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

PIXELS_PER_TOKEN = 16
# Beside MLX's own threads, torch's spend up to a hundred times the work waiting for each other.
torch.set_num_threads(1)
set_verbosity_error()  # it announces that casts and attention backends are experimental


# Reading a checkpoint folder


def load_reference(folder: Path | str, dtype: torch.dtype = torch.float32) -> Flux2KleinPipeline:
    """The torch pipeline of a checkpoint folder. `pipe.prompt_options` says how its prompts are encoded."""
    folder = Path(folder)
    index = _read_json(folder / "model_index.json")
    pipe = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(
            _read_json(component_folder(folder, "scheduler") / "scheduler_config.json")
        ),
        vae=_load_vae(component_folder(folder, "vae")).to(dtype),
        text_encoder=_load_text_encoder(component_folder(folder, "text_encoder-mlx-4bit")).to(dtype),
        tokenizer=_load_tokenizer(component_folder(folder, "tokenizer")),
        transformer=_load_transformer(component_folder(folder, "transformer-packed-mflux")).to(dtype),
        is_distilled=True,
    )
    pipe.prompt_options = {
        "text_encoder_out_layers": tuple(index.get("text_encoder_out_layers", (9, 18, 27))),
        "max_sequence_length": index.get("max_sequence_length", 512),
    }
    pipe.set_progress_bar_config(disable=True)
    return pipe


def component_folder(folder: Path, name: str) -> Path:
    """Where a component lies: in the checkpoint itself, or in the folder it shares with the other variant."""
    common = _read_json(folder / "model_index.json").get("_common_folder")
    own = folder / name
    return own if own.is_dir() or common is None else folder / common / name


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file: bfloat16 as float32, other types as they are."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        raw = np.frombuffer(
            data[slice(*entry["data_offsets"])], {"U32": "<u4", "BF16": "<u2", "I64": "<i8"}[entry["dtype"]]
        )
        if entry["dtype"] == "BF16":  # the upper half of a float32
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = raw.reshape(entry["shape"])
    return tensors


def dequantize(weight: np.ndarray, scales: np.ndarray, biases: np.ndarray, bits: int) -> np.ndarray:
    """Packed uint32 codes [out, in*bits/32] with scales and biases [out, groups] to values [out, in].

    Codes lie in a word from the least significant bits upwards; value = code * scale + bias.
    """
    rows, groups = scales.shape
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    codes = (weight[:, :, None] >> shifts) & np.uint32(2**bits - 1)
    grouped = codes.reshape(rows, groups, -1).astype(np.float32)
    return (grouped * scales[:, :, None] + biases[:, :, None]).reshape(rows, -1)


def dequantized(tensors: dict[str, np.ndarray], bits: int) -> dict[str, torch.Tensor]:
    """A state dict in which each packed matrix (`weight`, `scales`, `biases`) is one plain `weight`."""
    state = {}
    for name, values in tensors.items():
        layer, _, kind = name.rpartition(".")
        if f"{layer}.scales" not in tensors:
            state[name] = torch.from_numpy(np.array(values))
        elif kind == "weight":
            plain = dequantize(values, tensors[f"{layer}.scales"], tensors[f"{layer}.biases"], bits)
            state[name] = torch.from_numpy(plain)
    return state


def _load_transformer(folder: Path) -> Flux2Transformer2DModel:
    bits = _read_json(folder / "quantization_config.json")["bits"]
    model = Flux2Transformer2DModel.from_config(_read_json(folder / "config.json"))
    model.load_state_dict(dequantized(read_tensors(folder / "diffusion_pytorch_model.safetensors"), bits))
    model.set_attention_backend("_native_math")  # no fused kernels: plain softmax in the activations' own type
    return model.eval()


def _load_text_encoder(folder: Path) -> Qwen3ForCausalLM:
    config = _read_json(folder / "config.json")
    bits = config.pop("quantization")["bits"]
    for key in ("quantization_config", "torch_dtype"):  # these describe the file, not the model that is built here
        config.pop(key, None)
    model = Qwen3ForCausalLM(Qwen3Config(**config, attn_implementation="eager"))
    state = dequantized(read_tensors(folder / "model.safetensors"), bits)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]  # tied, and stored once
    model.load_state_dict(state)
    return model.eval()


def _load_vae(folder: Path) -> AutoencoderKLFlux2:
    model = AutoencoderKLFlux2.from_config(_read_json(folder / "config.json"))
    model.load_state_dict(dequantized(read_tensors(folder / "diffusion_pytorch_model.safetensors"), bits=0))
    return model.eval()


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    config = _read_json(folder / "tokenizer_config.json")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token=config["eos_token"],
        pad_token=config["pad_token"],
        padding_side="right",
        chat_template=(folder / "chat_template.jinja").read_text(encoding="utf-8"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


# Running it


@torch.no_grad()
def reference_run(
    pipe: Flux2KleinPipeline,
    prompt: str,
    latents: np.ndarray,
    steps: int,
    width: int | None = None,
    height: int | None = None,
) -> dict[str, np.ndarray]:
    """One whole generation from given noise; `width` and `height` in pixels are only checked against the latents.

    sigmas         [steps + 1], the last one 0
    prompt_embeds  [1, max_sequence_length, joint_attention_dim]
    step_latents   [steps, 1, in_channels, height/16, width/16], after each step
    latents        [1, in_channels, height/16, width/16], after the last step
    pixels         [height, width, 3], before rounding, 0 to 1
    image          [height, width, 3], uint8
    """
    rows, columns = latents.shape[2:]
    if (width or columns * PIXELS_PER_TOKEN, height or rows * PIXELS_PER_TOKEN) != (
        columns * PIXELS_PER_TOKEN,
        rows * PIXELS_PER_TOKEN,
    ):
        raise ValueError(f"latents {latents.shape} are not those of a picture of {width}x{height} pixels")
    embeds = _encode(pipe, prompt)
    per_step: list[np.ndarray] = []

    def remember(_pipe: Flux2KleinPipeline, _step: int, _t: torch.Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
        tokens = kwargs["latents"].float().numpy()  # [1, tokens, channels]
        per_step.append(tokens.transpose(0, 2, 1).reshape(latents.shape).copy())
        return {}

    pixels = pipe(
        prompt_embeds=embeds,
        latents=torch.from_numpy(np.array(latents, dtype=np.float32)).to(embeds.dtype),
        height=rows * PIXELS_PER_TOKEN,
        width=columns * PIXELS_PER_TOKEN,
        num_inference_steps=steps,
        guidance_scale=1.0,
        output_type="np",
        callback_on_step_end=remember,
    ).images[0]
    return {
        "sigmas": pipe.scheduler.sigmas.numpy().copy(),
        "prompt_embeds": embeds.float().numpy(),
        "step_latents": np.stack(per_step),
        "latents": per_step[-1],
        "pixels": pixels,
        "image": to_uint8(pixels),
    }


def reference_tokens(pipe: Flux2KleinPipeline, prompt: str) -> np.ndarray:
    """Token ids [max_sequence_length] of a prompt in its chat template, truncated and padded."""
    text = pipe.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    length = pipe.prompt_options["max_sequence_length"]
    return np.array(pipe.tokenizer(text, padding="max_length", truncation=True, max_length=length)["input_ids"])


@torch.no_grad()
def reference_prompt_embeds(pipe: Flux2KleinPipeline, prompt: str) -> np.ndarray:
    """Prompt embeddings [1, max_sequence_length, joint_attention_dim]."""
    return _encode(pipe, prompt).float().numpy()


@torch.no_grad()
def reference_velocity(
    pipe: Flux2KleinPipeline, latents: np.ndarray, prompt_embeds: np.ndarray, sigma: float
) -> np.ndarray:
    """What the transformer predicts for latents at one noise level, in the latents' shape."""
    dtype = pipe.transformer.dtype
    tokens = torch.from_numpy(np.array(latents, dtype=np.float32)).to(dtype)
    embeds = torch.from_numpy(np.array(prompt_embeds, dtype=np.float32)).to(dtype)
    velocity = pipe.transformer(
        hidden_states=pipe._pack_latents(tokens),
        timestep=torch.tensor([sigma], dtype=dtype),
        guidance=None,
        encoder_hidden_states=embeds,
        txt_ids=pipe._prepare_text_ids(embeds),
        img_ids=pipe._prepare_latent_ids(tokens),
        return_dict=False,
    )[0]
    return velocity.float().numpy().transpose(0, 2, 1).reshape(latents.shape)


@torch.no_grad()
def reference_decode(pipe: Flux2KleinPipeline, latents: np.ndarray) -> np.ndarray:
    """Final latents to pixels [height, width, 3] from 0 to 1, before rounding."""
    mean = pipe.vae.bn.running_mean.float().view(1, -1, 1, 1)
    std = torch.sqrt(pipe.vae.bn.running_var.float().view(1, -1, 1, 1) + pipe.vae.config.batch_norm_eps)
    patches = torch.from_numpy(np.array(latents, dtype=np.float32)) * std + mean
    decoded = pipe.vae.decode(pipe._unpatchify_latents(patches).to(pipe.vae.dtype), return_dict=False)[0]
    return pipe.image_processor.postprocess(decoded.float(), output_type="np")[0]


@torch.no_grad()
def reference_encode_image(pipe: Flux2KleinPipeline, pixels: np.ndarray) -> np.ndarray:
    """Pixels [height, width, 3] from 0 to 1 to normalised latents [1, in_channels, height/16, width/16]."""
    image = torch.from_numpy(np.array(pixels, dtype=np.float32)).permute(2, 0, 1)[None] * 2 - 1
    return pipe._encode_vae_image(image.to(pipe.vae.dtype), generator=None).float().numpy()


@contextmanager
def captured_blocks(pipe: Flux2KleinPipeline) -> Iterator[dict[str, list[np.ndarray]]]:
    """Collect every transformer block's output by name, one array [1, text + image tokens, width] per call.

    Text tokens come first; a double block's two outputs are joined in that order, as before the single blocks.
    """
    outputs: dict[str, list[np.ndarray]] = {}

    def keep(name: str) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            joined = torch.cat(output, dim=1) if isinstance(output, tuple) else output  # (text, image) or both
            outputs.setdefault(name, []).append(joined.detach().float().numpy().copy())

        return hook

    handles = [
        block.register_forward_hook(keep(f"{group}.{index}"))
        for group in ("transformer_blocks", "single_transformer_blocks")
        for index, block in enumerate(getattr(pipe.transformer, group))
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1 to bytes, rounded as diffusers rounds them."""
    return (pixels * 255).round().astype(np.uint8)


def _encode(pipe: Flux2KleinPipeline, prompt: str) -> torch.Tensor:
    return pipe.encode_prompt(prompt, **pipe.prompt_options)[0]
