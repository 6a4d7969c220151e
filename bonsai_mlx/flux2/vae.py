"""AutoencoderKLFlux2: latents to pixels and pixels to latents, in row strips.

Reference: `diffusers.AutoencoderKLFlux2`, whose parameter names these are. Feature maps are cut into row strips, see
`strips`, which give what one piece gives in a fraction of the memory. A layer's weights are loaded when it is reached
and dropped when it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Protocol, TypeVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..nn.attention import attend
from ..nn.layers import Convolution, LinearWithBias, read, take
from ..nn.limits import STRIP_VALUES
from ..runtime import device
from ..weights.layout import DECODER, VAE
from .parts.config import VaeConfig
from .strips import Cutting, FeatureMap, Kept, Normalise, Recomputed, Strips, convolved, cut, doubled, halved

Image8 = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]  # [height, width, 3]
M = TypeVar("M", bound=nn.Module)

GROUP_NORM_EPS = 1e-6


class Layer(Protocol):
    """What both ways are made of: uses up the map that it is given."""

    def __call__(self, x: FeatureMap, cutting: Cutting, /) -> FeatureMap: ...


class VaeFiles(Protocol):
    """The files of a VAE, and which one's decoder draws; a `Checkpoint` is one."""

    @property
    def vae(self) -> VaeConfig: ...
    @property
    def decoder(self) -> VaeConfig: ...
    @property
    def other_decoder(self) -> VaeConfig | None: ...
    def load(self, component: str) -> dict[str, mx.array]: ...


LayerOf = tuple[str, Callable[[], Layer]]  # the layer's name in the checkpoint, and what makes it without weights


def decode(
    checkpoint: VaeFiles,
    latents: mx.array,
    dtype: mx.Dtype,
    *,
    strip_values: int | None = None,
    recompute: bool = False,
) -> Generator[tuple[int, int], None, Image8]:
    """Packed latents [1, in_channels, height/16, width/16] -> pixels [height, width, 3], uint8.

    A generator, so that it can be watched and stopped: yields (layers done, layers in all), returns the pixels.
    `strip_values` bounds a strip at every resolution; None suits the device. With `recompute` maps between two layers
    are computed anew instead of kept: half the memory, more time.
    """
    config, cutting = checkpoint.decoder, _cutting(strip_values, recompute=recompute)
    weights = _Weights(checkpoint, dtype, decodes=True)
    z = unpack_latents(latents.astype(mx.float32), weights.mean, weights.std).astype(dtype)
    z = weights.pointwise("post_quant_conv", config.latent_channels)(z)
    x: FeatureMap = Kept(cut([z], cutting.strip_values))
    layers = list(_decoder_layers(config))
    for done, (name, make) in enumerate(layers, 1):
        x = weights.layer(f"decoder.{name}", make)(x, cutting)
        yield done, len(layers) + 1
    pixels = [_to_uint8(strip) for strip in weights.head("decoder", x, config.decoder_channels[0], 3)]
    yield len(layers) + 1, len(layers) + 1
    return np.concatenate(pixels)


def encode(
    checkpoint: VaeFiles,
    pixels: Image8,
    dtype: mx.Dtype,
    *,
    strip_values: int | None = None,
    recompute: bool = False,
) -> Generator[tuple[int, int], None, mx.array]:
    """Pixels [height, width, 3], sides multiples of 16 -> packed latents [1, in_channels, height/16, width/16].

    The mode of the posterior, normalised as the transformer expects it; float32. A generator with the options of
    `decode`.
    """
    return (yield from _encoded(_Weights(checkpoint, dtype), pixels, _cutting(strip_values, recompute=recompute)))


class PixelEncoder:
    """`encode` for many small pictures: reads the encoder's weights once, and holds them."""

    def __init__(self, checkpoint: VaeFiles, dtype: mx.Dtype) -> None:
        self._weights = _Weights(checkpoint, dtype, held=True)
        self.mean, self.std = self._weights.mean, self._weights.std

    def __call__(self, pixels: Image8) -> mx.array:
        encoding = _encoded(self._weights, pixels, _cutting(None, recompute=False))
        while True:
            try:
                next(encoding)
            except StopIteration as stop:
                latents: mx.array = stop.value
                return latents


def _encoded(weights: _Weights, pixels: Image8, cutting: Cutting) -> Generator[tuple[int, int], None, mx.array]:
    config = weights.config
    channels = config.block_out_channels
    x: FeatureMap = _Pixels(pixels, max(1, cutting.strip_values // (pixels.shape[1] * channels[0])), weights.dtype)
    layers = list(_encoder_layers(config))
    for done, (name, make) in enumerate(layers, 1):
        x = weights.layer(f"encoder.{name}", make)(x, cutting)
        yield done, len(layers) + 1
    moments = list(weights.head("encoder", x, channels[-1], 2 * config.latent_channels))
    quant_conv = weights.pointwise("quant_conv", 2 * config.latent_channels)
    mean, _ = mx.split(quant_conv(mx.concatenate(moments, axis=1)), 2, axis=-1)
    packed = (pack_latents(mean.astype(mx.float32)) - weights.mean) / weights.std
    mx.eval(packed)
    yield len(layers) + 1, len(layers) + 1
    return packed


def _cutting(strip_values: int | None, *, recompute: bool) -> Cutting:
    return Cutting(strip_values or STRIP_VALUES[device.backend()], recompute)


def _decoder_layers(config: VaeConfig) -> Iterator[LayerOf]:
    channels, groups = config.decoder_channels[::-1], config.norm_num_groups
    before = channels[0]
    yield "conv_in", partial(FirstConvolution, config.latent_channels, before, 3)
    yield from _mid_block(before, groups)
    for index, after in enumerate(channels):
        for number in range(config.layers_per_block + 1):
            yield f"up_blocks.{index}.resnets.{number}", partial(ResnetBlock, before, after, groups)
            before = after
        if index < len(channels) - 1:
            yield f"up_blocks.{index}.upsamplers.0.conv", partial(Upsample, after, after, 3)


def _encoder_layers(config: VaeConfig) -> Iterator[LayerOf]:
    channels, groups = config.block_out_channels, config.norm_num_groups
    before = channels[0]
    yield "conv_in", partial(FirstConvolution, config.in_channels, before, 3)
    for index, after in enumerate(channels):
        for number in range(config.layers_per_block):
            yield f"down_blocks.{index}.resnets.{number}", partial(ResnetBlock, before, after, groups)
            before = after
        if index < len(channels) - 1:
            yield f"down_blocks.{index}.downsamplers.0.conv", partial(Downsample, after, after, 3)
    yield from _mid_block(before, groups)


def _mid_block(width: int, groups: int) -> Iterator[LayerOf]:
    """Attention over all positions between two residual blocks, at the latents' own resolution."""
    yield "mid_block.resnets.0", partial(ResnetBlock, width, width, groups)
    yield "mid_block.attentions.0", partial(SpatialAttention, width, groups)
    yield "mid_block.resnets.1", partial(ResnetBlock, width, width, groups)


class _Weights:
    """The VAE's file: gives layers their weights, still on the disk."""

    def __init__(self, checkpoint: VaeFiles, dtype: mx.Dtype, *, held: bool = False, decodes: bool = False) -> None:
        """With `held` a layer that was given once is kept and given again; otherwise nothing of it stays.

        Where another VAE `decodes`, its layers are given; the latents' statistics are always the checkpoint's own.
        """
        self.config, self.dtype = checkpoint.decoder if decodes else checkpoint.vae, dtype
        self._tensors = checkpoint.load(VAE)
        self._held: dict[str, nn.Module] | None = {} if held else None
        self.mean, self.std = batch_norm(self._tensors, checkpoint.vae)
        if decodes and checkpoint.other_decoder:
            self._tensors = checkpoint.load(DECODER)

    def layer(self, name: str, make: Callable[[], M]) -> M:
        """What `make` makes, with the tensors under `name` (strictly), in MLX's channels-last order."""
        if self._held is not None and name in self._held:
            return self._held[name]
        layer, tensors = make(), take(self._tensors, f"{name}.")
        layer.load_weights([(n, _channels_last(t).astype(self.dtype)) for n, t in tensors.items()], strict=True)
        if self._held is not None:
            self._held[name] = layer
        return layer

    def pointwise(self, name: str, width: int) -> Callable[[mx.array], mx.array]:
        conv = self.layer(name, partial(Convolution, width, width, 1))
        read(conv)
        return lambda x: mx.conv2d(x, conv.weight) + conv.bias

    def head(self, side: str, x: FeatureMap, before: int, after: int) -> Strips:
        """The last normalisation and convolution of a side; uses up `x`."""
        norm = self.layer(f"{side}.conv_norm_out", partial(_group_norm, self.config.norm_num_groups, before))
        conv = self.layer(f"{side}.conv_out", partial(Convolution, before, after, 3))
        return convolved(x.taken(), conv, Normalise(x.strips(), norm))


class _Pixels:
    """A picture as a map in strips of some rows: [1, rows, width, 3], values from -1 to 1."""

    def __init__(self, pixels: Image8, rows: int, dtype: mx.Dtype) -> None:
        self._pixels, self._rows, self._dtype = pixels, rows, dtype

    def strips(self) -> Strips:
        for start in range(0, len(self._pixels), self._rows):
            yield mx.array(self._pixels[start : start + self._rows])[None].astype(self._dtype) / 127.5 - 1

    taken = strips


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


def _group_norm(groups: int, width: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, width, eps=GROUP_NORM_EPS)


class FirstConvolution(Convolution):
    """From the channels of latents or pixels to those of the first block."""

    def __call__(self, x: FeatureMap, cutting: Cutting) -> FeatureMap:
        return cutting.made(x, lambda strips: cut(convolved(strips, self), cutting.strip_values))


class Upsample(Convolution):
    """Twice the resolution."""

    def __call__(self, x: FeatureMap, cutting: Cutting) -> FeatureMap:
        return cutting.made(x, lambda strips: convolved(doubled(strips, cutting.strip_values), self))


class Downsample(Convolution):
    """Half the resolution."""

    def __call__(self, x: FeatureMap, cutting: Cutting) -> FeatureMap:
        return cutting.made(x, lambda strips: halved(strips, self, cutting.strip_values))


class ResnetBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution of x where the width changes."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.wider = after // before
        self.norm1 = _group_norm(groups, before)
        self.conv1 = Convolution(before, after, 3)
        self.norm2 = _group_norm(groups, after)
        self.conv2 = Convolution(after, after, 3)
        if before != after:
            self.conv_shortcut = Convolution(before, after, 1)

    def __call__(self, x: FeatureMap, cutting: Cutting) -> Kept:
        """Uses up `x`: its strips are dropped as the result grows, and kept narrow where the result is narrower.

        With `recompute` what lies between the two convolutions is computed once for its statistics and once more.
        """
        if self.wider > 1:  # strips are bounded by what they become
            x = Recomputed(x, partial(cut, strip_values=cutting.strip_values // self.wider))
        norm1 = Normalise(x.strips(), self.norm1)
        if cutting.recompute:
            norm2 = Normalise(convolved(x.strips(), self.conv1, norm1), self.norm2)
        shortcuts: deque[mx.array] = deque()
        hidden = convolved(self._passed(x.taken(), shortcuts), self.conv1, norm1)
        if not cutting.recompute:
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


class SpatialAttention(nn.Module):
    """Self-attention with one head over the positions of a feature map [1, height, width, channels]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = _group_norm(groups, width)
        self.to_q, self.to_k = LinearWithBias(width, width), LinearWithBias(width, width)
        self.to_v = LinearWithBias(width, width)
        self.to_out = [LinearWithBias(width, width)]

    def __call__(self, x: FeatureMap, cutting: Cutting) -> Kept:
        return Kept(cut([self.whole(mx.concatenate(list(x.taken()), axis=1))], cutting.strip_values))

    def whole(self, x: mx.array) -> mx.array:
        read(self)
        batch, height, width, channels = x.shape
        hidden = Normalise(iter([x]), self.group_norm).affine(x).reshape(batch, 1, height * width, channels)
        out = attend(self.to_q(hidden), self.to_k(hidden), self.to_v(hidden), channels**-0.5)
        x = x + self.to_out[0](out).reshape(x.shape)
        mx.eval(x)
        return x


def _to_uint8(strip: mx.array) -> Image8:
    pixels = mx.clip(strip[0].astype(mx.float32) / 2 + 0.5, 0, 1) * 255
    return np.array(mx.round(pixels).astype(mx.uint8))


def _channels_last(tensor: mx.array) -> mx.array:
    """Convolution weights [out, in, rows, columns] -> [out, rows, columns, in]; anything else as it is."""
    return tensor.transpose(0, 2, 3, 1) if tensor.ndim == 4 else tensor
