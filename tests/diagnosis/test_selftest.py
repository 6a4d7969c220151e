"""The self-test: right on this machine, and every fault that is put into a product is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.diagnosis import selftest
from bonsai_mlx.diagnosis.doctor import product_check
from bonsai_mlx.diagnosis.selftest import Product
from bonsai_mlx.nn import expand
from bonsai_mlx.nn import linear as packed
from bonsai_mlx.runtime import device


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test at a shape that takes no time."""
    monkeypatch.setattr(selftest, "SHAPES", ((16, 256, 384),))
    monkeypatch.setattr(selftest, "MAP", (12, 16))


@pytest.mark.slow
def test_this_device_multiplies_correctly_at_the_models_sizes() -> None:
    products = selftest.run()
    assert all(product.ok for product in products), products
    names = " ".join(product.name for product in products)
    for part in ("bfloat16 matmul", "1-bit packed linear", "2-bit packed linear", "x2048x2048", "x3072x3072"):
        assert part in names
    assert "3x3 convolution 64x64x128" in names  # 4096 positions, 256 channels: where MLX on Metal takes Winograd's
    if device.backend() == "cpu":
        assert "1-bit quantized_matmul" in names
        assert "2-bit quantized_matmul" in names


def one_wrong_tile(y: mx.array) -> mx.array:
    """A product of which a 4x8 corner is another number: a kernel that handles its last tile wrongly."""
    y[..., -4:, -8:] = y[..., :4, :8]
    return y


def wrong(product: Callable[..., mx.array]) -> Callable[..., mx.array]:
    return lambda *given, **named: one_wrong_tile(product(*given, **named))


def by_winograd(x: mx.array, weight: mx.array, padding: tuple[int, int]) -> mx.array:
    """A 3x3 convolution by F(6x6, 3x3), all that is stored on the way in bfloat16, as MLX does it on Metal."""
    points = [0, 1, -1, 2, -2, 0.5, -0.5]
    values = np.array([[p**k for k in range(8)] for p in points] + [[0] * 7 + [1]])
    from_kernel = np.array([[p**k for k in range(3)] for p in points] + [[0, 0, 1]])
    from_input = np.linalg.inv(values).T
    to_output = np.array([[p**k for p in points] + [k == 5] for k in range(6)])

    def transformed(formula: str, matrix: np.ndarray[Any, Any], other: mx.array) -> mx.array:
        exact = mx.einsum(formula, mx.array(matrix, dtype=mx.float32), other, mx.array(matrix, dtype=mx.float32))
        return exact.astype(mx.bfloat16).astype(mx.float32)

    x = mx.pad(x[0], [*((pad, pad) for pad in padding), (0, 0)])
    rows, columns = x.shape[0] - 2, x.shape[1] - 2
    down, across = -(-rows // 6), -(-columns // 6)
    x = mx.pad(x, [(0, 6 * down - rows), (0, 6 * across - columns), (0, 0)])
    tiles = mx.stack([mx.stack([x[6 * i :, 6 * j :][:8, :8] for j in range(across)]) for i in range(down)])
    kernel = transformed("ai,oijc,bj->aboc", from_kernel, weight)
    inputs = transformed("ai,xyijc,bj->abxyc", from_input, tiles)
    products = mx.einsum("abxyc,aboc->abxyo", inputs, kernel).astype(mx.bfloat16).astype(mx.float32)
    whole = transformed("ia,abxyo,jb->xiyjo", to_output, products).reshape(1, 6 * down, 6 * across, -1)
    return whole[:, :rows, :columns]


@pytest.mark.usefixtures("small")
class TestDeliberateFaults:
    def test_without_one_all_is_right(self) -> None:
        assert all(product.ok for product in selftest.run())

    def test_in_the_quantised_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mx, "quantized_matmul", wrong(mx.quantized_matmul))
        failed = [product.name for product in selftest.run() if not product.ok]
        assert [name for name in failed if "1-bit quantized_matmul" in name]
        assert [name for name in failed if "2-bit quantized_matmul" in name]

    def test_in_the_packed_linear(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packed.PackedLinear, "__call__", wrong(packed.PackedLinear.__call__))
        failed = [product.name.split(" 16x")[0] for product in selftest.run() if not product.ok]
        assert failed == ["1-bit packed linear", "2-bit packed linear"]

    @pytest.mark.skipif(device.backend() != "cpu", reason="of the fallback")
    def test_in_unpacking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        right = expand.Scratch.expanded
        monkeypatch.setattr(expand.Scratch, "expanded", lambda *given: mx.roll(right(*given), 1, axis=1))
        assert not all(product.ok for product in selftest.run())

    def test_in_the_plain_product(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mx.array, "__matmul__", wrong(mx.matmul))
        assert not selftest.run()[0].ok

    def test_in_the_convolution(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mx, "conv2d", wrong(mx.conv2d))
        assert [product.name for product in selftest.run() if not product.ok] == ["3x3 convolution 12x12x16"]

    def test_that_is_winograd_s_algorithm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selftest, "MAP", (64, 128))
        monkeypatch.setattr(mx, "conv2d", by_winograd)
        monkeypatch.setenv("MLX_CONV_WINOGRAD", "1")
        (failed,) = (product for product in selftest.run() if not product.ok)
        assert failed.name == "3x3 convolution 64x64x128"
        assert 0.1 < failed.error < 2  # of the algorithm, not of this test's mistakes
        assert "unset MLX_CONV_WINOGRAD" in product_check(failed).remedy

    def test_that_is_an_exception(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: Any, **__: Any) -> mx.array:
            raise RuntimeError("[metal::Device] Unable to load kernel affine_qmm_t")

        monkeypatch.setattr(mx, "quantized_matmul", fails)
        failed = [product for product in selftest.run() if not product.ok]
        assert failed
        assert "Unable to load kernel" in product_check(failed[0]).detail


@pytest.mark.usefixtures("small")
def test_a_convolution_in_bfloat16_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "MAP", (64, 128))
    monkeypatch.setattr(device, "activation_dtype", lambda: mx.bfloat16)
    assert selftest.run()[-1].error < 0.03  # a third of what is accepted


def test_a_value_that_is_no_number_is_an_error() -> None:
    reference = np.ones((2, 2), dtype=np.float32)
    assert selftest.largest_error(np.array([[1, np.nan], [1, 1]], dtype=np.float32), reference) == float("inf")
    assert selftest.largest_error(np.array([[1, 1.5], [1, 1]], dtype=np.float32), reference) == 0.5
    assert not Product("x", float("nan"), 0.0).ok


def test_the_reference_unpacks_by_the_format() -> None:
    words = np.array([[0b10_01_00_10] + [0] * 7], dtype=np.uint32)
    values = selftest.unpacked(words, np.float32([[0.5]]), np.float32([[-0.5]]), 2)
    assert values.shape == (1, 128)
    assert values[0, :5].tolist() == [0.5, -0.5, 0.0, 0.5, -0.5]
    bits = np.array([[0b101] + [0] * 3], dtype=np.uint32)
    assert selftest.unpacked(bits, np.float32([[2]]), np.float32([[-1]]), 1)[0, :4].tolist() == [1, -1, 1, -1]
