"""Checkpoints: which there are, where they lie, how they get there and go again.

    from bonsai_mlx import hub

    for progress in hub.download("ternary"):  # stop iterating to pause; the same call goes on from there
        print(progress.file, progress.bytes_done, progress.bytes_total)
    folder = hub.find("ternary")

Every function takes a catalog entry, its name, or a Hub repository written owner/name. Importing this package loads
nothing: what its functions need comes with the first one that is asked for, the network's libraries with `download`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import LocalStatus, delete, download, find, status, verify
    from .progress import DownloadProgress

__all__ = ["DownloadProgress", "LocalStatus", "delete", "download", "find", "status", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
