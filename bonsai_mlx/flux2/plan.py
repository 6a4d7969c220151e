"""What a generation will hold in memory, predicted from the checkpoint's own shapes before anything is loaded.

The pipeline follows the plan, so plan and pipeline must change together; tests compare every phase with what MLX
measured. Nothing here imports MLX.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..adapters.fitting import bytes_held
from ..errors import OutOfMemory
from ..model import Adapters
from ..nn.limits import BLOCK_BYTES, SCORES_LIMIT_BYTES, SMALL_STRIP_VALUES, STRIP_VALUES, share_count
from ..runtime import blas
from ..weights.spec import TensorSpec, tensor_bytes
from ..wording import format_bytes
from .checkpoint import Checkpoint
from .parts.config import TransformerConfig
from .parts.vae_memory import decoding, encoding_image, previewing

Level = Literal["default", "drop", "stream"]
PreviewKind = Literal["to be fitted", "tiny"]
CACHED_CONTEXTS = 4  # projected prompts that are kept, 3 MB each in the 4B model, so that a repeated one reads nothing
_WHOLE_MAPS = 5  # of a picture in tiles: the noise, the latents before and after, their sum and a copy of it
PREVIEW_SIDE_PX = 128  # of the pictures that previews are fitted to, see `preview`


@dataclass(frozen=True, slots=True)
class Plan:
    """How one generation uses memory. Bytes are what MLX holds at most in each phase."""

    level: Level
    strip_values: int
    recompute: bool  # maps of the decoder anew each time they are needed, instead of keeping them
    resident_bytes: int  # between two pictures
    phases: Mapping[str, int]  # "encode", "encode image" if pictures go in, "load", "denoise", "decode"

    @property
    def peak_bytes(self) -> int:
        return max(self.phases.values())

    @property
    def streamed(self) -> bool:
        return self.level == "stream"

    @property
    def drops_transformer(self) -> bool:
        return self.level != "default"


@dataclass(frozen=True, slots=True)
class AdapterBytes:
    """What the adapters of a run take: in all blocks, in the largest of each kind, beside them, and before them."""

    blocks: int = 0
    double: int = 0
    single: int = 0
    edges: int = 0
    before: int = 0  # the largest of what modulation and context are made with, which is dropped
    kronecker: bool = False


NO_ADAPTERS = AdapterBytes()


def adapter_bytes(config: TransformerConfig, adapters: Adapters, item_bytes: int) -> AdapterBytes:
    """What the adapters take at so many bytes a value."""
    chosen = [adapter for adapter, strength in adapters if strength]
    sizes: dict[str, int] = {}
    for name in config.linears():
        block = ".".join(name.split(".")[:2]) if "transformer_blocks" in name else name
        sizes[block] = sizes.get(block, 0) + bytes_held(chosen, [name], item_bytes)
    edges = ("x_embedder", "proj_out")
    double, single = (
        [size for name, size in sizes.items() if name.startswith(kind)] for kind in ("tran", "single_tran")
    )
    return AdapterBytes(
        blocks=sum(double) + sum(single),
        double=max(double),
        single=max(single),
        edges=sum(sizes[name] for name in edges),
        before=max(size for name, size in sizes.items() if "blocks" not in name and name not in edges),
        kronecker=any(part.first for adapter in chosen for part in adapter.parts.values()),
    )


def choose(
    checkpoint: Checkpoint,
    width: int,
    height: int,
    *,
    device: str = "metal",
    item_bytes: int = 2,
    limit_bytes: int | None = None,
    guided: bool = False,
    preview: PreviewKind | None = None,
    pictures: Sequence[tuple[int, int]] = (),
    references: Sequence[tuple[int, int]] = (),
    whole: tuple[int, int] | None = None,
    adapters: AdapterBytes = NO_ADAPTERS,
) -> Plan:
    """The fastest plan within `limit_bytes`. Raises OutOfMemory naming the smallest limit that can be met.

    `guided` counts two passes a step, `preview` what previews need: once for each VAE those that are fitted to it,
    after every step those of a tiny decoder; `pictures` the encoding of pictures of these sizes (pixels, width x
    height), `references` the tokens of those that are looked at in every step, `adapters` what they take. Of a picture
    of the size `whole` that is drawn in tiles of `width` x `height`, the latents are counted in.
    """
    smallest = None
    found = levels(
        checkpoint,
        width,
        height,
        device,
        item_bytes,
        guided=guided,
        preview=preview,
        pictures=pictures,
        references=references,
        whole=whole,
        adapters=adapters,
    )
    for plan in found:
        if limit_bytes is None or plan.peak_bytes <= limit_bytes:
            return plan
        smallest = plan.peak_bytes if smallest is None else min(smallest, plan.peak_bytes)
    raise OutOfMemory(
        f"a memory limit of {format_bytes(limit_bytes or 0)} is too small for {width}x{height}; the smallest that can "
        f"be met is {format_bytes(smallest or 0)}"
    )


def levels(
    checkpoint: Checkpoint,
    width: int,
    height: int,
    device: str,
    item: int,
    *,
    guided: bool = False,
    preview: PreviewKind | None = None,
    pictures: Sequence[tuple[int, int]] = (),
    references: Sequence[tuple[int, int]] = (),
    whole: tuple[int, int] | None = None,
    adapters: AdapterBytes = NO_ADAPTERS,
) -> Iterator[Plan]:
    """Every plan for one picture, from the fastest to the smallest; the options are those of `choose`."""
    kinds: tuple[tuple[Level, bool], ...] = (("default", False), ("drop", False), ("drop", True), ("stream", True))
    for level, recompute in kinds:
        plan = _predicted(checkpoint, width, height, device, item, level, recompute, references, adapters)
        phases = dict(plan.phases)
        if guided:
            phases |= _guided(checkpoint, phases, width, height, item)
        if preview == "to be fitted":
            phases["load"] = max(phases["load"], plan.resident_bytes + _fitting_preview(checkpoint, device, item))
        if preview == "tiny":
            between = plan.resident_bytes + _appended(checkpoint.transformer, references, item)  # two steps
            shown = previewing(*(whole or (width, height)), device, item)
            phases["denoise"] = max(phases["denoise"], between + shown)
        if pictures:
            encoded = [
                encoding_image(checkpoint.vae, *size, device, item, plan.strip_values, recompute=recompute)
                for size in pictures
            ]
            phases["encode image"] = plan.resident_bytes + max(encoded)
        if whole:
            beside = _WHOLE_MAPS * _tokens(*whole) * checkpoint.transformer.in_channels * 4
            phases = {phase: size + beside for phase, size in phases.items()}
        yield replace(plan, phases=phases)


def _guided(checkpoint: Checkpoint, phases: Mapping[str, int], width: int, height: int, item: int) -> dict[str, int]:
    """The phases with a second prompt, which is encoded beside what the first became, and a second pass in every step.

    The passes follow each other; of the first its velocity stays, and both are there when they are taken apart.
    """
    config = checkpoint.transformer
    first = checkpoint.max_sequence_length * (config.joint_attention_dim + config.dim) * item
    velocities = 3 * _tokens(width, height) * config.in_channels * 4
    return {"encode": phases["encode"] + first, "denoise": phases["denoise"] + velocities}


def _predicted(
    checkpoint: Checkpoint,
    width: int,
    height: int,
    device: str,
    item: int,
    level: Level,
    recompute: bool,
    references: Sequence[tuple[int, int]],
    adapters: AdapterBytes,
) -> Plan:
    config = checkpoint.transformer
    tensors = config.tensors()
    blocks = tensor_bytes({name: spec for name, spec in tensors.items() if "transformer_blocks" in name})
    double = max(tensor_bytes(config.double_block_tensors(index)) for index in range(config.num_layers))
    single = max(tensor_bytes(config.single_block_tensors(index)) for index in range(config.num_single_layers))
    edges = _bytes_of(tensors, "x_embedder") + _bytes_of(tensors, "proj_out")
    blocks, edges = blocks + adapters.blocks, edges + adapters.edges
    double, single = double + adapters.double, single + adapters.single
    resident = edges + (0 if level == "stream" else blocks)
    kept = checkpoint.max_sequence_length * (config.joint_attention_dim + CACHED_CONTEXTS * config.dim) * item
    held = (double, single) if level == "stream" else (blocks, blocks)  # weights while a block of either kind runs
    strip_values = min(STRIP_VALUES[device], SMALL_STRIP_VALUES if recompute else STRIP_VALUES[device])
    looked_at = sum(_tokens(*size) for size in references)
    tokens = _tokens(width, height) + looked_at
    decoded = decoding(checkpoint.decoder, width, height, device, item, strip_values, recompute=recompute)
    return Plan(
        level=level,
        strip_values=strip_values,
        recompute=recompute,
        resident_bytes=resident + kept,
        phases={
            "encode": resident + _encoding(checkpoint, device, item),
            "load": kept + max(edges + max(held), resident + _modulating(config) + adapters.before),
            "denoise": kept
            + edges
            + _appended(config, references, item)
            + _denoising(checkpoint, tokens, device, item, *held)
            + _adapting(config, checkpoint.max_sequence_length + tokens, device, item, adapters),
            "decode": kept + (resident if level == "default" else 0) + decoded,
        },
    )


def _appended(config: TransformerConfig, references: Sequence[tuple[int, int]], item: int) -> int:
    """What pictures that are looked at take: their tokens, embedded and as they were encoded."""
    return sum(_tokens(*size) for size in references) * (config.dim * item + 2 * config.in_channels * 4)


def _encoding(checkpoint: Checkpoint, device: str, item: int) -> int:
    """A layer's weights, the widest activations, the hidden states that are kept; on a GPU the next layer's weights.

    A CPU computes a layer block by block of its weights, so it is done before the next is read.
    """
    encoder, text = checkpoint.text_encoder, checkpoint.max_sequence_length
    layer = tensor_bytes(encoder.layer_tensors())
    ahead = _expanded_block(encoder.intermediate_size, encoder.hidden_size) if device == "cpu" else layer
    activations = text * item * (6 * encoder.hidden_size + 3 * encoder.intermediate_size)
    embeddings = text * item * checkpoint.transformer.joint_attention_dim
    return layer + ahead + activations + embeddings


def _modulating(config: TransformerConfig) -> int:
    """The largest of the weights that make modulations, which are used one by one, and a block of it in float32.

    That is before the transformer is loaded or, when the size or the number of steps changes, beside it.
    """
    return _bytes_of(config.tensors(), "double_stream_modulation_img.linear") + _expanded_block(
        config.dim, 6 * config.dim
    )


def _bytes_of(tensors: Mapping[str, TensorSpec], layer: str) -> int:
    return tensor_bytes({name: spec for name, spec in tensors.items() if name.startswith(f"{layer}.")})


def _tokens(width: int, height: int) -> int:
    return (width // 16) * (height // 16)


def _denoising(checkpoint: Checkpoint, image_tokens: int, device: str, item: int, double: int, single: int) -> int:
    """The wider of the two kinds of block, with the weights that are held while it runs.

    Counted in widths of the stream, r being the MLP's ratio. A single-stream block has the fused projection (3 + 2r),
    the gated MLP (r), both joined (1 + r), and ten more: the stream before and after, q, k, v around their rotation.
    A double-stream block's MLP follows its attention: projection and product (3r), the streams and what is left (8).
    """
    config = checkpoint.transformer
    tokens = checkpoint.max_sequence_length + image_tokens
    stream = tokens * config.dim * item
    if device == "cpu":
        r = config.mlp_ratio
        return max(
            double + _shares_moment(config, tokens, stream, projected=3, widths=9),
            single + _shares_moment(config, tokens, stream, projected=3 + 2 * r, widths=6 + 3 * r),
        )
    return int(max(double + stream * (8 + 3 * config.mlp_ratio), single + stream * (14 + 4 * config.mlp_ratio)))


def _adapting(config: TransformerConfig, tokens: int, device: str, item: int, adapters: AdapterBytes) -> int:
    """What deltas need in the widest moment, that of a single-stream block's first projection.

    What is added, and the sum, beside what they are added to; a Kronecker product also has its input and what the first
    factor makes of it, turned around, of which a CPU's matrix products take copies.
    """
    if not adapters.blocks:
        return 0
    widths = 3 + 2 * config.mlp_ratio
    shares, workers = 1, 1
    if adapters.kronecker:
        widths *= 5 if device == "cpu" else 3
    if device == "cpu":
        shares = share_count(config.dim, config.mlp_dim, config.num_attention_heads, config.widest_group)
        workers = min(shares, blas.threads())
    return int(tokens * config.dim * item * widths * workers / shares)


def _shares_moment(config: TransformerConfig, tokens: int, stream: int, projected: float, widths: float) -> int:
    """What a block needs on a CPU beside its weights, see `cores`; widths count the stream's, as above.

    The stream before and after its norm, and once more where it is not cut, because then nothing is computed before a
    block's result is asked for; in every thread the sums before and after a share is added and what the share adds (3),
    the share's part of all that is computed from the input (`widths`), and scratch: pieces of packed weights, and an
    expanded block of the first projection (`projected`) or scores. Of a small share the two are not there at once, and
    scores come when neither is.
    """
    shares = share_count(config.dim, config.mlp_dim, config.num_attention_heads, config.widest_group)
    workers = min(shares, blas.threads())
    expanded = _expanded_block(config.dim, int(projected * config.dim) // shares)
    computed = stream * widths / shares
    if shares > 1:
        return int(2 * stream + workers * (3 * stream + max(computed, 1.5 * expanded)))
    scores = min(SCORES_LIMIT_BYTES, config.num_attention_heads * tokens**2 * 4)
    return int(6 * stream + computed + expanded / 2 + max(expanded, scores))


def _expanded_block(columns: int, rows: int) -> int:
    """Float32 scratch of a packed linear on a CPU."""
    return min(BLOCK_BYTES, rows * columns * 4)


def _fitting_preview(checkpoint: Checkpoint, device: str, item: int) -> int:
    """All weights of the VAE's encoder, which are held for some pictures, and what it makes of one of them."""
    config = checkpoint.vae
    weights = sum(math.prod(spec.shape) for spec in config.encoder_tensors().values())
    side, strip_values = PREVIEW_SIDE_PX, STRIP_VALUES[device]
    return weights * item + encoding_image(config, side, side, device, item, strip_values)
