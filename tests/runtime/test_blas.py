"""The fast BLAS for Linux CPUs: what is in force depends on import order, so each case has a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.runtime import blas

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS has Accelerate")

STATUS = (
    "import json; from bonsai_mlx.runtime import blas; "
    "s = blas.preload_fast_blas(); print(json.dumps([s.library, s.remedy]))"
)
LOADED = (  # by now, without loading anything
    "import json; from bonsai_mlx.runtime import blas; s = blas._status; print(json.dumps([s.library, s.remedy]))"
)
_SETUP = (Path(__file__).parents[2] / "scripts/setup").read_text("utf-8")
SPEED = _SETUP.split("matmul_gflops() {", 1)[1].split("<<'PY'\n", 1)[1].split("\nPY\n", 1)[0]
# Whether a product of MLX is, bit for bit, what the library itself gives: another one adds up in another order.
COMPUTED_BY = """
import ctypes, json
from bonsai_mlx import Pipeline
import mlx.core as mx, numpy as np
a, b = (np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed, shape in enumerate(SHAPES))
expected = np.empty((a.shape[0], b.shape[1]), dtype=np.float32)
pointer, number, scale = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
sgemm = ctypes.CDLL(LIBRARY).cblas_sgemm
sgemm.argtypes = [number] * 6 + [scale, pointer, number, pointer, number, scale, pointer, number]
rows, inner = a.shape
columns, row_major, as_it_is = b.shape[1], 101, 111
sgemm(row_major, as_it_is, as_it_is, rows, columns, inner, 1.0, a.ctypes.data, inner, b.ctypes.data, columns, 0.0,
      expected.ctypes.data, columns)
print(json.dumps(bool(np.array_equal(np.array(mx.array(a) @ mx.array(b)), expected))))
"""


def python(code: str, **environment: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    inherited = {name: value for name, value in os.environ.items() if name != "BONSAI_BLAS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=inherited | environment
    )
    return json.loads(done.stdout.splitlines()[-1])


LIBRARY = blas.preload_fast_blas().library or ""
needs_library = pytest.mark.skipif(not LIBRARY, reason="no fast BLAS is installed that runs on this processor")
WHEELS = [library for library in blas._candidates() if "cmeel" in library]


@needs_library
@pytest.mark.parametrize(
    "first",
    [
        "from bonsai_mlx import Pipeline",
        "import bonsai_mlx; bonsai_mlx.Pipeline",
        "import bonsai_mlx; bonsai_mlx.prepare()",
        "from bonsai_mlx.cli.main import main; main(['models', '--json'])",
        "from server.engine.backend import mlx_backend; mlx_backend()",
        pytest.param(SPEED.replace("1024", "64"), id="the speed that scripts/setup tells"),
    ],
)
def test_it_is_in_force_however_the_engine_is_reached(first: str) -> None:
    library, remedy = python(f"{first}\n{LOADED}")
    assert library
    assert remedy == ""


@needs_library
@pytest.mark.parametrize(("choice", "by_the_library"), [("", True), ("none", False)])
def test_products_are_computed_by_it(choice: str, by_the_library: bool) -> None:
    """How much faster that is on a machine is what scripts/bench_blas.py tells."""
    code = COMPUTED_BY.replace("LIBRARY", repr(LIBRARY)).replace("SHAPES", "[(96, 1024), (1024, 160)]")
    assert python(code, BONSAI_BLAS=choice, OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1") is by_the_library


def test_a_late_import_is_noticed() -> None:
    library, remedy = python(f"import mlx.core; {STATUS}")
    assert library is None
    assert "call bonsai_mlx.prepare(), before that" in remedy


@needs_library
def test_a_pipeline_that_comes_too_late_says_so() -> None:
    code = """
import json, warnings
import bonsai_mlx.pipeline
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    bonsai_mlx.Pipeline.from_pretrained("seedling")
print(json.dumps([str(warning.message) for warning in told]))
"""
    [warning] = python(code)
    assert "call bonsai_mlx.prepare(), before that" in warning


def test_it_can_be_switched_off() -> None:
    library, remedy = python(STATUS, BONSAI_BLAS="none")
    assert library is None
    assert "BONSAI_BLAS" in remedy


def test_a_library_that_cannot_be_loaded_is_named_beside_the_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"not a library")
    library, remedy = python(STATUS, BONSAI_BLAS=str(broken))
    assert library is None
    assert "scripts/setup --force" in remedy
    assert "libbroken.so" in remedy


@needs_library
def test_one_can_be_chosen() -> None:
    assert python(STATUS, BONSAI_BLAS=LIBRARY) == [LIBRARY, ""]


@pytest.mark.parametrize(
    ("config", "core", "needed"),
    [
        (b"OpenBLAS 0.3.31 NO_AFFINITY SKYLAKEX MAX_THREADS=4", b"SKYLAKEX", "avx512vl"),
        (b"OpenBLAS 0.3.29 NO_AFFINITY SkylakeX MAX_THREADS=4", b"SkylakeX", "avx512vl"),
        (b"OpenBLAS 0.3.31 NO_AFFINITY HASWELL MAX_THREADS=64", b"Haswell", "avx2"),
        (b"OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64", b"SkylakeX", None),
        (b"OpenBLAS 0.3.31 NO_AFFINITY NEHALEM MAX_THREADS=64", b"Nehalem", None),
        (b"OpenBLAS 0.3.31 NEOVERSEV1 MAX_THREADS=4", b"neoversev1", "sve"),
    ],
)
def test_what_a_build_needs_of_the_processor(config: bytes, core: bytes, needed: str | None) -> None:
    class Library:
        openblas_get_config = staticmethod(lambda: config)
        openblas_get_corename = staticmethod(lambda: core)

    found = blas._instructions_needed(Library())  # type: ignore[arg-type]
    assert (needed in found) if needed else found == set()


def test_a_library_without_a_core_of_its_own_runs_anywhere() -> None:
    assert blas._instructions_needed(object()) == set()  # type: ignore[arg-type]


@pytest.mark.skipif(not WHEELS or platform.machine() != "x86_64", reason="the wheel for x86-64 is not installed")
def test_what_this_processor_cannot_run_is_passed_over() -> None:
    """Else the first product ends the process: "Illegal instruction"."""
    code = f"from bonsai_mlx.runtime import blas; blas._instructions_here = lambda: {{'fpu', 'sse2'}}; {STATUS}"
    library, remedy = python(code, BONSAI_BLAS=WHEELS[0])
    assert library is None
    assert "needs a processor with" in remedy
    assert "libopenblas0" in remedy
    # Nothing of it stays, so that the system's, whose name within it is the same, can be found.
    gone = f"{code}; print(json.dumps({WHEELS[0]!r} in open('/proc/self/maps').read()))"
    assert python(gone, BONSAI_BLAS=WHEELS[0]) is False


def test_macos_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert blas._preload() == blas.BlasStatus(library=None, remedy="")


@needs_library
def test_threads_are_limited_for_a_while_even_if_something_fails() -> None:
    code = """
import json
from bonsai_mlx.runtime import blas
blas.preload_fast_blas()
seen = [blas.threads()]
try:
    with blas.single_threaded():
        seen.append(blas.threads())
        raise KeyError
except KeyError:
    seen.append(blas.threads())
print(json.dumps(seen))
"""
    assert python(code, OPENBLAS_NUM_THREADS="2") == [2, 1, 2]


def test_without_a_library_there_is_one_thread() -> None:
    assert python("from bonsai_mlx.runtime import blas; print(blas.threads())", BONSAI_BLAS="none") == 1
