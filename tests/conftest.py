"""Checkpoints that tests share: the embedded seedlings, and tiny random ones made on demand."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before anything loads a BLAS: of several processes that compute at once, each with threads for all cores, most of the
# time would be spent waiting for each other. What needs several threads sets their number itself.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import certifi
import pytest
from hypothesis import HealthCheck, settings

import bonsai_mlx
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.runtime import blas

bonsai_mlx.prepare()  # before a test imports MLX

VARIANTS = ("ternary", "binary")

# A shared or busy machine is slow now and then, which says nothing about the code; time is measured where it matters.
settings.register_profile("bonsai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bonsai")

# A shell has its background processes ignore these, and so would every program that a test starts and stops.
for number, action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, action)


# Nobody's own styles are read or changed by a test.
os.environ["BONSAI_STYLES_FILE"] = str(Path(tempfile.gettempdir()) / f"bonsai-tests-{os.getpid()}" / "styles.json")
os.environ["BONSAI_PIPELINES_DIR"] = str(Path(os.environ["BONSAI_STYLES_FILE"]).with_name("pipelines"))

# What users are told to type does not depend on how the tests were started (see bonsai_mlx.wording).
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


# Each client of HTTP would read the certificates of all authorities, for 50 ms; next to none of them asks with TLS.
_AUTHORITIES = {certifi.where(), os.environ.get("SSL_CERT_FILE")}
_context = ssl.create_default_context
_context_once = functools.cache(_context)


def _create_default_context(*arguments: Any, **named: Any) -> ssl.SSLContext:
    usual = not arguments and named.keys() == {"cafile"} and named["cafile"] in _AUTHORITIES
    return (_context_once if usual else _context)(*arguments, **named)


ssl.create_default_context = _create_default_context

_SLOW, _STRESS = 10, 100  # so many times as long as others, about
_TOGETHER = ("stress", "seedling")


def group_of(path: str) -> str:
    """What one worker does alone: a file, which may have costly things in common, or a folder.

    Cases of load and chaos would disturb each other.
    """
    _, *folders = Path(path).parts
    return next((name for name in folders if name in _TOGETHER), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Workers share the tests by `group_of`, in their order. The mark for that is not seen with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Load, chaos and the training of a model take their time. The longest come first: none waits for the other at
    last. But training speeds up torch's models by changing diffusers: what is compared with it comes before.
    """
    longest: Counter[str] = Counter()
    groups: dict[pytest.Item, str] = {}
    for item in items:
        groups[item] = group = group_of(str(item.path.relative_to(Path(__file__).parents[1])))
        if group in _TOGETHER:
            item.add_marker("slow")
        longest[group] += _STRESS if group == "stress" else _SLOW if item.get_closest_marker("slow") else 1
    if not any("browser" in item.path.parts for item in items):  # there files share a site, in the order of their names
        items.sort(key=lambda item: ("parity" not in item.path.parts, -longest[groups[item]], groups[item]))


def pytest_collection_finish() -> None:
    """What is there now stays. To look through it takes a seventh of a second, which many tests ask for."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Runs a test once for each variant."""
    return str(request.param)


@pytest.fixture
def seedling(variant: str) -> Path:
    """The embedded checkpoint of each variant in turn."""
    return Path(bonsai_mlx.__file__).parent / "seedling" / variant


@pytest.fixture
def two_threads() -> Iterator[None]:
    """The BLAS has two threads, where it can be told, and so blocks are computed in two shares at once."""
    before = blas.threads()
    blas.limit_threads(2)
    yield
    blas.limit_threads(before)


@pytest.fixture
def held_by_others() -> int:
    """Bytes that earlier tests have left in MLX: a peak counts them. Ask for it before what the test measures."""
    import mlx.core as mx

    gc.collect()
    return mx.get_active_memory()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function of make_checkpoint's arguments, without `out`; equal ones share a folder, so do not write into it."""
    made: dict[str, Path] = {}

    def tiny(variant: str = "ternary", seed: int = 0, **overrides: Any) -> Path:
        key = repr((variant, seed, sorted(overrides.items())))
        if key not in made:
            made[key] = make_checkpoint(tmp_path_factory.mktemp("tiny"), "tiny", variant, seed, **overrides)
        return made[key]

    return tiny


@pytest.fixture
def folder(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint that the test may damage."""
    return Path(shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint"))
