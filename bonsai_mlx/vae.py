"""AutoencoderKLFlux2: latents to pixels in row strips, and pixels to latents.

Reference: `diffusers.AutoencoderKLFlux2`, whose parameter names these are. A feature map is a list of strips [1, rows,
width, channels] that lie under each other. A convolution borrows one row from each neighbour, and GroupNorm uses the
statistics of the whole image, so strips give the picture that one piece gives: no seams and no shift of colour, which
tiles with statistics of their own do. What strips save is memory: a layer's input is dropped as its output grows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from . import device
from .activations import silu
from .attention import attend
from .checkpoint import VAE, Checkpoint
from .layers import Convolution, Linear
from .layout import VaeConfig
from .plan import STRIP_VALUES

Strips = list[mx.array]
Image8 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [height, width, 3]

GROUP_NORM_EPS = 1e-6


def decode(
    checkpoint: Checkpoint, latents: mx.array, dtype: mx.Dtype, *, strip_values: int | None = None
) -> Generator[tuple[int, int], None, Image8]:
    """Packed latents [1, in_channels, height/16, width/16] -> pixels [height, width, 3], uint8.

    A generator, so that it can be watched and stopped: yields (layers done, layers in all), returns the pixels. The
    weights are loaded for this call only. `strip_values` bounds a strip at every resolution; None suits the device.
    """
    tensors = checkpoint.load(VAE)
    decoder = Decoder(checkpoint.vae)
    _load(decoder, tensors, "decoder.", dtype)
    post_quant_conv = _conv_weights(tensors, "post_quant_conv", dtype)
    limit = strip_values or STRIP_VALUES[device.backend()]
    z = unpack_latents(latents.astype(mx.float32), *batch_norm(tensors, checkpoint.vae)).astype(dtype)
    z = mx.conv2d(z, post_quant_conv[0]) + post_quant_conv[1]
    return (yield from decoder(_cut([z], limit), limit))


def encode(checkpoint: Checkpoint, pixels: Image8, dtype: mx.Dtype) -> mx.array:
    """Pixels [height, width, 3], sides multiples of 16 -> packed latents [1, in_channels, height/16, width/16].

    The mode of the posterior, normalised as the transformer expects it; float32.
    """
    tensors = checkpoint.load(VAE)
    encoder = Encoder(checkpoint.vae)
    _load(encoder, tensors, "encoder.", dtype)
    quant_conv = _conv_weights(tensors, "quant_conv", dtype)
    x = mx.array(pixels)[None].astype(dtype) / 127.5 - 1
    moments = mx.conv2d(encoder(x), quant_conv[0]) + quant_conv[1]
    mean, std = batch_norm(tensors, checkpoint.vae)
    packed = pack_latents(mx.split(moments, 2, axis=-1)[0].astype(mx.float32))
    packed = (packed - mean) / std
    mx.eval(packed)
    return packed


def batch_norm(tensors: dict[str, mx.array], config: VaeConfig) -> tuple[mx.array, mx.array]:
    """Mean and standard deviation of the packed latents' channels, float32 [1, channels, 1, 1]."""
    mean = tensors["bn.running_mean"].astype(mx.float32)
    variance = tensors["bn.running_var"].astype(mx.float32)
    return mean.reshape(1, -1, 1, 1), mx.sqrt(variance + config.batch_norm_eps).reshape(1, -1, 1, 1)


def unpack_latents(packed: mx.array, mean: mx.array, std: mx.array) -> mx.array:
    """Packed latents [1, 4c, h, w] -> denormalised latents [1, 2h, 2w, c]; channels are (c, row, column)."""
    batch, channels, height, width = packed.shape
    x = (packed * std + mean).reshape(batch, channels // 4, 2, 2, height, width)
    return x.transpose(0, 4, 2, 5, 3, 1).reshape(batch, 2 * height, 2 * width, channels // 4)


def pack_latents(latents: mx.array) -> mx.array:
    """Latents [1, 2h, 2w, c] -> packed [1, 4c, h, w], not normalised."""
    batch, height, width, channels = latents.shape
    x = latents.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 5, 2, 4, 1, 3).reshape(batch, 4 * channels, height // 2, width // 2)


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.block_out_channels[::-1]
        self.groups = config.norm_num_groups
        self.conv_in = Convolution(config.latent_channels, channels[0], 3)
        self.mid_block = MidBlock(channels[0], self.groups)
        inputs = (channels[0], *channels[:-1])
        self.up_blocks = [
            UpBlock(before, after, config.layers_per_block + 1, self.groups, upsample=index < len(channels) - 1)
            for index, (before, after) in enumerate(zip(inputs, channels, strict=True))
        ]
        self.conv_norm_out = nn.GroupNorm(self.groups, channels[-1], eps=GROUP_NORM_EPS)
        self.conv_out = Convolution(channels[-1], config.out_channels, 3)

    def __call__(self, x: Strips, strip_values: int) -> Generator[tuple[int, int], None, Image8]:
        """Decode once: weights are read from disk when a layer is reached and dropped when it is done."""
        total = 2 + sum(len(block.resnets) + len(block.upsamplers) for block in self.up_blocks)
        x = _conv3x3(x, self.pop("conv_in"))
        x = self.pop("mid_block")(x, strip_values)
        done = 1
        yield done, total
        blocks = self.pop("up_blocks")
        while blocks:
            block = blocks.pop(0)
            while block.resnets:
                x = block.resnets.pop(0)(x)
                done += 1
                yield done, total
            for upsampler in block.upsamplers:
                x = _conv3x3(_cut(_upsampled(x), strip_values), upsampler.conv)
                done += 1
                yield done, total
        pixels = [_to_uint8(strip) for strip in _conv3x3(x, self.conv_out, _Normalise(x, self.conv_norm_out))]
        yield total, total
        return np.concatenate(pixels)


class Encoder(nn.Module):
    """Pixels to latent moments, in one piece: it is used on small pictures."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.block_out_channels
        groups = config.norm_num_groups
        self.conv_in = Convolution(config.in_channels, channels[0], 3)
        inputs = (channels[0], *channels[:-1])
        self.down_blocks = [
            DownBlock(before, after, config.layers_per_block, groups, downsample=index < len(channels) - 1)
            for index, (before, after) in enumerate(zip(inputs, channels, strict=True))
        ]
        self.mid_block = MidBlock(channels[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=GROUP_NORM_EPS)
        self.conv_out = Convolution(channels[-1], 2 * config.latent_channels, 3)

    def __call__(self, image: mx.array) -> mx.array:
        x = _conv3x3([image], self.conv_in)
        for block in self.down_blocks:
            for layer in block.resnets:
                x = layer(x)
            for downsampler in block.downsamplers:
                # The reference pads on the right and below only.
                padded = mx.pad(x[0], [(0, 0), (0, 1), (0, 1), (0, 0)])
                x = [mx.conv2d(padded, downsampler.conv.weight, stride=2) + downsampler.conv.bias]
        x = self.mid_block(x, x[0].size)
        return _conv3x3(x, self.conv_out, _Normalise(x, self.conv_norm_out))[0]


class ResnetBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution of x where the width changes."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, eps=GROUP_NORM_EPS)
        self.conv1 = Convolution(before, after, 3)
        self.norm2 = nn.GroupNorm(groups, after, eps=GROUP_NORM_EPS)
        self.conv2 = Convolution(after, after, 3)
        if before != after:
            self.conv_shortcut = Convolution(before, after, 1)

    def __call__(self, x: Strips) -> Strips:
        """Uses up `x`: its strips are dropped as the result grows, and kept narrow where the result is narrower."""
        hidden, kept = [], []
        for strip in _iterate_conv3x3(list(x), self.conv1, _Normalise(x, self.norm1)):
            hidden.append(strip)
            kept.append(self._shortcut(x.pop(0)))
            mx.eval(kept[-1])
        out = []
        for strip in _iterate_conv3x3(hidden, self.conv2, _Normalise(hidden, self.norm2)):
            out.append(strip + kept.pop(0))
            mx.eval(out[-1])
        return out

    def _shortcut(self, strip: mx.array) -> mx.array:
        if "conv_shortcut" in self:
            return mx.conv2d(strip, self.conv_shortcut.weight) + self.conv_shortcut.bias
        return strip


class MidBlock(nn.Module):
    """Two residual blocks with attention over all positions between them, at the latents' own resolution."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.resnets = [ResnetBlock(width, width, groups), ResnetBlock(width, width, groups)]
        self.attentions = [SpatialAttention(width, groups)]

    def __call__(self, x: Strips, strip_values: int) -> Strips:
        x = self.resnets[0](x)
        x = _cut([self.attentions[0](mx.concatenate(x, axis=1))], strip_values)
        return self.resnets[1](x)


class SpatialAttention(nn.Module):
    """Self-attention with one head over the positions of a feature map [1, height, width, channels]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=GROUP_NORM_EPS)
        for name in ("to_q", "to_k", "to_v"):
            self[name] = Linear(width, width)
        self.to_out = [Linear(width, width)]

    def __call__(self, x: mx.array) -> mx.array:
        batch, height, width, channels = x.shape
        hidden = _Normalise([x], self.group_norm).affine(x).reshape(batch, 1, height * width, channels)
        out = attend(self.to_q(hidden), self.to_k(hidden), self.to_v(hidden), channels**-0.5)
        x = x + self.to_out[0](out).reshape(x.shape)
        mx.eval(x)
        return x


class UpBlock(nn.Module):
    """Residual blocks, then twice the resolution."""

    def __init__(self, before: int, after: int, layers: int, groups: int, *, upsample: bool) -> None:
        super().__init__()
        self.resnets = [ResnetBlock(before if index == 0 else after, after, groups) for index in range(layers)]
        self.upsamplers = [_Resample(after)] if upsample else []


class DownBlock(nn.Module):
    """Residual blocks, then half the resolution."""

    def __init__(self, before: int, after: int, layers: int, groups: int, *, downsample: bool) -> None:
        super().__init__()
        self.resnets = [ResnetBlock(before if index == 0 else after, after, groups) for index in range(layers)]
        self.downsamplers = [_Resample(after)] if downsample else []


class _Resample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Convolution(width, width, 3)


class _Normalise:
    """silu(GroupNorm(x)) for any strip of a feature map, with the statistics of all of it."""

    def __init__(self, x: Strips, norm: nn.GroupNorm) -> None:
        groups = norm.num_groups
        rows = mx.array([strip.shape[1] for strip in x], dtype=mx.float32)[:, None]
        weight = rows / rows.sum()
        moments = []
        for strip in x:
            grouped = strip.astype(mx.float32).reshape(-1, groups, strip.shape[-1] // groups)
            mean = grouped.mean(axis=(0, 2))
            moments.append((mean, mx.square(grouped - mean[None, :, None]).mean(axis=(0, 2))))
            mx.eval(moments[-1])
        means, variances = (mx.stack(list(values)) for values in zip(*moments, strict=True))
        mean = (weight * means).sum(axis=0)
        variance = (weight * (variances + mx.square(means - mean))).sum(axis=0)
        each = x[0].shape[-1] // groups
        inverse = mx.repeat(mx.rsqrt(variance + norm.eps), each)
        self.scale = norm.weight.astype(mx.float32) * inverse
        self.shift = norm.bias.astype(mx.float32) - mx.repeat(mean, each) * self.scale
        mx.eval(self.scale, self.shift)

    def affine(self, strip: mx.array) -> mx.array:
        return _affine(strip, self.scale, self.shift)

    def __call__(self, strip: mx.array) -> mx.array:
        return _affine_silu(strip, self.scale, self.shift)


@device.compiled
def _affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return (x.astype(mx.float32) * scale + shift).astype(x.dtype)


@device.compiled
def _affine_silu(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return silu(x.astype(mx.float32) * scale + shift).astype(x.dtype)


def _conv3x3(x: Strips, conv: Convolution, before: Callable[[mx.array], mx.array] | None = None) -> Strips:
    """A padded 3x3 convolution of before(x). Uses up `x`."""
    return list(_iterate_conv3x3(x, conv, before))


def _iterate_conv3x3(x: Strips, conv: Convolution, before: Callable[[mx.array], mx.array] | None) -> Iterator[mx.array]:
    """The strips of a convolution one by one, from a list that is emptied on the way."""
    above: mx.array | None = None
    while x:
        strip = x.pop(0)
        parts = [strip] if above is None else [above, strip]
        if x:
            parts.append(x[0][:, :1])
        window = mx.concatenate(parts, axis=1) if len(parts) > 1 else strip
        window = window if before is None else before(window)
        first = 0 if above is None else 1
        y = mx.conv2d(window, conv.weight, padding=1)[:, first : first + strip.shape[1]] + conv.bias
        above = mx.contiguous(strip[:, -1:])  # a copy: a view would keep the whole strip alive
        mx.eval(y, above)
        del strip, parts, window
        yield y


def _upsampled(x: Strips) -> Strips:
    """Nearest neighbour, twice the rows and columns. Uses up `x`."""
    out = []
    while x:
        out.append(mx.repeat(mx.repeat(x.pop(0), 2, axis=1), 2, axis=2))
        mx.eval(out[-1])
    return out


def _cut(x: Strips, strip_values: int) -> Strips:
    """The same map in strips of at most `strip_values` values (and at least one row). Uses up `x`."""
    out = []
    while x:
        strip = x.pop(0)
        rows = max(1, strip_values // (strip.shape[2] * strip.shape[3]))
        if strip.shape[1] <= rows:
            out.append(strip)
            continue
        pieces = [mx.contiguous(strip[:, start : start + rows]) for start in range(0, strip.shape[1], rows)]
        mx.eval(pieces)
        out += pieces
    return out


def _to_uint8(strip: mx.array) -> Image8:
    pixels = mx.clip(strip[0].astype(mx.float32) / 2 + 0.5, 0, 1) * 255
    return np.array(mx.round(pixels).astype(mx.uint8))


def _load(module: nn.Module, tensors: dict[str, mx.array], prefix: str, dtype: mx.Dtype) -> None:
    """Move the tensors under `prefix` into `module` (strictly), still lazy, in MLX's channels-last order."""
    weights = []
    for name in [name for name in tensors if name.startswith(prefix)]:
        weights.append((name.removeprefix(prefix), _channels_last(tensors.pop(name)).astype(dtype)))
    module.load_weights(weights, strict=True)


def _conv_weights(tensors: dict[str, mx.array], name: str, dtype: mx.Dtype) -> tuple[mx.array, mx.array]:
    return _channels_last(tensors[f"{name}.weight"]).astype(dtype), tensors[f"{name}.bias"].astype(dtype)


def _channels_last(tensor: mx.array) -> mx.array:
    """Convolution weights [out, in, rows, columns] -> [out, rows, columns, in]; anything else as it is."""
    return tensor.transpose(0, 2, 3, 1) if tensor.ndim == 4 else tensor
