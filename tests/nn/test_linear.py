"""Packed linears against the format's definition, computed by plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.nn import linear as packed_module
from bonsai_mlx.nn.linear import DenseLinear, PackedLinear, dense
from bonsai_mlx.nn.shards import Share
from bonsai_mlx.runtime import device
from bonsai_mlx.weights.layout import TRANSFORMER

SHAPES = [(1, 128), (3, 256), (17, 384), (69, 128), (128, 640)]  # outputs, inputs
BITS = (1, 2, 4, 8)


@pytest.fixture
def blocks_of_64_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], int]:
    """Makes blocks small, given the number of inputs; returns their bytes."""

    def limit(inputs: int) -> int:
        monkeypatch.setattr(packed_module, "BLOCK_BYTES", 64 * inputs * 4)
        return packed_module.BLOCK_BYTES

    return limit


def bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers cut to bfloat16, as float32."""
    return (values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def packed(bits: int, outputs: int, inputs: int, seed: int = 0) -> tuple[PackedLinear, np.ndarray[Any, Any]]:
    """A layer of random codes, scales and biases, and its values by the format's definition, one by one."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**bits, (outputs, inputs), dtype=np.uint32)
    words = np.zeros((outputs, inputs * bits // 32), dtype=np.uint32)
    for position in range(inputs):
        word, shift = divmod(position * bits, 32)
        words[:, word] |= codes[:, position] << np.uint32(shift)
    spread = 2.0 ** min(0, 4 - bits)  # more levels, not wider ones: sums stay as exact as those of 4 bits
    scales = bfloat16(spread * rng.normal(size=(outputs, inputs // 128)))
    biases = bfloat16(rng.normal(size=(outputs, inputs // 128)))
    layer = PackedLinear(inputs, outputs, bits)
    layer.weight = mx.array(words)
    layer.scales, layer.biases = mx.array(scales).astype(mx.bfloat16), mx.array(biases).astype(mx.bfloat16)
    values = codes.astype(np.float32) * np.repeat(scales, 128, axis=1) + np.repeat(biases, 128, axis=1)
    return layer, values


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
def test_dequantised_values_are_exact(bits: int, outputs: int, inputs: int) -> None:
    layer, values = packed(bits, outputs, inputs)
    assert np.array_equal(np.array(layer.dequantized()), values)


@pytest.mark.parametrize("bits", BITS)
def test_they_are_those_of_mlx(bits: int) -> None:
    layer, _ = packed(bits, 69, 384)
    scales, biases = layer.scales.astype(mx.float32), layer.biases.astype(mx.float32)
    theirs = mx.dequantize(layer.weight, scales, biases, group_size=128, bits=bits)
    assert np.array_equal(np.array(layer.dequantized()), np.array(theirs))


@pytest.mark.parametrize("bits", BITS)
def test_a_gpu_without_any_kernel_of_that_width_computes_right(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 1 bit on CUDA: one kernel ends in an error, the other leaves what was in memory."""

    def no_kernel(*_: Any, **__: Any) -> mx.array:
        raise RuntimeError("1-bit quantization is not supported")

    layer, values = packed(bits, 70, 384)
    x = mx.random.normal((5, 384), key=mx.random.key(0))
    monkeypatch.setattr(device, "backend", lambda: "cuda")
    monkeypatch.setattr(device, "has_quantized_kernel", device.has_quantized_kernel.__wrapped__)
    monkeypatch.setattr(mx, "quantized_matmul", no_kernel)
    monkeypatch.setattr(mx, "dequantize", lambda words, scales, *_, **__: mx.zeros((len(words), 128 * scales.shape[1])))
    assert np.allclose(np.array(layer(x)), np.array(x) @ values.T, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_rows_are_those_of_the_whole(bits: int) -> None:
    layer, values = packed(bits, 37, 256)
    for start, stop in ((0, 1), (5, 20), (30, 1000), (36, 37)):
        assert np.array_equal(np.array(layer.dequantized(start, stop)), values[start:stop])


def test_the_values_of_real_weights_are_the_variant_s(seedling: Any, variant: str) -> None:
    checkpoint = Checkpoint.open(seedling)
    tensors = checkpoint.load(TRANSFORMER)
    name = "single_transformer_blocks.0.attn.to_out"
    outputs, groups = tensors[f"{name}.scales"].shape
    layer = PackedLinear(groups * 128, outputs, checkpoint.transformer.bits)
    layer.load_weights([(part, tensors[f"{name}.{part}"]) for part in ("weight", "scales", "biases")])
    values = np.array(layer.dequantized()).reshape(outputs, groups, 128)
    size = -np.array(tensors[f"{name}.biases"].astype(mx.float32))[..., None]
    allowed = np.concatenate([-size, size] if variant == "binary" else [-size, 0 * size, size], axis=-1)
    assert (values[..., None] == allowed[:, :, None, :]).any(axis=-1).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
def test_blockwise_is_the_product_with_the_values(bits: int, outputs: int, inputs: int) -> None:
    layer, values = packed(bits, outputs, inputs)
    x = np.random.default_rng(1).normal(size=(2, 3, inputs)).astype(np.float32)
    y = np.array(layer.blockwise(mx.array(x)))
    assert y.shape == (2, 3, outputs)
    expected = x.astype(np.float64) @ values.T.astype(np.float64)
    assert np.abs(y - expected).max() <= 2e-6 * np.abs(expected).max() * np.sqrt(inputs)


@pytest.mark.parametrize("bits", BITS)
def test_the_kernel_computes_the_same(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, _ = packed(bits, 70, 384)
    layer.scales, layer.biases = layer.scales.astype(mx.float32), layer.biases.astype(mx.float32)
    x = mx.random.normal((5, 384), key=mx.random.key(0))
    blockwise = layer.blockwise(x)
    monkeypatch.setattr(device, "has_quantized_kernel", lambda bits, group_size: True)
    calls = []
    kernel = mx.quantized_matmul
    monkeypatch.setattr(mx, "quantized_matmul", lambda *given, **named: calls.append(1) or kernel(*given, **named))
    assert mx.allclose(layer(x), blockwise, rtol=1e-4, atol=1e-4)
    assert calls


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_the_result_has_the_type_of_the_input(dtype: mx.Dtype) -> None:
    layer, _ = packed(2, 8, 128)
    assert layer(mx.ones((3, 128), dtype=dtype)).dtype == dtype


@pytest.mark.skipif(device.backend() != "cpu", reason="a GPU reads packed weights directly")
def test_scratch_memory_is_one_block(blocks_of_64_rows: Callable[[int], int]) -> None:
    outputs, inputs = 1024, 1024
    block_bytes = blocks_of_64_rows(inputs)
    layer, _ = packed(2, outputs, inputs)
    x = mx.ones((1, inputs))
    mx.eval(layer(x), layer.parameters())
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(layer(x))
    assert mx.get_peak_memory() - before < 2.5 * block_bytes < outputs * inputs * 4


def test_inputs_must_fill_whole_groups() -> None:
    with pytest.raises(ValueError, match="100 is not a multiple of the group size 128"):
        PackedLinear(100, 8, 2)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_shares_of_the_rows_are_pieces_of_each_part(count: int, bits: int) -> None:
    layer, values = packed(bits, 8 + 8 + 24, 256)
    q, k, v = np.split(values, [8, 16])
    for index in range(count):
        pieces = [np.split(part, count)[index] for part in (q, k, v)]
        cut = layer.rows(Share(index, count).pieces(8, 8, 24))
        assert (cut.in_features, cut.out_features) == (256, 40 // count)
        assert np.array_equal(np.array(cut.dequantized()), np.concatenate(pieces))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_shares_of_the_columns_are_pieces_of_each_part(count: int, bits: int) -> None:
    layer, values = packed(bits, 5, 512 + 1024)
    first, second = np.split(values, [512], axis=1)
    for index in range(count):
        pieces = [np.split(part, count, axis=1)[index] for part in (first, second)]
        cut = layer.columns(Share(index, count).pieces(512, 1024))
        assert (cut.in_features, cut.out_features) == (1536 // count, 5)
        assert np.array_equal(np.array(cut.dequantized()), np.concatenate(pieces, axis=1))


def test_pieces_of_the_columns_end_where_groups_do() -> None:
    with pytest.raises(ValueError, match="multiples of"):
        packed(2, 5, 512)[0].columns([slice(0, 192)])


def test_shares_of_a_dense_linear_make_the_whole() -> None:
    hidden, inner, sizes = 256, 768, (256, 512)
    x = mx.random.normal((5, hidden), key=mx.random.key(0))
    into, out_of = DenseLinear(hidden, inner), DenseLinear(inner, hidden)
    for key, layer in enumerate((into, out_of)):
        layer.weight = mx.random.normal(layer.weight.shape, key=mx.random.key(key))
    shares = [Share(index, 2) for index in range(2)]
    terms = [out_of.columns(share.pieces(*sizes))(into.rows(share.pieces(*sizes))(x)) for share in shares]
    assert np.allclose(np.array(sum(terms)), np.array(out_of(into(x))), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("outputs", [1, 63, 64, 199])
def test_blocks_of_rows_give_the_whole_product(
    outputs: int, bits: int, blocks_of_64_rows: Callable[[int], int]
) -> None:
    layer, values = packed(bits, outputs, 256)
    blocks_of_64_rows(256)
    x = mx.random.normal((2, 7, 256), key=mx.random.key(4))
    assert np.allclose(np.array(layer.blockwise(x)), np.array(x) @ values.T, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("outputs", [1, 63, 199])
def test_dense(outputs: int, dtype: mx.Dtype, blocks_of_64_rows: Callable[[int], int]) -> None:
    blocks_of_64_rows(96)
    weight = mx.random.normal((outputs, 96), key=mx.random.key(2)).astype(mx.bfloat16)
    x = mx.random.normal((2, 96), key=mx.random.key(3)).astype(dtype)
    y = dense(x, weight)
    assert (y.shape, y.dtype) == ((2, outputs), dtype)
    expected = np.array(x.astype(mx.float32)) @ np.array(weight.astype(mx.float32)).T
    tolerance = 1e-5 if dtype == mx.float32 else 0.05
    assert np.abs(np.array(y.astype(mx.float32)) - expected).max() <= tolerance * np.abs(expected).max()
