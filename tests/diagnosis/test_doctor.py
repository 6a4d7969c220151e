"""The doctor: that it finds what is wrong, above all a device that multiplies wrongly, and says what to do."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from huggingface_hub import constants

from bonsai_mlx.cli import main as cli
from bonsai_mlx.diagnosis import doctor, selftest
from bonsai_mlx.diagnosis.doctor import Check
from bonsai_mlx.diagnosis.selftest import Product
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog
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
