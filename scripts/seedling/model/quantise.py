"""Ternary and binary weights: how training imitates them, and how they are packed.

A weight [out, in] is cut into groups of 128 inputs. Each group has one scale s, the mean magnitude of its weights
rounded to bfloat16; values become {-s, 0, +s} as in BitNet b1.58 (arXiv:2402.17764) or {-s, +s} as in XNOR-Net
(arXiv:1603.05279). Training keeps full-precision weights, computes with the rounded ones, and passes gradients straight
through the rounding. Packing writes the same values in MLX's affine form, so that what was trained is what is run, bit
for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..options import BLOCK_GROUP, TEXT_GROUP

Variant = Literal["ternary", "binary"]
BITS: dict[Variant, int] = {"ternary": 2, "binary": 1}
TEXT_BITS = 4
_TEXT_LEVELS = 2**TEXT_BITS - 1


def quantised(weight: Tensor, variant: Variant) -> Tensor:
    """The rounded weight, same shape and dtype."""
    values, scales = _levels(weight, variant)
    return (values * scales).reshape(weight.shape).to(weight.dtype)


def packed(weight: Tensor, variant: Variant) -> dict[str, Tensor]:
    """The three tensors of a packed linear: `weight` uint32 [out, in * bits / 32], bfloat16 `scales` and `biases`."""
    values, scales = _levels(weight.detach().float().cpu(), variant)
    rows = weight.shape[0]
    low = scales.reshape(rows, -1).to(torch.bfloat16)
    if variant == "ternary":
        codes, step = values + 1, low
    else:
        codes, step = (values + 1) / 2, 2 * low
    words = pack_codes(codes.reshape(rows, -1).numpy().astype(np.uint32), BITS[variant])
    return {"weight": torch.from_numpy(words.view(np.int32)).view(torch.uint32), "scales": step, "biases": -low}


def packed_text(weight: Tensor) -> dict[str, Tensor]:
    """A matrix of the text encoder at 4 bits: the three tensors of its packed form."""
    groups = weight.detach().float().cpu().reshape(weight.shape[0], -1, TEXT_GROUP)
    lowest, highest = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step = ((highest - lowest) / _TEXT_LEVELS).clamp_min(1e-8).to(torch.bfloat16).float()
    low = lowest.to(torch.bfloat16).float()
    codes = ((groups - low) / step).round().clamp(0, _TEXT_LEVELS)
    words = pack_codes(codes.reshape(weight.shape).numpy().astype(np.uint32), TEXT_BITS)
    return {
        "weight": torch.from_numpy(words.view(np.int32)).view(torch.uint32),
        "scales": step[..., 0].to(torch.bfloat16),
        "biases": low[..., 0].to(torch.bfloat16),
    }


def pack_codes(codes: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    """Codes [rows, columns] as uint32 words [rows, columns * bits / 32], least significant bits first."""
    per_word = 32 // bits
    shifts = np.arange(per_word, dtype=np.uint32) * np.uint32(bits)
    words = codes.reshape(codes.shape[0], -1, per_word) << shifts
    return np.ascontiguousarray(np.bitwise_or.reduce(words, axis=-1), dtype=np.uint32)


def unpacked(tensors: Mapping[str, Tensor], name: str, bits: int) -> Tensor:
    """The values [out, in] that the three tensors of the packed linear `name` stand for; float32."""
    words = tensors[f"{name}.weight"].view(torch.int32)
    codes = (words[..., None] >> torch.arange(0, 32, bits, dtype=torch.int32)) & (2**bits - 1)
    scales, biases = (tensors[f"{name}.{kind}"].float()[..., None] for kind in ("scales", "biases"))
    rows, groups = scales.shape[:2]
    return (codes.reshape(rows, groups, -1) * scales + biases).reshape(rows, -1)


def block_linears(transformer: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linears that the published layout packs: all of the blocks, none outside them. Names as in the file."""
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and name.startswith(("transformer_blocks.", "single_transformer_blocks.")):
            yield name, module


@contextmanager
def rounded(transformer: nn.Module, variant: Variant) -> Iterator[None]:
    """Within it the block linears have rounded weights, and what gradients they get are the unrounded weights'.

    That is the straight-through estimator as BinaryConnect has it (Courbariaux et al., arXiv:1511.00363): rounding
    takes place once a step, however many pieces the step is made of.
    """
    kept = [(linear.weight, linear.weight.data) for _, linear in block_linears(transformer)]
    for weight, values in kept:
        weight.data = quantised(values, variant)
    try:
        yield
    finally:
        for weight, values in kept:
            weight.data = values


def _levels(weight: Tensor, variant: Variant) -> tuple[Tensor, Tensor]:
    """Values in {-1, 0, 1} or {-1, 1} [out, groups, 128], and the scales [out, groups, 1] they are multiples of."""
    groups = weight.reshape(weight.shape[0], -1, BLOCK_GROUP).float()
    scales = groups.abs().mean(-1, keepdim=True).clamp_min(1e-8).to(torch.bfloat16).float()
    if variant == "ternary":
        return torch.round((groups / scales).clamp(-1, 1)), scales
    return torch.where(groups >= 0, 1.0, -1.0), scales
