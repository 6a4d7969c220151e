"""What an adapter was made for, told from the names and shapes in its file: for those that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# Kinds of adapters that are not LoRA or LoKr, by what their keys hold.
_OTHER_KINDS = (
    (re.compile(r"dora_scale|lora_magnitude_vector"), "a DoRA"),
    (re.compile(r"\.hada_(?:w|t)"), "a LoHa"),
    (re.compile(r"\.lokr_t2?\b|\.lora_mid\b"), "for convolutions"),
    (re.compile(r"\.oft_|\.boft_"), "an OFT adapter"),
    (re.compile(r"\.[ab][12]\.weight$"), "a GLoRA"),
    (re.compile(r"\.on_input\b|\.ia3_l\b"), "an (IA)3 adapter"),
    (re.compile(r"\.diff(?:_b)?$|\.set_weight$"), "full differences of weights"),
    (re.compile(r"\.lora_(?:B|up)\.(?:default\.)?bias$|\.lora_bias\b"), "a LoRA with biases"),
)
_DOUBLE = re.compile(r"(?:^|_)double_blocks_(\d{1,4})_|(?<!single_)transformer_blocks_(\d{1,4})_")
_SINGLE = re.compile(r"(?:^|_)single_(?:transformer_)?blocks_(\d{1,4})_")
# By their numbers of blocks and their width.
_FLUX2 = {(5, 3072): "FLUX.2 [klein] 4B or Bonsai", (8, 4096): "FLUX.2 [klein] 9B", (8, 6144): "FLUX.2 [dev]"}
FAMILIES = frozenset(_FLUX2.values())
_WIDTHS = {width: name for (_, width), name in _FLUX2.items()}
# Others by names of theirs, written with underscores; the first that is found counts.
_FAMILIES = (
    (re.compile(r"transformer_blocks_\d+_(?:img_mlp_net|img_mod_1|txt_mlp_net)"), "Qwen-Image"),
    (re.compile(r"(?:^|_)(?:context_refiner|noise_refiner)_|(?:^|_)layers_\d+_(?:attention|feed_forward)_"), "Z-Image"),
    (re.compile(r"(?:^|_)blocks_\d+_(?:self_attn|cross_attn|ffn)_"), "Wan"),
    (re.compile(r"joint_blocks_\d+_"), "Stable Diffusion 3"),
    (re.compile(r"(?:^|_)layers_\d+_(?:self_attn|mlp)_(?:[qkvo]_proj|gate_proj|up_proj|down_proj)"), "a text encoder"),
    (re.compile(r"^(?:lora_)?(?:te\d?|text_encoder(?:_\d)?|text_model|clip_[lg])_"), "a text encoder"),
    (re.compile(r"(?:^|_)(?:transformer_blocks|blocks)_\d+_attn1_"), "a U-Net or LTX-Video"),
)
_VAE = re.compile(r"^(?:first_stage_model_)?(?:encoder|decoder)_(?:conv_in|conv_out|mid|up|down)")
_UNET = re.compile(r"(?:down|up|mid|input|output|middle)_blocks?_")
_CROSS = re.compile(r"attn2_to_[kv]$")
_UNETS = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}


def other_kind(keys: Iterable[str]) -> str | None:
    return next((name for key in keys for pattern, name in _OTHER_KINDS if pattern.search(key)), None)


def made_for(inputs: Mapping[str, int]) -> str:
    """A model and its blocks in a few words, from the linears' names without prefix and their numbers of inputs."""
    stems = [stem.replace(".", "_") for stem in inputs]
    doubles, singles = _count(_DOUBLE, stems), _count(_SINGLE, stems)
    blocks = " and ".join(
        f"{n} {kind} block{'s'[: n != 1]}" for n, kind in ((doubles, "double"), (singles, "single")) if n
    )
    if stems and all(_VAE.search(stem) for stem in stems):
        return "a VAE"
    if any(_UNET.search(stem) for stem in stems):
        cross = [count for stem, count in inputs.items() if _CROSS.search(stem.replace(".", "_"))]
        return _UNETS.get(cross[0], "a U-Net") if cross else "a U-Net such as Stable Diffusion's"
    name = next((name for pattern, name in _FAMILIES if any(pattern.search(stem) for stem in stems)), None)
    name = name or _flux(stems, doubles, singles, _width(inputs))
    if name is None:
        return f"something unknown, with names such as {min(inputs)[:80]!r}" if inputs else "nothing"
    return f"{name}: {blocks}" if blocks and name != "a text encoder" else name


def _flux(stems: Sequence[str], doubles: int, singles: int, width: int | None) -> str | None:
    if not doubles and not singles:
        return None
    marks = ("proj_mlp", "ff_net_0_proj", "_img_mod_lin", "_modulation_lin", "guidance_in_")
    old = any(mark in stem for stem in stems for mark in marks if "stream_modulation" not in stem)
    if doubles == 20 or singles == 40:
        return "HunyuanVideo"
    if old or doubles > 8 or singles > 48:
        return "FLUX.1" if singles or doubles <= 19 else "another transformer"
    if not width:
        return "a FLUX.2"
    return _FLUX2.get((doubles, width)) or _WIDTHS.get(width) or "a FLUX.2 of another size"


def _count(pattern: re.Pattern[str], stems: Sequence[str]) -> int:
    found = (match for stem in stems if (match := pattern.search(stem)))
    return max((1 + int(next(filter(None, match.groups()))) for match in found), default=0)


def _width(inputs: Mapping[str, int]) -> int | None:
    names = re.compile(r"(?:img_attn_qkv|txt_attn_qkv|attn_to_q|attn_add_q_proj|linear1|attn_to_qkv_mlp_proj)$")
    return next((count for stem, count in inputs.items() if count and names.search(stem.replace(".", "_"))), None)
