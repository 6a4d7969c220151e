"""Importing a module changes nothing in the process; `prepare` does what MLX needs, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a process is, as far as an import could change it. A tensor library's own products come from the first
# `cblas_sgemm` that is visible to all; a function that MLX compiles is traced once.
STATE = """
import ctypes, gc, json, locale, os, signal, socket, sys, threading, warnings

def state():
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "threads": threading.active_count(),
        "niceness": os.nice(0),
        "blas": hasattr(ctypes.CDLL(None), "cblas_sgemm"),
        "warnings": list(map(str, warnings.filters)),
        "hooks": [str(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook)],
        "timeout": socket.getdefaulttimeout(),
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": [str(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "gc": (gc.isenabled(), gc.get_threshold()),
    }
"""
COMPARED = (
    STATE
    + """
import importlib
MODULES = json.loads(sys.argv[1])
FOREIGN = json.loads(sys.argv[2])
for name in FOREIGN:  # what other libraries do is not ours
    importlib.import_module(name)
before = state()
for name in MODULES:
    importlib.import_module(name)
after = state()
import mlx.core as mx
traced = []
compiled = mx.compile(lambda x: traced.append(1) or x)
compiled(mx.ones(1)), compiled(mx.ones(1))
changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
print(json.dumps([changed, len(traced)]))
"""
)
FOREIGN = [
    "fastapi",
    "huggingface_hub",
    "httpx2",
    "mlx.nn",
    "numpy",
    "PIL.Image",
    "pydantic_settings",
    "tokenizers",
    "uvicorn",
]


def modules(package: str) -> list[str]:
    """Every module of a package, by its name."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / package).rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths if "seedling" not in path.parts}
    return sorted(names - {"server.mcp"})  # it ends where the mcp package is absent


def python(code: str, *arguments: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("package", ["bonsai_mlx", "server"])
def test_importing_every_module_changes_nothing(package: str) -> None:
    names = modules(package)
    assert len(names) > 20
    changed, traced = python(COMPARED, json.dumps(names), json.dumps(FOREIGN))
    assert changed == {}
    assert traced == 1  # compiling is not switched off for others


@pytest.mark.parametrize(
    "name", ["bonsai_mlx", "bonsai_mlx.request", "bonsai_mlx.hub.catalog", "bonsai_mlx.images.metadata"]
)
def test_what_needs_no_tensors_loads_none(name: str) -> None:
    code = f"{STATE}before = state(); import {name}"
    assert python(f"{code}; print(json.dumps([before == state(), 'mlx.core' in sys.modules]))") == [True, False]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS has Accelerate")
def test_preparing_twice_is_preparing_once() -> None:
    code = f"{STATE}from bonsai_mlx import prepare; prepare(); once = state(); prepare()"
    assert python(f"{code}; print(json.dumps(once == state()))") is True
