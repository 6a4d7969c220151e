"""What tests fetch once and keep under .cache. Several workers ask for the same at once, and a fetch may be cut short:
so only one of them fetches, into a folder of its own, which becomes the kept one when it is complete."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder `name` under .cache, as `fetch` filled it. What `fetch` raises is raised, and nothing is kept."""
    kept = CACHE / name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / f"{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            partial = kept.with_name(f"{kept.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            fetch(partial)
            partial.rename(kept)
    return kept
