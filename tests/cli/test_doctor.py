"""The doctor: that it finds what is wrong, above all a device that multiplies wrongly, and says what to do."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from huggingface_hub import constants

from bonsai_mlx.cli import doctor, selftest
from bonsai_mlx.cli import main as cli
from bonsai_mlx.cli.doctor import Check
from bonsai_mlx.cli.selftest import Product
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog
from bonsai_mlx.nn import expand
from bonsai_mlx.nn import linear as packed
from bonsai_mlx.runtime import blas, device

RIGHT = [Product("bfloat16 matmul 8x8x8", 0.01, 0.5)]
ENTRY = catalog.lookup("ternary")


@pytest.fixture(autouse=True)
def nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the self-test's products."""
    monkeypatch.setattr(selftest, "run", lambda: RIGHT)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test at a shape that takes no time."""
    monkeypatch.setattr(selftest, "SHAPES", ((16, 256, 384),))
    monkeypatch.setattr(selftest, "MAP", (12, 16))


@pytest.mark.usefixtures("quick")
def test_a_good_machine_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Ready."
    assert sum(line.startswith(("Ready", "Not ready")) for line in lines) == 1
    text = "\n".join(lines)
    for name in ("machine", "python", "memory", "disk", "mlx", "backend", "self-test", "checkpoint ternary"):
        assert f" {name}: " in text
    assert "not downloaded (3.8" in text
    assert "checkpoint seedling-binary: complete" in text


@pytest.mark.usefixtures("quick")
def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ready"], report["verdict"]) == (True, "Ready.")
    assert {"name", "level", "detail", "remedy"} == report["checks"][0].keys()


def test_a_wrong_product_makes_it_not_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "run", lambda: [*RIGHT, Product("2-bit packed linear 8x8x8", 4.1, 0.1)])
    assert cli.main(["doctor"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Not ready: self-test: 2-bit packed linear 8x8x8 is WRONG: off by 4.1 times")
    assert "pip install" in last


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
        assert "unset MLX_CONV_WINOGRAD" in doctor.product_check(failed).remedy

    def test_that_is_an_exception(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: Any, **__: Any) -> mx.array:
            raise RuntimeError("[metal::Device] Unable to load kernel affine_qmm_t")

        monkeypatch.setattr(mx, "quantized_matmul", fails)
        failed = [product for product in selftest.run() if not product.ok]
        assert failed
        assert "Unable to load kernel" in doctor.product_check(failed[0]).detail


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


def level_of(check: Check | None) -> str:
    assert check
    assert bool(check.remedy) == (check.level != "ok")
    return check.level


def test_an_mlx_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "__version__", "0.32.3")
    check = doctor.mlx_version()
    assert level_of(check) == "problem"
    assert "1-bit" in check.detail
    assert "0.32.4" in check.remedy
    for version in ("0.32.4", "0.33.0", "1.0", "0.32.4.dev1+abc"):
        monkeypatch.setattr(mx, "__version__", version)
        assert level_of(doctor.mlx_version()) == "ok"


def test_an_mlx_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", _not_found)
    check = doctor.mlx_version()
    assert level_of(check) == "problem"
    assert "not installed" in check.detail


def _not_found(name: str) -> str:
    import importlib.metadata

    raise importlib.metadata.PackageNotFoundError(name)


def test_an_mlx_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    check = doctor.mlx_version()
    assert level_of(check) == "problem"
    assert "cannot be loaded" in check.detail


def test_nothing_that_needs_mlx_is_tried_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "mlx_version", lambda: Check("mlx", "problem", "MLX is not installed", "install it"))
    monkeypatch.setattr(selftest, "run", lambda: pytest.fail("computed without MLX"))
    checks = list(doctor.examine())
    assert not doctor.is_ready(checks)
    assert doctor.verdict(checks) == "Not ready: mlx: MLX is not installed; install it"


@pytest.mark.skipif(device.backend() != "cpu" or sys.platform == "darwin", reason="of Linux CPUs")
def test_a_slow_blas_is_a_warning_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_status", blas.BlasStatus(None, "pip install 'bonsai-mlx[cpu]'"))
    check = doctor.linux_blas()
    assert level_of(check) == "warning"
    assert check
    assert "bonsai-mlx[cpu]" in check.remedy
    assert doctor.is_ready([check])


def test_little_memory_and_disk_are_warnings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_LOW_DISK_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "_LOW_MEMORY_BYTES", 1 << 60)
    assert level_of(doctor.disk(tmp_path)) == "warning"
    assert level_of(doctor.memory()) == "warning"


def test_the_disk_of_a_cache_that_does_not_exist_yet_is_looked_at(tmp_path: Path) -> None:
    assert doctor._existing(tmp_path / "not" / "yet") == tmp_path


def test_an_intel_mac_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "_chip", lambda: "Intel")
    assert level_of(doctor.machine()) == "problem"


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        (hub.LocalStatus("absent", None, 0, 10**9), "ok", "not downloaded (1.00 GB: bonsai-mlx download ternary)"),
        (hub.LocalStatus("partial", None, 10**8, 10**9, ("x is missing",)), "warning", "100.0 MB of 1.00 GB"),
        (hub.LocalStatus("damaged", Path("/x"), 5, 10, ("x has 5 bytes instead of 10",)), "problem", "5 bytes instead"),
    ],
)
def test_checkpoints(monkeypatch: pytest.MonkeyPatch, status: hub.LocalStatus, level: str, words: str) -> None:
    monkeypatch.setattr(hub, "status", lambda *_: status)
    check = doctor.checkpoint(ENTRY)
    assert level_of(check) == level
    assert words in check.detail
    if check.remedy:
        assert "bonsai-mlx download ternary" in check.remedy


def test_a_checkpoint_is_opened_not_only_counted(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint"))
    monkeypatch.setattr(hub, "status", lambda *_: hub.LocalStatus("ready", folder, 10, 10))
    assert level_of(doctor.checkpoint(ENTRY)) == "ok"
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels"', '"latent_canals"'))
    check = doctor.checkpoint(ENTRY)
    assert level_of(check) == "problem"
    assert "latent_channels" in check.detail
    assert check.remedy == "repair it with: bonsai-mlx download ternary"
    assert "\n" not in doctor.verdict([check])


def test_a_damaged_seedling_asks_for_a_new_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "status", lambda *_: hub.LocalStatus("partial", Path("/x"), 5, 5, ("x is missing",)))
    check = doctor.checkpoint(catalog.lookup("seedling-binary"))
    assert level_of(check) == "problem"
    assert "reinstall bonsai-mlx" in check.remedy
