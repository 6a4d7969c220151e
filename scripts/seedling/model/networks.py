"""The networks that are trained, built from the options, and how they draw.

Transformer and VAE are diffusers' own classes, so the parameter names are the published layout's. Diffusers is imported
when a network is built: reading options or results needs none of it. What differs from the stock classes is speed on a
CPU alone (`quicken`): the same values by other means.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable
from functools import cache
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from bonsai_mlx.flux2 import scheduler

from ..options import Options
from .text import TextEncoder

_HEAD_CHANNELS = 64  # of the seedling's transformer
# Norms with float32 weights meet bfloat16 under autocast: as meant, and no fused kernel is missed where it matters.
warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_vae(options: Options) -> nn.Module:
    """AutoencoderKLFlux2 with fresh weights."""
    from diffusers import AutoencoderKLFlux2

    return cast(nn.Module, AutoencoderKLFlux2(**_arguments(options.vae_config())))


def build_transformer(options: Options, **changes: int) -> nn.Module:
    """Flux2Transformer2DModel with fresh weights; modulation and output start at zero, so it starts as the identity.

    `changes` are those of its configuration.
    """
    from diffusers import Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(**_arguments(options.transformer_config() | changes))
    for module in (
        transformer.double_stream_modulation_img.linear,
        transformer.double_stream_modulation_txt.linear,
        transformer.single_stream_modulation.linear,
        transformer.norm_out.linear,
        transformer.proj_out,
    ):
        nn.init.zeros_(module.weight)
    return cast(nn.Module, transformer)


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in config.items() if key != "_class_name"}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


class Generator(nn.Module):
    """Transformer and text encoder together: noisy latents and a prompt to a velocity."""

    def __init__(self, options: Options, vocabulary: int) -> None:
        super().__init__()
        self.transformer = build_transformer(options)
        self.text = TextEncoder(options.text_config(vocabulary), options.text_tokens)
        grid, tokens = torch.arange(options.grid), torch.arange(options.text_tokens)
        zero = torch.zeros(1, dtype=torch.long)
        halves = 2.0 * grid[: options.grid // 2] + 0.5  # tokens twice as wide, in the same coordinates
        self.register_buffer("image_ids", torch.cartesian_prod(zero, grid, grid, zero), persistent=False)
        half_ids = torch.cartesian_prod(zero.float(), halves, halves, zero.float())
        self.register_buffer("half_ids", half_ids, persistent=False)
        self.register_buffer("text_ids", torch.cartesian_prod(zero, zero, zero, tokens), persistent=False)

    def forward(self, latents: Tensor, sigmas: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Latents [batch, tokens, channels] at noise levels [batch] -> velocity of the same shape, float32."""
        return self.velocity(latents, sigmas, self.text(ids, lengths))

    def velocity(self, latents: Tensor, sigmas: Tensor, context: Tensor) -> Tensor:
        """The same from prompt embeddings [batch, text tokens, channels]; tokens of the whole size or of half of it."""
        out = self.transformer(
            hidden_states=latents,
            encoder_hidden_states=context,
            timestep=sigmas,  # the transformer multiplies by 1000 itself
            img_ids=self.image_ids if latents.shape[1] == len(self.image_ids) else self.half_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )
        return cast(Tensor, out[0]).float()


_calls: set[Hashable] = set()


def compile_blocks(generator: Generator) -> None:
    """Compile each kind of block once a batch size; all blocks of a kind, and all generators, share the code."""
    allow_recompiling()
    blocks = [*generator.transformer.transformer_blocks, *generator.transformer.single_transformer_blocks]
    for block in [*blocks, *generator.text.layers]:
        block.compile(dynamic=False)
    _calls.clear()


def is_first(call: Hashable) -> bool:
    """Whether this kind of call is the first since blocks were compiled, so that it compiles them for its shapes."""
    first = call not in _calls
    _calls.add(call)
    return first


def allow_recompiling() -> None:
    """Let one code be compiled often enough: trained or not, by batch size, by number of threads."""
    torch._dynamo.config.recompile_limit = 64


def compute_dtype() -> torch.dtype:
    """What large sums are computed in: bfloat16, or float32 where that is many times as fast."""
    emulated = device().type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.float32 if emulated else torch.bfloat16


def autocast() -> torch.autocast:
    """Compute in `compute_dtype`; parameters stay float32."""
    return torch.autocast(device().type, torch.bfloat16, enabled=compute_dtype() is torch.bfloat16)


def convolving() -> torch.autocast:
    """The same for a network of convolutions, which on a CPU stays in float32: with channels last that takes 0.11 s of
    a core for a crop of 128 pixels where bfloat16 takes 0.17 to 0.20 (AVX-512 without AMX)."""
    return torch.autocast(device().type, torch.bfloat16, enabled=device().type == "cuda")


@torch.no_grad()
def sample(generator: Generator, noise: Tensor, ids: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Draw latents from noise [batch, tokens, channels] in `steps` Euler steps, as the engine does; in float32."""
    context = generator.text(ids, lengths)
    x = noise
    for sigma, following in pairwise(scheduler.sigmas(noise.shape[1], steps)):
        x = x + (following - sigma) * generator.velocity(x, x.new_full((len(x),), sigma), context)
    return x


def patchify(latents: Tensor) -> Tensor:
    """Latents [batch, c, 2h, 2w] -> packed [batch, 4c, h, w], channels in the order (c, row, column)."""
    batch, channels, height, width = latents.shape
    x = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)


def unpatchify(packed: Tensor) -> Tensor:
    """The inverse of `patchify`."""
    batch, channels, height, width = packed.shape
    x = packed.reshape(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)


def to_tokens(packed: Tensor) -> Tensor:
    """Packed latents [batch, channels, h, w] -> [batch, h * w, channels]."""
    return packed.flatten(2).transpose(1, 2)


def from_tokens(tokens: Tensor) -> Tensor:
    """The inverse of `to_tokens`, for a square image."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def normalisation(vae: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the packed latents' channels, [1, channels, 1, 1]."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    return mean, torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)


@torch.no_grad()
def decode(vae: Any, tokens: Tensor) -> Tensor:
    """Normalised latents [batch, tokens, channels] -> pixels [batch, height, width, 3], uint8."""
    mean, std = normalisation(vae)
    pixels = vae.decode(unpatchify(from_tokens(tokens) * std + mean)).sample.float()
    return to_uint8(pixels)


def to_uint8(pixels: Tensor) -> Tensor:
    """[batch, 3, height, width] in -1..1 -> [batch, height, width, 3], clipped and rounded."""
    return ((pixels.clamp(-1, 1).permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """[batch, height, width, 3] uint8 -> [batch, 3, height, width] in -1..1."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


@cache
def quicken() -> None:
    """On a CPU, replace three functions inside diffusers' transformer by faster ones that give the same values.

    Attention as plain products: the backward pass of the CPU's fused attention takes a third of a step. Rotation of
    channel pairs as a product with a constant matrix: strided shuffles are slow. The single-stream blocks' fused
    products in parts: to join the gradients of the parts takes as long as the products. A GPU keeps what diffusers has,
    and so do other models in the same process: those of other widths, and those with adapters.
    """
    if device().type != "cpu":
        return
    from diffusers.models.transformers import transformer_flux2

    module = cast(Any, transformer_flux2)
    module.dispatch_attention_fn = _attention_without_mask(module.dispatch_attention_fn)
    module.apply_rotary_emb = _rotation_by(_pair_swap(_HEAD_CHANNELS), module.apply_rotary_emb)
    processor = module.Flux2ParallelSelfAttnProcessor
    processor.__call__ = _in_parts(module.apply_rotary_emb, processor.__call__)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without a mask over [batch, tokens, heads, channels]."""
    batch, tokens, heads, channels = query.shape
    q, k, v = (x.transpose(1, 2).reshape(batch * heads, tokens, channels) for x in (query, key, value))
    weights = torch.softmax(torch.bmm(q * channels**-0.5, k.mT).float(), -1).to(v.dtype)
    return torch.bmm(weights, v).view(batch, heads, tokens, channels).transpose(1, 2)


def _attention_without_mask(usual: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def attend(query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None = None, **options: Any) -> Tensor:
        if attn_mask is not None:
            return usual(query, key, value, attn_mask=attn_mask, **options)
        return _plain_attention(query, key, value)

    return attend


def _in_parts(rotate: Callable[..., Tensor], usual: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A single-stream block's attention and MLP, each part by a product of its own with a part of the fused weight."""

    def attend(
        self: Any, attn: Any, hidden_states: Tensor, mask: Tensor | None = None, image_rotary_emb: Any = None
    ) -> Tensor:
        if mask is not None or type(attn.to_qkv_mlp_proj) is not nn.Linear:  # PEFT wraps what an adapter is added to
            return usual(self, attn, hidden_states, mask, image_rotary_emb)
        width, inner = attn.inner_dim, attn.mlp_hidden_dim
        parts = attn.to_qkv_mlp_proj.weight.split([width, width, width, inner, inner])
        query, key, value, gate, up = (linear(hidden_states, part) for part in parts)
        query, key, value = (x.unflatten(-1, (-1, attn.head_dim)) for x in (query, key, value))
        query, key = (rotate(x, image_rotary_emb) for x in (attn.norm_q(query), attn.norm_k(key)))
        attended, gated = _plain_attention(query, key, value).flatten(2), silu(gate) * up
        outer = attn.to_out.weight.split([width, inner], dim=1)
        return linear(attended, outer[0]) + linear(gated, outer[1])

    return attend


def _pair_swap(channels: int) -> Tensor:
    """The matrix that turns the pair (a, b) into (-b, a)."""
    matrix = torch.zeros(channels, channels)
    even = torch.arange(0, channels, 2)
    matrix[even + 1, even], matrix[even, even + 1] = -1.0, 1.0
    return matrix


def _rotation_by(swap: Tensor, usual: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rotate(x: Tensor, frequencies: tuple[Tensor, Tensor], **options: Any) -> Tensor:
        if x.shape[-1] != len(swap):
            return usual(x, frequencies, **options)
        cosines, sines = (part[None, :, None, :] for part in frequencies)
        with torch.autocast("cpu", enabled=False):
            swapped = torch.matmul(x, swap.to(x.dtype))
        return (x.float() * cosines + swapped.float() * sines).to(x.dtype)

    return rotate
