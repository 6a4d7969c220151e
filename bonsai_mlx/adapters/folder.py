"""The folder with the user's adapters: what it holds, and which file a name means.

A name from a request is compared with the names in the folder and never made into a path.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..bounds import Lora
from ..errors import RequestError
from ..runtime.environment import text
from ..runtime.extras import checkout
from ..wording import user_path
from .file import SUFFIX, AdapterError, AdapterFile, is_peft_folder, name_of, peft_file

_MOST_FILES = 2_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in the folder."""

    name: str
    path: Path


def default_folder() -> Path:
    """BONSAI_LORAS, else `loras` beside the sources in a checkout, else a folder in the user's home."""
    if named := text("BONSAI_LORAS"):
        return user_path(named)
    if sources := checkout():
        return sources / "loras"
    return user_path("~/bonsai-loras")


def listed(folder: Path) -> list[Listed]:
    """The adapters in the folder and in folders in it, by name. Of two with one name, the outer, first one counts."""
    found: dict[str, Path] = {}
    for path in _files(folder):
        found.setdefault(name_of(path), path)
    return [Listed(name, path) for name, path in sorted(found.items(), key=lambda item: item[0].casefold())]


def _files(folder: Path) -> Iterator[Path]:
    """Outer ones first. A folder that cannot be read holds nothing."""
    try:
        entries = sorted(folder.iterdir())[:_MOST_FILES]
    except OSError:
        return
    yield from (path for path in entries if _is_adapter(path))
    for inner in entries:
        if inner.name.startswith(".") or not inner.is_dir():
            continue
        if is_peft_folder(inner):
            yield peft_file(inner)
            continue
        try:
            yield from (path for path in sorted(inner.iterdir())[:_MOST_FILES] if _is_adapter(path))
        except OSError:
            continue


def _is_adapter(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and not path.name.startswith(".") and path.is_file()


def named(name: str, folder: Path) -> Path:
    """The file in the folder that is called so, with or without its suffix. RequestError with what there is."""
    files = listed(folder)
    wanted = name.strip().casefold()
    for one in files:
        if wanted in (one.name.casefold(), one.path.name.casefold()):
            return one.path
    names = [one.name for one in files]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]}?" if near else f"there are {_some(names)}" if names else "the folder has none"
    raise RequestError("loras", f"there is no adapter called {name[:80]!r} here; {remedy}")


def _no_file(name: str, folder: Path) -> str:
    """For whoever may name any file, and sees where the others are looked for."""
    near = difflib.get_close_matches(name, [one.path.name for one in listed(folder)], n=1, cutoff=0.6)
    remedy = f"; did you mean {near[0]}?" if near else ""
    return f"there is no file {name[:80]!r} here, and none of that name in {folder}{remedy}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def found(lora: Lora, folder: Path, *, paths: bool) -> AdapterFile:
    """The adapter that a request means, opened. With `paths` a name may be that of any file.

    A request that was made before says by a digest which file it was; where a file of that name has another one, it is
    looked for under other names. RequestError, AdapterError.
    """
    try:
        file = AdapterFile.open((_direct(lora.name) if paths else None) or named(lora.name, folder))
    except RequestError:
        renamed = _with_digest(lora.sha256, folder) if lora.sha256 else None
        if renamed is None and paths and Path(lora.name).suffix:
            raise RequestError("loras", _no_file(lora.name, folder)) from None
        if renamed is None:
            raise
        return renamed
    if lora.sha256 and file.verified() != lora.sha256:
        renamed = _with_digest(lora.sha256, folder)
        if renamed is None:
            raise RequestError(
                "loras",
                f"{lora.name} is another file than the one that was used ({lora.sha256[:12]}...); "
                "get that one, or leave its digest out",
            )
        return renamed
    return file


def _direct(name: str) -> Path | None:
    """The file that a path leads to; None for what is no path. AdapterError for a path that leads to none."""
    path = user_path(name)
    if is_peft_folder(path):
        return peft_file(path)
    if path.is_file():
        return path
    if os.sep in name and path.is_dir():
        raise AdapterError(f"{path}: the folder has no {peft_file(path).name}; give the adapter's file")
    if os.sep in name:
        raise AdapterError(f"{path}: there is no such file")
    return None


def _with_digest(digest: str, folder: Path) -> AdapterFile | None:
    for one in listed(folder):
        try:
            file = AdapterFile.open(one.path)
            if file.verified() == digest:
                return file
        except AdapterError:  # what cannot be used is not what was used
            continue
    return None
