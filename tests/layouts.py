"""Checkpoints as other programs lay them out, written from one of ours by the descriptions of those formats."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.parts.naming import DOUBLE, FUSED, REST, SINGLE
from bonsai_mlx.weights.layout import SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE

Arrays = dict[str, mx.array]


def dense(folder: Path, component: str = TRANSFORMER) -> Arrays:
    """A component's tensors, packed ones expanded, in float32."""
    tensors, out = Checkpoint.open(folder).load(component), {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if f"{layer}.scales" not in tensors:
            out[name] = tensor.astype(mx.float32)
        elif kind == "weight":
            scales, biases = (tensors[f"{layer}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            group = 64 if component == TEXT_ENCODER else 128
            bits = tensor.shape[1] * 32 // (scales.shape[1] * group)
            out[name] = mx.dequantize(tensor, scales, biases, group_size=group, bits=bits)
    return out


def bfl_names(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Black Forest Labs' names and fusions for our transformer's tensors, float32."""
    ours = {name: np.array(tensor) for name, tensor in tensors.items()}
    out = {f"{theirs}.weight": ours[f"{name}.weight"] for theirs, name in REST.items()}
    scale, shift = np.split(ours["norm_out.linear.weight"], 2)
    out["final_layer.adaLN_modulation.1.weight"] = np.concatenate([shift, scale])
    for kind, blocks, names in (
        ("double", "transformer_blocks", DOUBLE),
        ("single", "single_transformer_blocks", SINGLE),
    ):
        count = len({name.split(".")[1] for name in ours if name.startswith(f"{blocks}.")})
        for index in range(count):
            for theirs, name in names.items():
                suffix = "scale" if "norm" in theirs else "weight"
                out[f"{kind}_blocks.{index}.{theirs}.{suffix}"] = ours[f"{blocks}.{index}.{name}.weight"]
            for theirs, parts in FUSED.items() if kind == "double" else ():
                joined = np.concatenate([ours[f"{blocks}.{index}.{part}.weight"] for part in parts])
                out[f"double_blocks.{index}.{theirs}.weight"] = joined
    return out


def write_bfl(folder: Path, path: Path, *, fp8: bool = False, prefix: str = "", scale: float | None = None) -> Path:
    """One file with a transformer; in 8-bit floats the matrices of blocks, each with its `scale` if one is given."""
    out: Arrays = {}
    for name, values in bfl_names(dense(folder)).items():
        array = mx.array(values)
        if fp8 and "blocks" in name and values.ndim == 2:
            array = mx.to_fp8(array / scale if scale else array)
            if scale:
                out[f"{prefix}{name}_scale"] = mx.array(scale)
                out[f"{prefix}{name.removesuffix('weight')}input_scale"] = mx.array(1.0)
        else:
            array = array.astype(mx.bfloat16)
        out[prefix + name] = array
    mx.save_safetensors(str(path), out, {"format": "pt"})
    if fp8:  # MLX has no type of its own for them
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header = data[8 : 8 + size].replace(b'"dtype":"U8"', b'"dtype":"F8_E4M3"')
        path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + size :])
    return path


def write_mflux(folder: Path, out: Path, bits: int) -> Path:
    """The other MLX program's folder: every matrix packed in groups of 64, two shards, convolutions channels last."""
    renamed = {
        TRANSFORMER: lambda name: name.replace("timestep_embedder.", "").replace("attn.to_out.0.", "attn.to_out."),
        TEXT_ENCODER: lambda name: name.removeprefix("model."),
        VAE: lambda name: name.replace("to_out.0.", "to_out."),
    }
    for component, rename in renamed.items():
        arrays: Arrays = {}
        for name, tensor in dense(folder, component).items():
            if name == "bn.num_batches_tracked":
                continue
            if tensor.ndim == 4:
                tensor = tensor.transpose(0, 2, 3, 1)
            layer = rename(name).removesuffix(".weight")
            if tensor.ndim == 2 and tensor.shape[1] % 64 == 0:
                packed = mx.quantize(tensor.astype(mx.bfloat16), group_size=64, bits=bits)
                parts = zip(("weight", "scales", "biases"), packed, strict=True)
                arrays |= {f"{layer}.{part}": array for part, array in parts}
            else:
                arrays[rename(name)] = tensor.astype(mx.bfloat16)
        if component == TEXT_ENCODER:
            arrays["rotary_emb.inv_freq"] = mx.ones(16)
        (out / component).mkdir(parents=True)
        names = sorted(arrays)
        for shard in range(2):
            held = {name: mx.contiguous(arrays[name]) for name in names[shard::2]}
            notes = {"quantization_level": str(bits), "mflux_version": "0.15.0"}
            mx.save_safetensors(str(out / component / f"{shard}.safetensors"), held, notes)
    shutil.copytree(Checkpoint.open(folder).folders[TOKENIZER], out / TOKENIZER)
    return out


def write_diffusers(folder: Path, out: Path, *, distilled: bool = True, transformer_shards: int = 1) -> Path:
    """The published folder: bfloat16, the text encoder in two shards with an index, the transformer in one file."""
    checkpoint = Checkpoint.open(folder)
    for component in (TOKENIZER, SCHEDULER, VAE):
        shutil.copytree(checkpoint.folders[component], out / component)
    config = json.loads((checkpoint.folders[TEXT_ENCODER] / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("quantization")}
    for component, said, stem, shards in (
        (TEXT_ENCODER, config, "model", 2),
        (
            TRANSFORMER,
            json.loads((checkpoint.folders[TRANSFORMER] / "config.json").read_text()),
            "diffusion_pytorch_model",
            transformer_shards,
        ),
    ):
        arrays = {name: array.astype(mx.bfloat16) for name, array in dense(folder, component).items()}
        names, place = sorted(arrays), out / component
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(said))
        files = [f"{stem}-{index + 1:05}-of-{shards:05}.safetensors" for index in range(shards)]
        files = files if shards > 1 else [f"{stem}.safetensors"]
        cut = -(-len(names) // shards)
        held = {name: names[index * cut : (index + 1) * cut] for index, name in enumerate(files)}
        for name, inside in held.items():
            mx.save_safetensors(str(place / name), {one: arrays[one] for one in inside}, {"format": "pt"})
        if shards > 1:
            where = {one: name for name, inside in held.items() for one in inside}
            index = {"metadata": {"total_size": 0}, "weight_map": where}
            (place / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    said = json.loads((folder / "model_index.json").read_text())
    (out / "model_index.json").write_text(json.dumps({**said, "is_distilled": distilled}))
    (out / "LICENSE.md").write_text("Apache License\n")
    (out / "LICENSE").write_text("Apache License\n")
    return out


def _quantised(array: np.ndarray, kind: str) -> np.ndarray:
    """By the package; random blocks where it can only read a type, with factors that keep values small."""
    import gguf

    quantisation = gguf.GGMLQuantizationType[kind]
    try:
        return gguf.quants.quantize(array, quantisation)
    except NotImplementedError:
        weights, size = gguf.GGML_QUANT_SIZES[quantisation]
        random = np.random.default_rng(array.shape[0])
        blocks = random.integers(0, 256, (array.shape[0], array.shape[1] // weights, size), dtype=np.uint8)
        place = {"Q4_K": 0, "Q2_K": 80}[kind]
        factors = np.array([0.002, 0.015 if kind == "Q4_K" else 0.002], np.float16)
        blocks[..., place : place + 4] = factors.view(np.uint8)
        return blocks.reshape(len(array), -1)


def write_gguf(folder: Path, path: Path, kind: str, *, prefix: str = "") -> tuple[Path, dict[str, np.ndarray]]:
    """A GGUF by the package of that name, matrices of blocks in one type; and the values that package reads in it."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "flux")
    quantisation, values = gguf.GGMLQuantizationType[kind], {}
    for name, array in bfl_names(dense(folder)).items():
        if "blocks" in name and array.ndim == 2:
            packed = _quantised(array, kind)
            writer.add_tensor(prefix + name, packed, raw_dtype=quantisation)
            values[name] = gguf.quants.dequantize(packed, quantisation)
        else:
            writer.add_tensor(prefix + name, array)
            values[name] = array
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, values
