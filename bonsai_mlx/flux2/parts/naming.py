"""The names that other programs have for the tensors of FLUX.2 [klein], and what becomes of each.

Black Forest Labs' own, in single files, ComfyUI's and in GGUF: fused q, k and v, and the last modulation with its
halves (shift, scale), which are (scale, shift) here. The other MLX program's: diffusers' with a few changes,
convolutions channels last, every linear packed in groups of 64. ValueError names a tensor that has no place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ...weights import gguf
from ...weights.headers import Stored
from ...weights.source import Piece, Pieces, plain

FP8 = "F8_E4M3"
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
DOUBLE = {
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.linear_in",
    "img_mlp.2": "ff.linear_out",
    "txt_mlp.0": "ff_context.linear_in",
    "txt_mlp.2": "ff_context.linear_out",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
}
FUSED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
SINGLE = {
    "linear1": "attn.to_qkv_mlp_proj",
    "linear2": "attn.to_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
REST = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
    "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
    "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
    "single_stream_modulation.lin": "single_stream_modulation.linear",
    "final_layer.linear": "proj_out",
}
SWAPPED = {"final_layer.adaLN_modulation.1": "norm_out.linear"}
_BLOCK = re.compile(r"(double|single)_blocks\.(\d{1,4})\.(.+)")
_SCALES = ("weight_scale", "scale_weight")  # of 8-bit floats
_UNUSED = ("input_scale", "scale_input", "comfy_quant")  # how others would round activations
_MFLUX_GROUP = 64


def is_bfl(names: Mapping[str, Stored]) -> bool:
    return any(name.endswith("double_stream_modulation_img.lin.weight") for name in names)


def from_bfl(stored: Mapping[str, Stored], _notes: Mapping[str, str]) -> Pieces:
    prefix = next((each for each in _PREFIXES if any(name.startswith(each) for name in stored)), "")
    pieces: Pieces = {}
    for full, item in stored.items():
        layer, _, kind = full.removeprefix(prefix).rpartition(".")
        if kind in (*_SCALES, *_UNUSED) or full.endswith("scaled_fp8"):
            continue
        if kind not in ("weight", "scale"):
            raise ValueError(f"the tensor {full} is none of FLUX.2 [klein]'s")
        for name, piece in _placed(layer, full, item, _scale(stored, full)).items():
            pieces |= _split(f"{name}.weight", piece)
    return pieces


def _scale(stored: Mapping[str, Stored], name: str) -> tuple[Stored, ...]:
    found = (stored.get(f"{name.rpartition('.')[0]}.{suffix}") for suffix in _SCALES)
    scales = tuple(item for item in found if item is not None)[:1]
    for item in scales:
        if item.shape not in ((), (1,)):
            raise ValueError(f"the tensor {item.name} is {list(item.shape)}; one scale for a whole tensor is read")
    return scales


def _placed(layer: str, full: str, item: Stored, scale: tuple[Stored, ...]) -> dict[str, Piece]:
    piece = plain(item) if item.dtype != FP8 else Piece(item, "BF16", item.shape, "fp8", beside=scale)
    block, rows = _BLOCK.fullmatch(layer), item.shape[0]
    if layer in REST:
        return {REST[layer]: piece}
    if layer in SWAPPED and rows % 2 == 0:
        return {SWAPPED[layer]: piece.taking(slice(rows // 2, rows), slice(0, rows // 2))}
    if block and block[1] == "single" and block[3] in SINGLE:
        return {f"single_transformer_blocks.{block[2]}.{SINGLE[block[3]]}": piece}
    if block and block[1] == "double" and block[3] in DOUBLE:
        return {f"transformer_blocks.{block[2]}.{DOUBLE[block[3]]}": piece}
    if block and block[1] == "double" and block[3] in FUSED and rows % 3 == 0:
        third = rows // 3
        return {
            f"transformer_blocks.{block[2]}.{name}": piece.taking(slice(place * third, (place + 1) * third))
            for place, name in enumerate(FUSED[block[3]])
        }
    raise ValueError(f"the tensor {full} is none of FLUX.2 [klein]'s")


def _split(name: str, piece: Piece) -> Pieces:
    kind = gguf.BY_NAME.get(piece.dtype) if gguf.is_gguf(piece.stored.path) else None
    if kind is None:
        return {name: piece}
    if kind.bits >= 16:
        dtype = {"F16": "F16", "F32": "F32"}.get(kind.name, "BF16")
        return {name: replace(piece, dtype=dtype, form="values")}
    layer, (rows, columns) = name.removesuffix(".weight"), piece.shape
    groups = (rows, columns // kind.group_size)
    return {
        name: replace(piece, dtype="U32", shape=(rows, columns * kind.bits // 32), form="codes"),
        f"{layer}.scales": replace(piece, dtype="F16", shape=groups, form="scales"),
        f"{layer}.biases": replace(piece, dtype="F16", shape=groups, form="biases"),
    }


# The other MLX program's folders.

_MFLUX_CHANGES = (
    (re.compile(r"time_guidance_embed\.linear_"), "time_guidance_embed.timestep_embedder.linear_"),
    (re.compile(r"(?<!single_)(transformer_blocks\.\d+\.attn\.to_out)\.(?!0)"), r"\1.0."),
    (re.compile(r"(attentions\.0\.to_out)\.(?!0)"), r"\1.0."),
)


def from_mflux(stored: Mapping[str, Stored], _notes: Mapping[str, str]) -> Pieces:
    return {_renamed(name): plain(item) for name, item in stored.items()}


def encoder_from_mflux(stored: Mapping[str, Stored], _notes: Mapping[str, str]) -> Pieces:
    return {f"model.{name}": plain(item) for name, item in stored.items() if name != "rotary_emb.inv_freq"}


def vae_from_mflux(stored: Mapping[str, Stored], _notes: Mapping[str, str]) -> Pieces:
    pieces = {}
    for name, item in stored.items():
        layer, _, kind = name.rpartition(".")
        if kind in ("scales", "biases"):
            continue
        piece = plain(item)
        if f"{layer}.scales" in stored and kind == "weight":
            beside = stored[f"{layer}.scales"], stored[f"{layer}.biases"]
            shape = (item.shape[0], beside[0].shape[1] * _MFLUX_GROUP)
            piece = Piece(item, "F32", shape, "dequantised", beside=beside)
        elif len(item.shape) == 4:
            after, rows, columns, before = item.shape
            piece = replace(piece, shape=(after, before, rows, columns), form="channels last")
        pieces[_renamed(name)] = piece
    return pieces


def _renamed(name: str) -> str:
    for pattern, change in _MFLUX_CHANGES:
        name = pattern.sub(change, name)
    return name
