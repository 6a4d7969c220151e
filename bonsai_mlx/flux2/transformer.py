"""The FLUX.2 [klein] diffusion transformer over packed weights.

Reference: `diffusers.Flux2Transformer2DModel`, whose module and parameter names these are. One call is one evaluation
of the velocity at one timestep:

    latents [1, image, channels] --x_embedder--> image stream  \\  double-stream blocks: weights of their own,
    projected context [1, text, dim]         --> text stream   /  attention over both
    then text and image tokens together through single-stream blocks, norm_out, proj_out --> velocity

What is easy to get wrong: text tokens come BEFORE image tokens; `norm_out` gives (scale, shift), every other modulation
gives (shift, scale, gate); RoPE rotates neighbouring channel pairs, not halves; there is no text mask, so all padded
positions take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ..adapters.active import ActiveAdapters
from ..nn.composed import Adapted
from ..nn.layers import read, take
from ..nn.linear import Linear, StoredLinear
from ..weights.layout import TRANSFORMER
from .blocks import AdaNorm, Rope, make_linear
from .checkpoint import Checkpoint
from .loading import Blocks, ResidentBlocks, StoredBlocks
from .parts.config import TransformerConfig

Grid = tuple[int, int, int]  # (t, rows, columns) of tokens
# Linears whose outputs are computed before the first step, with weights that are then dropped.
CONTEXT = ("context_embedder",)
MODULATION = (
    "time_guidance_embed.timestep_embedder.linear_1",
    "time_guidance_embed.timestep_embedder.linear_2",
    "double_stream_modulation_img.linear",
    "double_stream_modulation_txt.linear",
    "single_stream_modulation.linear",
    "norm_out.linear",
)
EDGES = ("x_embedder", "proj_out")
Positions = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class StepModulation:
    """Everything a denoising step takes from its timestep."""

    image: tuple[AdaNorm, AdaNorm]  # before attention, before the MLP
    text: tuple[AdaNorm, AdaNorm]
    single: AdaNorm
    out: AdaNorm  # its gate is unused


class Transformer:
    """The resident part: packed blocks, x_embedder and proj_out.

    What depends on the timestep or the prompt alone is computed beforehand by `modulation_schedule` and
    `project_context`, whose weights (341 MB and 47 MB in the 4B model) are dropped again.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype, *, streamed: bool = False) -> None:
        """Load the weights, or with `streamed` only the small ones: blocks are then read anew in every step."""
        self.config = config = checkpoint.transformer
        self.dtype, self.streamed = dtype, streamed
        self._checkpoint = checkpoint
        self._adapters: ActiveAdapters | None = None
        self.x_embedder: Linear
        self.proj_out: Linear
        tensors = checkpoint.load(TRANSFORMER)
        self.x_embedder = stored_linear(config, tensors, "x_embedder", config.in_channels)
        self.proj_out = stored_linear(config, tensors, "proj_out", config.dim)
        del tensors
        self._resident = None if streamed else ResidentBlocks(self.stored_blocks(), config)

    def adapt(self, adapters: ActiveAdapters) -> None:
        """Add what these adapters add from now on, and nothing else; other strengths of the same ones cost nothing."""
        if self._adapters is not None and adapters.digests == self._adapters.digests:
            self._adapters.take_strengths(adapters)
            return
        self._adapters = None  # should reading fail, the next run begins anew
        for name in EDGES:
            linear = getattr(self, name)
            base = linear.linear if isinstance(linear, Adapted) else linear
            deltas = adapters.deltas(name)
            setattr(self, name, Adapted(base, deltas) if deltas else base)
        if self._resident:
            self._resident.adapt(adapters)
        self._adapters = adapters

    def let_go_of_others(self, adapters: ActiveAdapters) -> None:
        if self._adapters is None or self._adapters.digests != adapters.digests:
            self.adapt(ActiveAdapters(self.dtype))

    def embed(self, latents: mx.array) -> mx.array:
        """Latents [1, tokens, channels] as the image stream has them, [1, tokens, dim]."""
        return self.x_embedder(latents.astype(self.dtype))

    def __call__(
        self,
        latents: mx.array,
        context: mx.array,
        modulation: StepModulation,
        rope: Rope,
        references: mx.array | None = None,
        marks: mx.array | None = None,
    ) -> mx.array:
        """Velocity [1, image, channels] float32 at the modulation's timestep, for latents of the same shape.

        `references` [1, tokens, dim], embedded, follow the latents in the image stream and are looked at only.
        `marks` [1, image, dim] are added to the embedded latents.
        """
        blocks = self.blocks()
        image, text = self.embed(latents), context
        if marks is not None:
            image = image + marks
        if references is not None:
            image = mx.concatenate([image, references], axis=1)
        for index in range(self.config.num_layers):  # no name for a block: a streamed one is freed before the next
            image, text = blocks.double(index)(image, text, modulation.image, modulation.text, rope)
            self._settle(image, text)
        joined = mx.concatenate([text, image], axis=1)
        del image, text
        for index in range(self.config.num_single_layers):
            joined = blocks.single(index)(joined, modulation.single, rope)
            self._settle(joined)
        image = joined[:, context.shape[1] : context.shape[1] + latents.shape[1]]
        return self.proj_out(modulation.out(image, self.config.eps)).astype(mx.float32)

    def blocks(self) -> Blocks:
        return self._resident or self.stored_blocks()

    def stored_blocks(self) -> StoredBlocks:
        return StoredBlocks(self._checkpoint, self.dtype, self._adapters)

    def _settle(self, *arrays: mx.array) -> None:
        """Compute now if the block's weights are about to be dropped; otherwise a step is one evaluation."""
        if self.streamed:
            mx.eval(*arrays)


def stored_linear(config: TransformerConfig, tensors: dict[str, mx.array], name: str, inputs: int) -> StoredLinear:
    linear = make_linear(inputs, 1, config.storage(name))
    linear.load_weights(list(take(tensors, f"{name}.").items()), strict=False)
    read(linear)  # before it is used, see `StoredBlocks`
    return linear


def rotary_embedding(config: TransformerConfig, text_tokens: int, grids: Sequence[Grid]) -> Rope:
    """Cosines and sines for `text_tokens` positions (0, 0, 0, i), then those of each grid (t, row, column, 0).

    A grid is (t, rows, columns), row by row: the picture that is drawn has t = 0, a picture that it looks at has a t of
    its own. Computed in float64, as the reference does.
    """
    text = np.zeros((text_tokens, 4))
    text[:, 3] = np.arange(text_tokens)
    positions = np.concatenate([text, *(_grid_positions(*grid) for grid in grids)])
    angles = [
        np.outer(positions[:, axis], config.rope_theta ** -(np.arange(0, width, 2) / width))
        for axis, width in enumerate(config.axes_dims_rope)
    ]
    joined = np.concatenate(angles, axis=1)
    return mx.array(np.cos(joined), dtype=mx.float32), mx.array(np.sin(joined), dtype=mx.float32)


def _grid_positions(t: int, rows: int, columns: int) -> Positions:
    positions = np.zeros((rows * columns, 4))
    positions[:, 0] = t
    positions[:, 1], positions[:, 2] = np.indices((rows, columns)).reshape(2, -1)
    return positions


def modulation_schedule(
    checkpoint: Checkpoint, timesteps: Sequence[float], dtype: mx.Dtype, adapters: ActiveAdapters | None = None
) -> list[StepModulation]:
    """The modulation of every step of a run, from weights that are read, used on a few vectors and dropped.

    `timesteps` are the sigmas times 1000. Computed in float32 whatever the activations are: it is next to no work.
    """
    tensors = checkpoint.load(TRANSFORMER)
    config = checkpoint.transformer

    def linear(name: str, x: mx.array) -> mx.array:
        y = stored_linear(config, tensors, name, x.shape[-1])(x)
        y = adapters.added(name, y, x) if adapters else y
        mx.eval(y)
        return y

    embedder = "time_guidance_embed.timestep_embedder"
    x = _sinusoids(timesteps, config.timestep_guidance_channels)
    hidden = linear(f"{embedder}.linear_1", x)
    x = linear(f"{embedder}.linear_2", hidden * mx.sigmoid(hidden))
    x = x * mx.sigmoid(x)
    image = linear("double_stream_modulation_img.linear", x)
    text = linear("double_stream_modulation_txt.linear", x)
    single = linear("single_stream_modulation.linear", x)
    scale, shift = mx.split(linear("norm_out.linear", x), 2, axis=-1)
    out = mx.concatenate([shift, scale, mx.zeros_like(scale)], axis=-1)
    steps = []
    for vectors in zip(image, text, single, out, strict=True):
        image_norms, text_norms, (single_norm,), (out_norm,) = (_ada_norms(v, config.dim, dtype) for v in vectors)
        steps.append(StepModulation(image_norms, text_norms, single_norm, out_norm))  # type: ignore[arg-type]
    mx.eval([[n.scale, n.shift, n.gate] for s in steps for n in (*s.image, *s.text, s.single, s.out)])
    return steps


def project_context(
    checkpoint: Checkpoint, embeddings: mx.array, dtype: mx.Dtype, adapters: ActiveAdapters | None = None
) -> mx.array:
    """Prompt embeddings [1, text, joint_attention_dim] -> context [1, text, dim], through a weight that is dropped."""
    tensors, config = checkpoint.load(TRANSFORMER), checkpoint.transformer
    inputs = embeddings.astype(dtype)
    context = stored_linear(config, tensors, CONTEXT[0], config.joint_attention_dim)(inputs)
    context = adapters.added(CONTEXT[0], context, inputs) if adapters else context
    mx.eval(context)
    return context


def _ada_norms(vector: mx.array, dim: int, dtype: mx.Dtype) -> tuple[AdaNorm, ...]:
    """A modulation vector [sets * 3 * dim] as its (shift, scale, gate) sets."""
    shift_scale_gate = vector.reshape(-1, 3, dim)
    return tuple(
        AdaNorm(scale=(1 + scale).astype(dtype), shift=shift.astype(dtype), gate=gate.astype(dtype))
        for shift, scale, gate in shift_scale_gate
    )


def _sinusoids(timesteps: Sequence[float], channels: int) -> mx.array:
    """Sinusoidal embedding, cosines first, float32 [steps, channels]."""
    half = channels // 2
    frequencies = np.exp(-np.log(10000.0) * np.arange(half, dtype=np.float32) / half)
    angles = np.asarray(timesteps, dtype=np.float32)[:, None] * frequencies[None]
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=-1), dtype=mx.float32)
