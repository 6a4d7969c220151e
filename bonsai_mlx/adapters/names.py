"""What programs call the linears of a FLUX.2 transformer in the files of adapters; see `docs/adapters.md`.

A key is a prefix, the name of a linear, and the slot of a tensor beside it. Names are those of diffusers, which are
ours, or those of Black Forest Labs (BFL), in which q, k and v are one; both are written with dots or, by kohya's
scripts, OneTrainer and LyCORIS, with underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Target:
    """The linears of ours that one name stands for: several share its outputs in equal parts, in this order."""

    modules: tuple[str, ...]
    swapped: bool = False  # the two halves of the outputs are the other way round: (shift, scale), ours (scale, shift)


class Key(NamedTuple):
    """A key of a file, taken apart."""

    stem: str  # the linear, without the prefix
    slot: str  # "down", "up", "alpha", "w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b"


_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
)
_KEY = re.compile(
    r"(?P<stem>.{1,300}?)\.(?P<slot>lora_[AB]|lora_down|lora_up|lora\.down|lora\.up|alpha|lokr_w[12](?:_[ab])?)"
    r"(?:\.default(?:_\d{1,3})?)?(?:\.weight)?"
)
_SLOTS = {"lora_A": "down", "lora_down": "down", "lora.down": "down", "lora_B": "up", "lora_up": "up", "lora.up": "up"}
_QKV, _ADDED = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_DOUBLE = {
    "img_attn.qkv": _QKV,
    "txt_attn.qkv": _ADDED,
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.linear_in",),
    "img_mlp.2": ("ff.linear_out",),
    "txt_mlp.0": ("ff_context.linear_in",),
    "txt_mlp.2": ("ff_context.linear_out",),
}
_SINGLE = {"linear1": ("attn.to_qkv_mlp_proj",), "linear2": ("attn.to_out",)}
_FUSED = {"attn.to_qkv": _QKV, "attn.to_added_qkv": _ADDED}  # diffusers' own, once it has fused them
_EDGES = {
    "img_in": Target(("x_embedder",)),
    "txt_in": Target(("context_embedder",)),
    "time_in.in_layer": Target(("time_guidance_embed.timestep_embedder.linear_1",)),
    "time_in.out_layer": Target(("time_guidance_embed.timestep_embedder.linear_2",)),
    "double_stream_modulation_img.lin": Target(("double_stream_modulation_img.linear",)),
    "double_stream_modulation_txt.lin": Target(("double_stream_modulation_txt.linear",)),
    "single_stream_modulation.lin": Target(("single_stream_modulation.linear",)),
    "final_layer.linear": Target(("proj_out",)),
    "final_layer.adaLN_modulation.1": Target(("norm_out.linear",), swapped=True),
}


def taken_apart(key: str) -> Key | None:
    """The stem and the slot of a key; None for one of no kind that is known here."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    slot = match["slot"]
    return Key(without_prefix(match["stem"]), _SLOTS.get(slot, slot.removeprefix("lokr_")))


def without_prefix(stem: str) -> str:
    while prefix := next((one for one in _PREFIXES if stem.startswith(one)), None):
        stem = stem.removeprefix(prefix)
    # some exports cut off the first letters, of "transformer." and of "transformer_blocks" alike
    return f"tran{stem}" if stem.startswith("sformer_blocks.") else stem


def known_names(modules: Iterable[str]) -> dict[str, Target]:
    """Every name of the linears `modules`, which are named as in our checkpoints, and what it stands for."""
    ours = set(modules)
    found = {name: Target((name,)) for name in ours} | _EDGES
    for block in {name.rsplit(".attn.", 1)[0] for name in ours if ".attn." in name}:
        kind, _, index = block.rpartition(".")
        double = kind == "transformer_blocks"
        bfl = f"{'double' if double else 'single'}_blocks.{index}"
        for name, parts in (_DOUBLE if double else _SINGLE).items():
            found[f"{bfl}.{name}"] = Target(tuple(f"{block}.{part}" for part in parts))
        for name, parts in _FUSED.items() if double else ():
            found[f"{block}.{name}"] = Target(tuple(f"{block}.{part}" for part in parts))
    return found | {name.replace(".", "_"): target for name, target in found.items()}
