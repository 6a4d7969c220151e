"""`bonsai-mlx doctor`: is everything here that a picture needs, does the device compute correctly, what can be done.

Every check is one line; the last line is the verdict. A problem means that pictures cannot be made, or would be wrong;
a warning, that they can but something is worse than it could be. Both name the remedy.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from ..errors import CheckpointError
from ..flux2.checkpoint import Checkpoint
from ..hub import api as hub
from ..hub.entry import Entry
from ..hub.published import CATALOG
from ..printable import printable
from ..runtime import blas
from ..runtime.environment import hub_constants
from ..runtime.extras import install_command
from ..version import __version__
from ..wording import command, format_bytes

Level = Literal["ok", "warning", "problem"]
MINIMUM_MLX = (0, 32, 4)  # the first release with 1-bit kernels
_LOW_DISK_BYTES, _LOW_MEMORY_BYTES = 500_000_000, 1_500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` says what to do unless it is ok."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


def doctor_command(*, as_json: bool = False) -> int:
    """Print the checks as they are done, then the verdict. Returns 0 for ready, 1 for not ready."""
    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _write(_line(check))
    if as_json:
        rows = [asdict(check) for check in checks]
        _write(json.dumps({"ready": is_ready(checks), "verdict": verdict(checks), "checks": rows}, indent=2))
    else:
        _write(f"\n{printable(verdict(checks))}")
    return 0 if is_ready(checks) else 1


def examine() -> Iterator[Check]:
    yield machine()
    yield python()
    yield memory()
    yield disk(_existing(Path(hub_constants().HF_HUB_CACHE)))
    mlx = mlx_version()
    yield mlx
    if mlx.level != "problem":
        yield backend()
        if fast_blas := linux_blas():
            yield fast_blas
        yield from self_test()
    for entry in CATALOG:
        yield checkpoint(entry)


def is_ready(checks: Iterable[Check]) -> bool:
    return all(check.level != "problem" for check in checks)


def verdict(checks: Iterable[Check]) -> str:
    """One plain line: "Ready." or the first problem with its remedy."""
    problem = next((check for check in checks if check.level == "problem"), None)
    return "Ready." if problem is None else f"Not ready: {problem.name}: {problem.detail}; {problem.remedy}"


def machine() -> Check:
    system = (
        f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else f"{platform.system()} {platform.release()}"
    )
    detail = f"{_chip()}, {os.cpu_count()} cores, {format_bytes(psutil.virtual_memory().total)} memory, {system}"
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        remedy = "use an Apple Silicon Mac, with a Python built for arm64"
        return Check("machine", "problem", f"{detail}; MLX needs arm64 and this Python is x86_64", remedy)
    return Check("machine", "ok", detail)


def _chip() -> str:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _sysctl(name: str) -> str:
    done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def python() -> Check:
    detail = f"{platform.python_version()} ({sys.executable}), bonsai-mlx {__version__}"
    return Check("python", "ok", detail)


def memory() -> Check:
    virtual, swap = psutil.virtual_memory(), psutil.swap_memory()
    detail = f"{format_bytes(virtual.available)} available, {format_bytes(swap.used)} of swap in use"
    if virtual.available < _LOW_MEMORY_BYTES:
        return Check("memory", "warning", detail, "close other programs, or use --memory-limit 1GB")
    return Check("memory", "ok", detail)


def disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    detail = f"{format_bytes(free)} free where checkpoints are kept ({hub_constants().HF_HUB_CACHE})"
    if free < _LOW_DISK_BYTES:
        return Check("disk", "warning", detail, "make room, or set HF_HOME to a folder on another disk")
    return Check("disk", "ok", detail)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def mlx_version() -> Check:
    try:
        version = importlib.metadata.version("mlx")
        import mlx.core
    except importlib.metadata.PackageNotFoundError:
        return Check("mlx", "problem", "MLX is not installed", _install())
    except ImportError as error:
        return Check("mlx", "problem", f"MLX {version} cannot be loaded ({error})", _install("--force-reinstall"))
    if _numbers(mlx.core.__version__) < MINIMUM_MLX:
        return Check("mlx", "problem", f"MLX {version} has no 1-bit kernels", _install("--upgrade"))
    return Check("mlx", "ok", f"MLX {version}")


def _install(*options: str) -> str:
    package = "mlx>=0.32.4" if sys.platform == "darwin" else "mlx[cpu]>=0.32.4"
    return " ".join([command("pip"), "install", *options, f"'{package}'"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdecimal())


def backend() -> Check:
    from ..runtime import device

    about = device.details()
    detail = {"metal": "Metal", "cuda": "CUDA", "cpu": "CPU"}[about["backend"]]
    if about["backend"] != "cpu":
        detail += f" on {about['chip']}, activations in bfloat16"
    if about["working_set_bytes"]:
        detail += f", {format_bytes(about['working_set_bytes'])} recommended at most"
    if about["backend"] == "cpu" and sys.platform == "darwin":
        return Check("backend", "warning", f"{detail}: Metal is not available", "run outside a virtual machine")
    if about["backend"] == "cpu" and shutil.which("nvidia-smi"):
        return Check("backend", "warning", f"{detail}, though there is an NVIDIA GPU", install_command("cuda"))
    return Check("backend", "ok", detail)


def linux_blas() -> Check | None:
    """The library behind float32 products on a Linux CPU; None where it does not matter."""
    from ..runtime import device

    if device.backend() != "cpu" or not sys.platform.startswith("linux"):
        return None
    status = blas.preload_fast_blas()
    if status.library:
        return Check("blas", "ok", f"fast: {status.library}")
    return Check("blas", "warning", "MLX's own, about 100 times slower than need be", status.remedy)


def self_test() -> Iterator[Check]:
    from . import selftest

    for product in selftest.run():
        yield product_check(product)


def product_check(product: Any) -> Check:
    if product.ok:
        return Check("self-test", "ok", f"{product.name} is right ({product.elapsed_s:.2f} s)")
    fault = product.failure or f"is WRONG: off by {product.error:.2g} times the size of the result"
    remedy = product.remedy or f"{_install('--force-reinstall')}, or install another version"
    remedy = f"this MLX computes wrongly here, and so would every picture; {remedy}"
    return Check("self-test", "problem", f"{product.name} {fault}", remedy)


def checkpoint(entry: Entry) -> Check:
    local = hub.status(entry)
    name = f"checkpoint {entry.name}"
    if local.state == "absent":
        return Check(name, "ok", f"not downloaded ({format_bytes(local.bytes_total)}: {hub.remedy(entry)})")
    if local.state == "partial" and not entry.embedded:
        share = f"{format_bytes(local.bytes_present)} of {format_bytes(local.bytes_total)}"
        return Check(name, "warning", f"incomplete, {share}", f"finish it with: {hub.remedy(entry)}")
    if local.state == "ready" and local.path:
        return _opened(name, entry, local.path, format_bytes(local.bytes_total))
    return Check(name, "problem", f"damaged: {local.problems[0]}", f"repair it with: {hub.remedy(entry)}")


def _opened(name: str, entry: Entry, folder: Path, size: str) -> Check:
    try:
        Checkpoint.open(folder, repair=f"repair it with: {hub.remedy(entry)}")
    except CheckpointError as error:
        detail, _, remedy = str(error).rpartition("; ")
        return Check(name, "problem", detail, remedy)
    return Check(name, "ok", f"complete, {size}, {folder}")


def _line(check: Check) -> str:
    mark = {"ok": "  ok  ", "warning": " warn ", "problem": " FAIL "}[check.level]
    remedy = f"\n       {printable(check.remedy)}" if check.remedy else ""
    return f"{mark} {check.name}: {printable(check.detail)}{remedy}"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
