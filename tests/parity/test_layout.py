"""The layout's tensor names and shapes, and so those of made checkpoints, are the reference libraries' own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn
import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3

from bonsai_mlx.decoding import decode
from bonsai_mlx.flux2.parts.config import TextEncoderConfig, TransformerConfig, VaeConfig
from bonsai_mlx.flux2.synthesis import PRESETS
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER, VAE

GROUP = 128
FULL_SIZE = {"joint_attention_dim": 7680, "in_channels": 128}


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def packed(linears: dict[str, tuple[int, ...]], bits: int) -> dict[str, tuple[int, ...]]:
    """A transformer's shapes with every two-dimensional block tensor packed."""
    out = {}
    for name, shape in linears.items():
        if "transformer_blocks." not in name or len(shape) != 2:
            out[name] = shape
            continue
        layer, (rows, columns) = name.removesuffix(".weight"), shape
        out[f"{layer}.weight"] = (rows, columns * bits // 32)
        out[f"{layer}.scales"] = out[f"{layer}.biases"] = (rows, columns // GROUP)
    return out


@pytest.mark.parametrize("bits", [1, 2])
def test_the_full_size_transformer_has_the_names_and_shapes_of_diffusers(bits: int) -> None:
    config = {**PRESETS["bonsai-4b"].transformer, **FULL_SIZE}
    with torch.device("meta"):
        expected = shapes(Flux2Transformer2DModel.from_config(config))
    assert sum(len(shape) == 2 and "transformer_blocks." in name for name, shape in expected.items()) == 100
    tensors = decode(TransformerConfig, {**config, "bits": bits, "group_size": GROUP}).tensors()
    assert {name: spec.shape for name, spec in tensors.items()} == packed(expected, bits)


def test_the_full_size_vae_has_the_names_and_shapes_of_diffusers() -> None:
    config = PRESETS["bonsai-4b"].vae
    with torch.device("meta"):
        expected = shapes(AutoencoderKLFlux2.from_config(dict(config)))
    assert len(expected) == 251
    assert {name: spec.shape for name, spec in decode(VaeConfig, config).tensors().items()} == expected


def test_the_full_size_text_encoder_has_the_names_and_shapes_of_mlx_lm() -> None:
    config = PRESETS["bonsai-4b"].text_encoder
    model = qwen3.Model(qwen3.ModelArgs.from_dict(dict(config)))
    mlx.nn.quantize(model, group_size=64, bits=4)  # nothing is evaluated: only shapes are read
    expected = {name: tuple(value.shape) for name, value in tree_flatten(model.parameters())}
    tensors = decode(TextEncoderConfig, config).tensors()
    assert {name: spec.shape for name, spec in tensors.items()} == expected


def test_a_made_checkpoint_holds_exactly_the_names_and_types_of_its_models(
    tiny_checkpoint: Callable[..., Path], variant: str
) -> None:
    folder = tiny_checkpoint(variant)
    bits = {"ternary": 2, "binary": 1}[variant]
    transformer = shapes(
        Flux2Transformer2DModel.from_config(
            json.loads((folder / PACKED.folder(TRANSFORMER) / "config.json").read_text())
        )
    )
    vae = shapes(AutoencoderKLFlux2.from_config(json.loads((folder / PACKED.folder(VAE) / "config.json").read_text())))
    for component, expected in ((TRANSFORMER, packed(transformer, bits)), (VAE, vae)):
        tensors = mx.load(str(folder / PACKED.weights(component)))
        assert {name: tensor.shape for name, tensor in tensors.items()} == expected
        for name, tensor in tensors.items():
            layer, _, kind = name.rpartition(".")
            integer = kind == "weight" and f"{layer}.scales" in tensors
            counter = name == "bn.num_batches_tracked"
            assert tensor.dtype == (mx.uint32 if integer else mx.int64 if counter else mx.bfloat16), name
    text = mx.load(str(folder / PACKED.weights(TEXT_ENCODER)))
    assert {tensor.dtype for tensor in text.values()} == {mx.uint32, mx.bfloat16}
