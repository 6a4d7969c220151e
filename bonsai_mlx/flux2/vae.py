"""AutoencoderKLFlux2: latents to pixels in row strips, and pixels to latents.

Reference: `diffusers.AutoencoderKLFlux2`, whose parameter names these are. Feature maps are cut into row strips, see
`strips`, which give the picture that one piece gives in a fraction of the memory.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..nn.attention import attend
from ..nn.layers import Convolution, LinearWithBias, read
from ..nn.limits import STRIP_VALUES
from ..runtime import device
from ..weights.layout import VAE
from .checkpoint import Checkpoint
from .config import VaeConfig
from .strips import FeatureMap, Kept, Normalise, Recomputed, Strips, convolved, cut, doubled

Image8 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [height, width, 3]

GROUP_NORM_EPS = 1e-6


def decode(
    checkpoint: Checkpoint,
    latents: mx.array,
    dtype: mx.Dtype,
    *,
    strip_values: int | None = None,
    recompute: bool = False,
) -> Generator[tuple[int, int], None, Image8]:
    """Packed latents [1, in_channels, height/16, width/16] -> pixels [height, width, 3], uint8.

    A generator, so that it can be watched and stopped: yields (layers done, layers in all), returns the pixels. The
    weights are loaded for this call only. `strip_values` bounds a strip at every resolution; None suits the device.
    With `recompute` maps between two layers are computed anew instead of kept: half the memory, more time.
    """
    tensors = checkpoint.load(VAE)
    decoder = Decoder(checkpoint.vae)
    _load(decoder, tensors, "decoder.", dtype)
    post_quant_conv = _conv_weights(tensors, "post_quant_conv", dtype)
    limit = strip_values or STRIP_VALUES[device.backend()]
    z = unpack_latents(latents.astype(mx.float32), *batch_norm(tensors, checkpoint.vae)).astype(dtype)
    z = mx.conv2d(z, post_quant_conv[0]) + post_quant_conv[1]
    return (yield from decoder(Kept(cut([z], limit)), limit, recompute=recompute))


class PixelEncoder:
    """Pixels [height, width, 3], sides multiples of 16 -> packed latents [1, in_channels, height/16, width/16].

    The mode of the posterior, normalised as the transformer expects it; float32. Reads the encoder's weights once, and
    holds them.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype) -> None:
        tensors = checkpoint.load(VAE)
        self._dtype = dtype
        self._encoder = Encoder(checkpoint.vae)
        _load(self._encoder, tensors, "encoder.", dtype)
        read(self._encoder)
        self._quant_conv = _conv_weights(tensors, "quant_conv", dtype)
        self.mean, self.std = batch_norm(tensors, checkpoint.vae)

    def __call__(self, pixels: Image8) -> mx.array:
        weight, bias = self._quant_conv
        x = mx.array(pixels)[None].astype(self._dtype) / 127.5 - 1
        moments = mx.conv2d(self._encoder(x), weight) + bias
        packed = (pack_latents(mx.split(moments, 2, axis=-1)[0].astype(mx.float32)) - self.mean) / self.std
        mx.eval(packed)
        return packed


def batch_norm(tensors: dict[str, mx.array], config: VaeConfig) -> tuple[mx.array, mx.array]:
    """Mean and standard deviation of the packed latents' channels, float32 [1, channels, 1, 1]."""
    mean = tensors["bn.running_mean"].astype(mx.float32).reshape(1, -1, 1, 1)
    variance = tensors["bn.running_var"].astype(mx.float32).reshape(1, -1, 1, 1)
    mx.eval(mean, variance)  # see `layers.read`
    return mean, mx.sqrt(variance + config.batch_norm_eps)


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

    def __call__(
        self, x: FeatureMap, strip_values: int, *, recompute: bool
    ) -> Generator[tuple[int, int], None, Image8]:
        """Decode once: weights are read from disk when a layer is reached and dropped when it is done."""
        total = 2 + sum(len(block.resnets) + len(block.upsamplers) for block in self.up_blocks)
        x = Kept(cut(convolved(x.taken(), self.pop("conv_in")), strip_values))
        middle = self.pop("mid_block").layers(strip_values, recompute=recompute)
        while middle:
            x = middle.pop(0)(x)
        done = 1
        yield done, total
        blocks = self.pop("up_blocks")
        while blocks:
            block = blocks.pop(0)
            while block.resnets:
                x = block.resnets.pop(0)(x, recompute=recompute)
                done += 1
                yield done, total
            for upsampler in block.upsamplers:
                x = Recomputed(x, partial(upsampler, strip_values=strip_values))
                x = x if recompute else Kept(x.taken())
                done += 1
                yield done, total
        norm = Normalise(x.strips(), self.conv_norm_out)
        pixels = [_to_uint8(strip) for strip in convolved(x.taken(), self.conv_out, norm)]
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
        x = Kept(convolved(iter([image]), self.conv_in))
        for block in self.down_blocks:
            for layer in block.resnets:
                x = layer(x)
            for downsampler in block.downsamplers:
                x = Kept(downsampler.halved(strip) for strip in x.taken())
        for part in self.mid_block.layers(sys.maxsize):
            x = part(x)
        norm = Normalise(x.strips(), self.conv_norm_out)
        return next(convolved(x.taken(), self.conv_out, norm))


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

    def __call__(self, x: FeatureMap, *, recompute: bool = False) -> Kept:
        """Uses up `x`: its strips are dropped as the result grows, and kept narrow where the result is narrower.

        With `recompute` what lies between the two convolutions is computed once for its statistics and once more.
        """
        norm1 = Normalise(x.strips(), self.norm1)
        if recompute:
            norm2 = Normalise(convolved(x.strips(), self.conv1, norm1), self.norm2)
        shortcuts: deque[mx.array] = deque()
        hidden = convolved(self._passed(x.taken(), shortcuts), self.conv1, norm1)
        if not recompute:
            kept = Kept(hidden)
            norm2, hidden = Normalise(kept.strips(), self.norm2), kept.taken()
        return Kept(self._added(convolved(hidden, self.conv2, norm2), shortcuts))

    def _passed(self, x: Strips, shortcuts: deque[mx.array]) -> Strips:
        """The strips of x; what is added at the end goes into `shortcuts` as they pass."""
        for strip in x:
            shortcuts.append(self._shortcut(strip))
            mx.eval(shortcuts[-1])
            yield strip
            del strip

    def _added(self, x: Strips, shortcuts: deque[mx.array]) -> Strips:
        for strip in x:
            out = strip + shortcuts.popleft()
            mx.eval(out)
            del strip
            yield out
            del out

    def _shortcut(self, strip: mx.array) -> mx.array:
        if "conv_shortcut" in self:
            read(self.conv_shortcut)
            return mx.conv2d(strip, self.conv_shortcut.weight) + self.conv_shortcut.bias
        return strip


class MidBlock(nn.Module):
    """Two residual blocks with attention over all positions between them, at the latents' own resolution."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.resnets = [ResnetBlock(width, width, groups), ResnetBlock(width, width, groups)]
        self.attentions = [SpatialAttention(width, groups)]

    def layers(self, strip_values: int, *, recompute: bool = False) -> list[Callable[[FeatureMap], Kept]]:
        """What a map goes through, in order; each uses up the map that it is given."""
        before, after = (partial(resnet, recompute=recompute) for resnet in self.resnets)
        return [before, partial(self.attentions[0].between, strip_values=strip_values), after]


class SpatialAttention(nn.Module):
    """Self-attention with one head over the positions of a feature map [1, height, width, channels]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=GROUP_NORM_EPS)
        for name in ("to_q", "to_k", "to_v"):
            self[name] = LinearWithBias(width, width)
        self.to_out = [LinearWithBias(width, width)]

    def between(self, x: FeatureMap, strip_values: int) -> Kept:
        """The same for a map in strips, which is put together for it and cut again. Uses up `x`."""
        return Kept(cut([self(mx.concatenate(list(x.taken()), axis=1))], strip_values))

    def __call__(self, x: mx.array) -> mx.array:
        read(self)
        batch, height, width, channels = x.shape
        hidden = Normalise(iter([x]), self.group_norm).affine(x).reshape(batch, 1, height * width, channels)
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

    def __call__(self, x: Strips, strip_values: int) -> Strips:
        """Twice the resolution."""
        return convolved(doubled(x, strip_values), self.conv)

    def halved(self, x: mx.array) -> mx.array:
        """Half the resolution of a whole map. The reference pads on the right and below only."""
        read(self)
        padded = mx.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
        return mx.conv2d(padded, self.conv.weight, stride=2) + self.conv.bias


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
    weight, bias = _channels_last(tensors[f"{name}.weight"]).astype(dtype), tensors[f"{name}.bias"].astype(dtype)
    mx.eval(weight, bias)  # see `layers.read`
    return weight, bias


def _channels_last(tensor: mx.array) -> mx.array:
    """Convolution weights [out, in, rows, columns] -> [out, rows, columns, in]; anything else as it is."""
    return tensor.transpose(0, 2, 3, 1) if tensor.ndim == 4 else tensor
