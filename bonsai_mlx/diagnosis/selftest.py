"""Does this device multiply and convolve correctly? The model's own sizes, held against numpy in float32.

A miscompiled GPU library passes small shapes and fails these, so every value of a product is compared. The reference
shares nothing with what it judges: numpy unpacks the weights by the format's definition and multiplies with its own
BLAS. Inputs are bfloat16 numbers, so that the only differences left are those of rounding the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np

from ..flux2.strips import convolved
from ..nn.layers import Convolution
from ..nn.linear import GROUP_SIZE, PackedLinear
from ..runtime import blas, device, winograd

SHAPES = ((1024, 2048, 2048), (1536, 3072, 3072))  # rows of x, inputs, outputs
MAP = (64, 128)  # rows and columns, and channels: the smallest that MLX on Metal would convolve by Winograd's algorithm
BITS = (1, 2)
# The largest error accepted, in units of the result's RMS. Rounding to bfloat16 gives 0.01, Winograd's algorithm in
# bfloat16 0.6, one wrong tile about 4.
TOLERANCE = 0.1
_SLOW_ROWS = {"matmul": 128, "quantized_matmul": 8}  # MLX's CPU makes 3 to 10 GFLOP/s of these and nothing uses them

Float32 = np.ndarray[Any, np.dtype[np.float32]]
Words = np.ndarray[Any, np.dtype[np.uint32]]


@dataclass(frozen=True, slots=True)
class Product:
    """One product that was tried: `error` is the largest difference in units of the result's RMS."""

    name: str
    error: float
    elapsed_s: float
    failure: str = ""  # what MLX said, where it could not compute it
    remedy: str = ""  # what to do if it is wrong, where that is known

    @property
    def ok(self) -> bool:
        return not self.failure and self.error <= TOLERANCE


def run() -> list[Product]:
    """Try every product that the engine, or its fallback, uses on this device, and a convolution."""
    products = []
    for rows, inputs, outputs in SHAPES:
        rng = np.random.default_rng(inputs)
        x = _bfloat16(rng.standard_normal((rows, inputs), dtype=np.float32))
        products.append(_matmul(x, _bfloat16(rng.standard_normal((outputs, inputs), dtype=np.float32))))
        for bits in BITS:
            products += _packed(x, outputs, bits, rng)
    return [*products, _convolution(*MAP)]


def largest_error(found: Float32, reference: Float32) -> float:
    """The largest difference anywhere, in units of the reference's RMS; infinity for a value that is no number."""
    difference = np.abs(found - reference).max()
    rms = np.sqrt(np.square(reference).mean())
    return float(difference / rms) if np.isfinite(difference) else float("inf")


def unpacked(words: Words, scales: Float32, biases: Float32, bits: int) -> Float32:
    """The weights by the format's definition: code * scale + bias, least significant bits first."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    codes = (words[:, :, None] >> shifts) & np.uint32(2**bits - 1)
    grouped = codes.reshape(len(words), -1, GROUP_SIZE).astype(np.float32)
    values: Float32 = (grouped * scales[:, :, None] + biases[:, :, None]).reshape(len(words), -1)
    return values


def _matmul(x: Float32, weight: Float32) -> Product:
    x = x[: _rows("matmul", len(x))]
    left, right = mx.array(x).astype(mx.bfloat16), mx.array(weight).astype(mx.bfloat16)
    return _tried(f"bfloat16 matmul {_shape(x, weight)}", lambda: left @ right.T, x @ weight.T)


def _packed(x: Float32, outputs: int, bits: int, rng: np.random.Generator) -> list[Product]:
    layer, weight = _random_layer(x.shape[1], outputs, bits, rng)
    products = []
    some = x[: _rows("quantized_matmul", len(x))]
    name = f"{bits}-bit quantized_matmul {_shape(some, weight)}"
    try:
        there = device.backend() == "cpu" or device.has_quantized_kernel(bits, GROUP_SIZE)
    except RuntimeError:  # the device failed, as the product itself will say
        there = True
    if there:
        products.append(_tried(name, lambda: _quantized_matmul(some, layer), some @ weight.T))
    rows = x[: len(x) if device.backend() != "cpu" or blas.preload_fast_blas().library else 32]
    given = mx.array(rows).astype(device.activation_dtype())
    products.append(_tried(f"{bits}-bit packed linear {_shape(rows, weight)}", lambda: layer(given), rows @ weight.T))
    return products


def _convolution(side: int, channels: int) -> Product:
    rng = np.random.default_rng(channels)
    x = _bfloat16(rng.standard_normal((side, side, channels), dtype=np.float32))
    weight = _bfloat16(rng.standard_normal((channels, 3, 3, channels), dtype=np.float32))
    layer, dtype = Convolution(channels, channels, 3), device.activation_dtype()
    given, layer.weight, layer.bias = (
        mx.array(x[None]).astype(dtype),
        mx.array(weight).astype(dtype),
        mx.array(0, dtype),
    )
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1))
    reference: Float32 = windows.reshape(side * side, -1) @ weight.transpose(0, 3, 1, 2).reshape(channels, -1).T
    name = f"3x3 convolution {side}x{side}x{channels}"
    product = _tried(name, lambda: next(convolved(iter([given]), layer)).reshape(reference.shape), reference)
    return replace(product, remedy=winograd.remedy())


def _random_layer(inputs: int, outputs: int, bits: int, rng: np.random.Generator) -> tuple[PackedLinear, Float32]:
    """A ternary (2 bits) or binary (1 bit) layer as checkpoints hold them, and the values it stands for."""
    codes = rng.integers(0, 3 if bits == 2 else 2, (outputs, inputs * bits // 32, 32 // bits), dtype=np.uint32)
    words = np.bitwise_or.reduce(codes << np.arange(0, 32, bits, dtype=np.uint32), axis=2)
    size = _bfloat16(rng.uniform(0.5, 1.5, (outputs, inputs // GROUP_SIZE)).astype(np.float32))
    scales, biases = size * (1 if bits == 2 else 2), -size
    layer = PackedLinear(inputs, outputs, bits)
    layer.weight = mx.array(words)
    layer.scales, layer.biases = mx.array(scales).astype(mx.bfloat16), mx.array(biases).astype(mx.bfloat16)
    return layer, unpacked(words, scales, biases, bits)


def _quantized_matmul(x: Float32, layer: PackedLinear) -> mx.array:
    dtype = device.activation_dtype()  # MLX's CPU also sums bfloat16 products in bfloat16, which nothing here uses
    return mx.quantized_matmul(
        mx.array(x).astype(dtype),
        layer.weight,
        layer.scales.astype(dtype),
        layer.biases.astype(dtype),
        transpose=True,
        group_size=GROUP_SIZE,
        bits=layer.bits,
    )


def _tried(name: str, product: Callable[[], mx.array], reference: Float32) -> Product:
    started = time.perf_counter()
    try:
        found = np.array(product().astype(mx.float32))
    except (RuntimeError, ValueError) as error:
        return Product(name, float("inf"), time.perf_counter() - started, failure=str(error))
    return Product(name, largest_error(found, reference), time.perf_counter() - started)


def _rows(name: str, rows: int) -> int:
    return min(rows, _SLOW_ROWS[name]) if device.backend() == "cpu" else rows


def _shape(x: Float32, weight: Float32) -> str:
    return f"{x.shape[0]}x{x.shape[1]}x{weight.shape[0]}"


def _bfloat16(values: Float32) -> Float32:
    """The same numbers cut to bfloat16's 8 bits of precision, still float32."""
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
