"""Configs of components that come without one, and how matrices are stored: both are read off the tensors.

What shapes do not tell (RoPE's base, epsilons, the VAE's groups) is as in every FLUX.2 [klein].
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from ...weights import gguf
from ...weights.source import Pieces
from ...weights.spec import Storage
from .config import TextEncoderConfig, TransformerConfig, VaeConfig

_DENSE_BITS = {"BF16": 16, "F16": 16, "F32": 32}


def storages(pieces: Pieces, group_size: int | None = None, bits: int | None = None) -> dict[str, Storage]:
    """How each matrix is stored. Packed ones tell bits times group size; `group_size` or `bits` says which it is.

    ValueError for one that is stored in a way that is not known.
    """
    found = {}
    for name, piece in pieces.items():
        layer, _, kind = name.rpartition(".")
        if kind != "weight" or len(piece.shape) != 2:
            continue
        if piece.form == "codes":
            of_gguf = gguf.BY_NAME[piece.stored.dtype]
            found[layer] = Storage(of_gguf.bits, of_gguf.group_size)
        elif piece.dtype in _DENSE_BITS:
            found[layer] = Storage(_DENSE_BITS[piece.dtype])
        elif piece.dtype == "U32" and f"{layer}.scales" in pieces:
            product = 32 * piece.shape[1] / pieces[f"{layer}.scales"].shape[1]
            each = group_size or round(product / (bits or 4))
            stored = Storage(round(product / each), each)
            if stored.bits * each != product or stored.bits not in (1, 2, 3, 4, 6, 8) or each not in (32, 64, 128):
                raise ValueError(f"{layer} is packed in a way that is not known")
            found[layer] = stored
        else:
            raise ValueError(f"the tensor {name} is {piece.dtype}, which is not known here")
    return found


def usual(stored: Mapping[str, Storage], inside: str) -> Storage:
    """How most of the matrices are stored whose names have `inside`."""
    counted = Counter(storage for name, storage in stored.items() if inside in name)
    return counted.most_common(1)[0][0] if counted else Storage()


def others(stored: Mapping[str, Storage], blocks: Storage) -> dict[str, Storage]:
    """The matrices that are not stored as the blocks', or what is in no block as usual, by name."""
    dense = Storage()
    return {name: one for name, one in stored.items() if one != (blocks if "transformer_blocks." in name else dense)}


def transformer(pieces: Pieces, stored: Mapping[str, Storage]) -> TransformerConfig:
    """ValueError for tensors that are not a transformer's."""
    columns = _Columns(pieces, stored)
    dim, in_channels = columns.shape("x_embedder")
    head_dim = columns.length("transformer_blocks.0.attn.norm_q")
    blocks = usual(stored, "transformer_blocks.")
    return TransformerConfig(
        in_channels=in_channels,
        num_layers=_count(pieces, r"transformer_blocks\.(\d+)\."),
        num_single_layers=_count(pieces, r"single_transformer_blocks\.(\d+)\."),
        attention_head_dim=head_dim,
        num_attention_heads=dim // head_dim,
        joint_attention_dim=columns.shape("context_embedder")[1],
        axes_dims_rope=(head_dim // 4,) * 4,
        timestep_guidance_channels=columns.shape("time_guidance_embed.timestep_embedder.linear_1")[1],
        mlp_ratio=columns.shape("transformer_blocks.0.ff.linear_out")[1] / dim,
        bits=blocks.bits,
        group_size=blocks.group_size,
        others=others(stored, blocks),
    )


def encoder_group(pieces: Pieces) -> int | None:
    """How many inputs a scale is for in a packed Qwen3, which its norms' width tells; None where it is dense."""
    groups, norm = (pieces.get(f"model.layers.0.{name}") for name in ("mlp.gate_proj.scales", "input_layernorm.weight"))
    return norm.shape[0] // groups.shape[1] if groups and norm and groups.shape[1] else None


def text_encoder(pieces: Pieces, stored: Mapping[str, Storage]) -> TextEncoderConfig:
    """ValueError for tensors that are not a Qwen3's."""
    columns, layer = _Columns(pieces, stored), "model.layers.0"
    vocabulary, hidden = columns.shape("model.embed_tokens")
    head_dim = columns.length(f"{layer}.self_attn.q_norm")
    blocks = usual(stored, "model.layers.")
    return TextEncoderConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=columns.shape(f"{layer}.mlp.gate_proj")[0],
        num_hidden_layers=_count(pieces, r"model\.layers\.(\d+)\."),
        num_attention_heads=columns.shape(f"{layer}.self_attn.q_proj")[0] // head_dim,
        num_key_value_heads=columns.shape(f"{layer}.self_attn.k_proj")[0] // head_dim,
        head_dim=head_dim,
        bits=blocks.bits,
        group_size=blocks.group_size,
    )


def vae(pieces: Pieces) -> VaeConfig:
    """ValueError for tensors that are not a VAE's."""
    columns = _Columns(pieces, {})
    count = _count(pieces, r"encoder\.down_blocks\.(\d+)\.")
    widths = [columns.length(f"encoder.down_blocks.{index}.resnets.0.norm2") for index in range(count)]
    return VaeConfig(
        block_out_channels=tuple(widths),
        layers_per_block=_count(pieces, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        latent_channels=columns.length("post_quant_conv", "bias"),
        norm_num_groups=32,
    )


def _count(pieces: Pieces, pattern: str) -> int:
    found = {int(match[1]) for name in pieces if (match := re.match(pattern, name))}
    if not found or found != set(range(len(found))):
        raise ValueError(f"blocks are missing: there are {sorted(found)} of {pattern.split(chr(92))[0]}")
    return len(found)


class _Columns:
    """Shapes of layers, packed or not."""

    def __init__(self, pieces: Pieces, stored: Mapping[str, Storage]) -> None:
        self._pieces, self._stored = pieces, stored

    def shape(self, layer: str) -> tuple[int, int]:
        piece = self._pieces.get(f"{layer}.weight")
        if piece is None or len(piece.shape) != 2:
            raise ValueError(f"the tensor {layer}.weight is missing")
        rows, columns = piece.shape
        stored = self._stored[layer]
        return rows, columns * 32 // stored.bits if stored.packed else columns

    def length(self, layer: str, kind: str = "weight") -> int:
        """Of a vector; at least 1."""
        piece = self._pieces.get(f"{layer}.{kind}")
        if piece is None or len(piece.shape) != 1 or not piece.shape[0]:
            raise ValueError(f"the tensor {layer}.{kind} is missing")
        return piece.shape[0]
