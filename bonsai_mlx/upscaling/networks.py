"""The two networks of the ESRGAN family, channels last, with the parameter names of their published files.

Reference: `RRDBNet` (Wang et al., arXiv:1809.00219, with the pixel unshuffling of Real-ESRGAN, arXiv:2107.10833) and
`SRVGGNetCompact` of Real-ESRGAN.
"""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx
import mlx.nn as nn

_SLOPE = 0.2  # of the leaky activations
_KEPT = 0.2  # of what a block adds to its input
_DENSE = 5  # convolutions of a dense block, each of which sees all before it


class Network(Protocol):
    """Pixels [1, rows, columns, 3], 0 to 1 -> the same with `scale` times the sides."""

    scale: int

    def __call__(self, x: mx.array) -> mx.array: ...
    def load_weights(self, file_or_weights: list[tuple[str, mx.array]], strict: bool = True) -> nn.Module: ...


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _leaky(x: mx.array) -> mx.array:
    return mx.maximum(x, _SLOPE * x)


def doubled(x: mx.array, times: int = 2) -> mx.array:
    return mx.repeat(mx.repeat(x, times, axis=1), times, axis=2)


def unshuffled(x: mx.array, by: int) -> mx.array:
    """Squares of pixels as channels: [1, rows, columns, channels] -> [1, rows/by, columns/by, channels * by * by]."""
    _, rows, columns, channels = x.shape
    x = x.reshape(1, rows // by, by, columns // by, by, channels).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(1, rows // by, columns // by, channels * by * by)


def shuffled(x: mx.array, by: int) -> mx.array:
    _, rows, columns, channels = x.shape
    x = x.reshape(1, rows, columns, channels // by**2, by, by).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(1, rows * by, columns * by, channels // by**2)


class DenseBlock(nn.Module):
    """Five convolutions, each of the input and all that came before."""

    def __init__(self, width: int, grown: int) -> None:
        super().__init__()
        for place in range(_DENSE):
            after = width if place == _DENSE - 1 else grown
            setattr(self, f"conv{place + 1}", _conv(width + place * grown, after))

    def __call__(self, x: mx.array) -> mx.array:
        seen = x
        for place in range(_DENSE - 1):
            made = _leaky(self[f"conv{place + 1}"](seen))
            seen = mx.concatenate([seen, made], axis=-1)
        added: mx.array = self[f"conv{_DENSE}"](seen)
        return added * _KEPT + x


class DenseBlocks(nn.Module):
    """Three dense blocks."""

    def __init__(self, width: int, grown: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, grown) for _ in range(3))

    def __call__(self, x: mx.array) -> mx.array:
        out = self.rdb3(self.rdb2(self.rdb1(x))) * _KEPT + x
        mx.eval(out)
        return out


class RRDBNet(nn.Module):
    """Works at a fourth of the size that comes out; for less than four times, its input is unshuffled first."""

    def __init__(self, scale: int, width: int, grown: int, blocks: int) -> None:
        super().__init__()
        self.scale = scale
        self._folded = 4 // scale
        self.conv_first = _conv(3 * self._folded**2, width)
        self.body = [DenseBlocks(width, grown) for _ in range(blocks)]
        self.conv_body = _conv(width, width)
        self.conv_up1, self.conv_up2, self.conv_hr = (_conv(width, width) for _ in range(3))
        self.conv_last = _conv(width, 3)

    def __call__(self, x: mx.array) -> mx.array:
        x = self.conv_first(unshuffled(x, self._folded) if self._folded > 1 else x)
        deep = x
        for block in self.body:
            deep = block(deep)
        x = x + self.conv_body(deep)
        x = _leaky(self.conv_up1(doubled(x)))
        x = _leaky(self.conv_up2(doubled(x)))
        out: mx.array = self.conv_last(_leaky(self.conv_hr(x)))
        return out


class Compact(nn.Module):
    """Convolutions at the size that goes in, whose last one's channels become pixels; added to the input enlarged."""

    def __init__(self, scale: int, width: int, convolutions: int) -> None:
        super().__init__()
        self.scale = scale
        inside = [layer for _ in range(convolutions) for layer in (_conv(width, width), _PReLU(width))]
        self.body = [_conv(3, width), _PReLU(width), *inside, _conv(width, 3 * scale**2)]

    def __call__(self, x: mx.array) -> mx.array:
        deep = x
        for layer in self.body:
            deep = layer(deep)
        return shuffled(deep, self.scale) + doubled(x, self.scale)


class _PReLU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = mx.zeros((width,))

    def __call__(self, x: mx.array) -> mx.array:
        return mx.maximum(x, 0) + self.weight * mx.minimum(x, 0)
