"""What a generation will hold in memory, predicted from the checkpoint's own shapes before anything is loaded.

The pipeline follows the plan, so plan and pipeline must change together; tests compare every phase with what MLX
measured. Nothing here imports MLX.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .checkpoint import Checkpoint, tensor_bytes
from .errors import OutOfMemory

Level = Literal["default", "drop", "stream"]
# Pixels in a VAE strip, by device: an implicit-GEMM convolution needs little scratch, MLX's CPU one unrolls 9 copies.
STRIP_PIXELS: Mapping[str, int] = {"metal": 1 << 16, "cuda": 1 << 16, "cpu": 1 << 14}
SMALL_STRIP_PIXELS = 1 << 13


@dataclass(frozen=True, slots=True)
class Plan:
    """How one generation uses memory. Bytes are what MLX holds at most in each phase."""

    level: Level
    strip_pixels: int
    resident_bytes: int  # between two pictures
    phases: Mapping[str, int]  # "encode", "load", "denoise", "decode"

    @property
    def peak_bytes(self) -> int:
        """The most that is held at any moment."""
        return max(self.phases.values())

    @property
    def streamed(self) -> bool:
        """Whether the transformer's blocks are read anew in every step."""
        return self.level == "stream"

    @property
    def drops_transformer(self) -> bool:
        """Whether the transformer is freed before decoding."""
        return self.level != "default"


def choose(
    checkpoint: Checkpoint,
    width: int,
    height: int,
    *,
    device: str = "metal",
    item_bytes: int = 2,
    limit_bytes: int | None = None,
) -> Plan:
    """The fastest plan within `limit_bytes`. Raises OutOfMemory naming the smallest limit that can be met."""
    smallest = None
    for plan in _levels(checkpoint, width, height, device, item_bytes):
        if limit_bytes is None or plan.peak_bytes <= limit_bytes:
            return plan
        smallest = plan.peak_bytes if smallest is None else min(smallest, plan.peak_bytes)
    raise OutOfMemory(
        f"a memory limit of {(limit_bytes or 0) / 1e9:.2f} GB is too small for {width}x{height}; the smallest that can "
        f"be met is {(smallest or 0) / 1e9:.2f} GB"
    )


def predict(checkpoint: Checkpoint, width: int, height: int, limit_bytes: int | None = None) -> Plan:
    """`choose` for a GPU with bfloat16 activations: what a Mac will need."""
    return choose(checkpoint, width, height, limit_bytes=limit_bytes)


def _levels(checkpoint: Checkpoint, width: int, height: int, device: str, item: int) -> Iterator[Plan]:
    """From the fastest to the smallest."""
    strips = STRIP_PIXELS[device]
    yield _predicted(checkpoint, width, height, device, item, "default", strips)
    yield _predicted(checkpoint, width, height, device, item, "drop", strips)
    yield _predicted(checkpoint, width, height, device, item, "drop", SMALL_STRIP_PIXELS)
    yield _predicted(checkpoint, width, height, device, item, "stream", SMALL_STRIP_PIXELS)


def _predicted(
    checkpoint: Checkpoint, width: int, height: int, device: str, item: int, level: Level, strip_pixels: int
) -> Plan:
    config, encoder = checkpoint.transformer, checkpoint.text_encoder
    tensors = config.tensors()
    blocks = tensor_bytes({name: spec for name, spec in tensors.items() if "transformer_blocks" in name})
    rest = tensor_bytes({name: tensors[name] for name in ("x_embedder.weight", "proj_out.weight")}) * item // 2
    double = tensor_bytes(config.double_block_tensors())
    single = tensor_bytes(config.single_block_tensors())
    streamed = level == "stream"
    transformer = rest + (max(double, single) if streamed else blocks)
    resident = rest if streamed else blocks + rest
    text = checkpoint.max_sequence_length
    tokens = text + (width // 16) * (height // 16)
    embeddings = text * config.joint_attention_dim * item
    context = text * config.dim * item
    kept = embeddings + context
    # The widest moment of a block: its input, the fused projection, the gated MLP joined to the attention's output.
    widest = 3 * config.dim + 2 * config.mlp_dim
    activations = tokens * item * (2 * config.dim + widest + 2 * config.mlp_dim + 2 * config.dim)
    layer = tensor_bytes(encoder.layer_tensors())
    encoding = layer + text * item * (6 * encoder.hidden_size + 3 * encoder.intermediate_size) + embeddings
    modulation = 6 * config.dim * config.dim * 2
    decoding = _decoding_bytes(checkpoint, width, height, item, strip_pixels, device)
    return Plan(
        level=level,
        strip_pixels=strip_pixels,
        resident_bytes=resident + kept,
        phases={
            "encode": resident + encoding,
            "load": kept + max(modulation, transformer),
            "denoise": kept + transformer + activations,
            "decode": kept + (resident if level == "default" else 0) + decoding,
        },
    )


def _decoding_bytes(checkpoint: Checkpoint, width: int, height: int, item: int, strip_pixels: int, device: str) -> int:
    """Decoder weights, the two widest neighbouring feature maps, and one strip's scratch."""
    vae = checkpoint.vae
    weights = tensor_bytes(vae.decoder_tensors()) * item // 2
    channels = vae.block_out_channels
    pixels = width * height
    maps = pixels * item * (channels[1] + channels[0])  # at full size: the last block's input and its first result
    strip = min(pixels, strip_pixels)
    scratch = strip * channels[1] * (9 * item if device == "cpu" else 3 * item)
    return weights + maps + scratch
