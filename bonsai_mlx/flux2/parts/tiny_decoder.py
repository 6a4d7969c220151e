"""TAEF2 as a file: a tiny autoencoder of FLUX.2's latents (Ollin Boer Bohan, MIT), whose decoder draws previews.

Its layers stand in one row and are named by their places in it. The latents that it reads are those that the
transformer draws, as they are normalised, so it needs nothing of the VAE. Reference: `taesd.py` in
https://github.com/madebyollin/taesd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...weights.headers import Stored
from ...weights.source import Pieces, as_stored
from ...weights.spec import FLOATS, Tensors, TensorSpec

FILE = "taef2.safetensors"
WIDTH, POOL_WIDTH, POOL_GROUPS = 64, 256, 4  # of every map; of what pooled blocks normalise, and in how many groups
SCALE = 8  # pixels for each latent, each way
Kind = Literal["first", "relu", "pooled", "block", "resized", "conv", "last"]

_BLOCKS: tuple[Kind, ...] = ("block", "block", "block")
_POOLED: tuple[Kind, ...] = ("pooled", "pooled", "pooled")
_LARGER: tuple[Kind, ...] = ("resized", "conv")
DECODER: tuple[Kind, ...] = ("first", "relu", *_POOLED, *(*_LARGER, *_BLOCKS) * 2, *_LARGER, "block", "last")
ENCODER: tuple[Kind, ...] = ("first", "block", *("conv", *_BLOCKS) * 2, "conv", *_POOLED, "last")


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """What there is to know of it: every TAEF2 has the same shapes."""

    latent_channels: int = 32

    def tensors(self) -> Tensors:
        """The encoder's too, which a file may lack."""
        return self.decoder_tensors() | _network("encoder", ENCODER, 3, self.latent_channels)

    def decoder_tensors(self) -> Tensors:
        return _network("decoder", DECODER, self.latent_channels, 3)


def names(stored: dict[str, Stored], notes: Mapping[str, str]) -> Pieces:
    """The tensors as they are. ValueError for a file of another kind, which says what it is where that can be told."""
    first = stored.get("decoder.layers.0.weight")
    if first is None:
        raise ValueError("it is no TAEF2: it has no tensor decoder.layers.0.weight")
    if len(first.shape) == 4 and first.shape[1] != TinyConfig().latent_channels:
        raise ValueError(
            f"it is a tiny decoder for latents of {first.shape[1]} channels; FLUX.2 has 32, as TAEF2 reads"
        )
    return as_stored(stored, notes)


def _network(side: str, kinds: Sequence[Kind], before: int, after: int) -> Tensors:
    out: Tensors = {}
    for index, kind in enumerate(kinds):
        out |= _layer(f"{side}.layers.{index}", kind, before, after)
    return out


def _layer(name: str, kind: Kind, before: int, after: int) -> Tensors:
    match kind:
        case "first":
            return _conv(name, before, WIDTH)
        case "conv":
            return _conv(name, WIDTH, WIDTH, bias=False)
        case "last":
            return _conv(name, WIDTH, after)
        case "block" | "pooled":
            convs = {k: v for place in (0, 2, 4) for k, v in _conv(f"{name}.conv.{place}", WIDTH, WIDTH).items()}
            return convs | (_pool(f"{name}.pool") if kind == "pooled" else {})
        case _:
            return {}


def _conv(name: str, before: int, after: int, *, bias: bool = True) -> Tensors:
    out = {f"{name}.weight": TensorSpec(FLOATS, (after, before, 3, 3))}
    return out | {f"{name}.bias": TensorSpec(FLOATS, (after,))} if bias else out


def _pool(name: str) -> Tensors:
    return {
        f"{name}.0.weight": TensorSpec(FLOATS, (POOL_WIDTH, WIDTH, 1, 1)),
        f"{name}.1.weight": TensorSpec(FLOATS, (POOL_WIDTH,)),
        f"{name}.1.bias": TensorSpec(FLOATS, (POOL_WIDTH,)),
        f"{name}.3.weight": TensorSpec(FLOATS, (WIDTH, POOL_WIDTH, 1, 1)),
    }
