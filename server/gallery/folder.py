"""Which files in the folder of the pictures are pictures, under which ids, found by content and not by name.

A file that this program has drawn is named by its id. Any other PNG, JPEG or WebP, renamed, copied in or drawn by the
command line, has the beginning of its content's digest as its id, and keeps its own name. Opens files, decodes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bonsai_mlx.fileio import open_regular
from bonsai_mlx.images.scan import MAX_FILE_BYTES, PNG_SIGNATURE

ID = re.compile(r"[0-9a-f]{32}")
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_NAMED_BY_ID = re.compile(rf"({ID.pattern})\.(png|jpe?g|webp)")
_WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
_SNIFFED_BYTES = 12


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was looked at; `id` is None for one that is no readable picture."""

    name: str
    id: str | None
    size_bytes: int
    mtime_ns: int
    inode: int

    def is_unchanged(self, status: os.stat_result) -> bool:
        return (self.size_bytes, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


def scan(folder: Path, known: Mapping[str, File]) -> list[File]:
    """Every visible regular file of a folder, symbolic links left out. Blocks.

    What is in `known`, by name, and has not changed since keeps its id, also under a new name. Of several files that
    would have one id, the others get ids of their own.
    """
    present = dict(sorted(_regular_files(folder), key=_named_by_id_first))
    renamed = {_place(file): file.id for name, file in known.items() if name not in present and file.id}
    found: dict[str, File] = {}
    files = []
    for name, status in present.items():
        image_id = _id_of(folder / name, status, known.get(name), renamed)
        if image_id in found:
            image_id = _digest(f"{image_id}/".encode() + os.fsencode(name))
        file = File(name, image_id, status.st_size, status.st_mtime_ns, status.st_ino)
        files.append(file)
        if image_id is not None:
            found[image_id] = file
    return files


def scan_trash(folder: Path) -> dict[str, Path]:
    """The deleted pictures by their ids, by which all files there are named. Blocks."""
    named = ((named_by_id(name), folder / name) for name, _ in _regular_files(folder))
    return {image_id: path for image_id, path in named if image_id is not None}


def named_by_id(name: str) -> str | None:
    match = _NAMED_BY_ID.fullmatch(name)
    return match[1] if match else None


def _regular_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False)


def _named_by_id_first(found: tuple[str, os.stat_result]) -> tuple[bool, bool, str]:
    name = found[0]
    return named_by_id(name) is None, not name.endswith(".png"), name


def _place(file: File) -> tuple[int, int, int]:
    return file.inode, file.size_bytes, file.mtime_ns


def _id_of(
    path: Path, status: os.stat_result, before: File | None, renamed: dict[tuple[int, int, int], str]
) -> str | None:
    if before is not None and before.is_unchanged(status):
        return before.id
    kept = named_by_id(path.name) or renamed.pop((status.st_ino, status.st_size, status.st_mtime_ns), None)
    return kept or _digest_of_picture(path)


def _digest_of_picture(path: Path) -> str | None:
    """None for what cannot be read, is too large, or does not begin as a PNG, JPEG or WebP."""
    try:
        with open_regular(path) as file:
            start = file.read(_SNIFFED_BYTES)
            known = start.startswith((PNG_SIGNATURE, b"\xff\xd8\xff")) or _WEBP.match(start)
            if not known or file.seek(0, os.SEEK_END) > MAX_FILE_BYTES:
                return None
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
