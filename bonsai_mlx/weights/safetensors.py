"""Safetensors files that anybody may have written: their headers, checked before anything is made of them.

MLX's own reader accepts shapes and offsets that crash it, so a header is checked twice: by the `safetensors` library
(offsets, sizes, the whole file covered) and here, for what the format forbids and that library lets pass.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..fileio import open_regular

MAX_HEADER_BYTES = 1 << 20  # of a checkpoint's component: the published ones have 0.2 MB
# What people have in place of such a file, by how it begins.
_OTHERS = {
    (b"<!", b"<h", b"<H"): "it is a web page, such as one that asks to sign in",
    (b'{"',): "it is a text in JSON, such as a site's answer that something went wrong",
    (b"version ",): "it is the note that Git LFS leaves in place of a file, not the file",
    (b"GGUF",): "it is a GGUF file; let its name end in .gguf",
    (b"PK\3\4",): "it is an archive, as PyTorch writes it",
    (b"\x89PNG", b"\xff\xd8\xff", b"RIFF"): "it is a picture",
}

_IN_WORDS = {"incomplete metadata, file not fully covered": "its end is missing, or something follows it"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor in a file: its type in safetensors' own spelling, its shape, and where its bytes are."""

    dtype: str
    shape: tuple[int, ...]
    start: int  # of the file
    stop: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file says that it holds."""

    tensors: Mapping[str, Stored]
    notes: Mapping[str, str]  # the header's metadata


def read_header(path: Path, *, limit_bytes: int = MAX_HEADER_BYTES) -> tuple[int, dict[str, Any]]:
    """Where the tensor data starts, and the parsed header. ValueError, OSError.

    Refuses what the format forbids and the safetensors library lets pass: a name that occurs twice (it keeps the last,
    and MLX promises nothing), other space than the padding, metadata of another kind.
    """
    with open_regular(path, follow_symlinks=True) as file:
        length = file.read(8)
        size = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
        if not 2 <= size <= min(limit_bytes, os.fstat(file.fileno()).st_size):
            raise ValueError(instead(length))
        text = file.read(size)
    if not (text.startswith(b"{") and text.rstrip(b" ").endswith(b"}")):
        raise ValueError("the header is not a JSON object with nothing but spaces behind it")
    header = json.loads(text, object_pairs_hook=_unique_pairs)
    if header.get("__metadata__", {}) is None:  # as MLX writes it where there are no notes
        del header["__metadata__"]
    notes = header.get("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise ValueError("the header's metadata is not a map of strings")
    return 8 + size, header


def read_contents(path: Path, *, limit_bytes: int = MAX_HEADER_BYTES) -> Contents:
    """What a whole file holds. ValueError for one that is not whole, or no such file; OSError."""
    try:
        start, header = read_header(path, limit_bytes=limit_bytes)
        with safe_open(str(path), "np") as file:
            file.keys()
    except (SafetensorError, RecursionError) as error:
        said = str(error).removeprefix("Error while deserializing header: ")
        raise ValueError(_IN_WORDS.get(said, said)) from error
    notes = header.pop("__metadata__", {})
    tensors = {
        name: Stored(entry["dtype"], tuple(entry["shape"]), *(start + offset for offset in entry["data_offsets"]))
        for name, entry in header.items()
    }
    return Contents(tensors, notes)


def instead(start: bytes, otherwise: str = "the header's length is impossible") -> str:
    """What a file is that does not begin as it should: its first bytes, eight at least."""
    if not start:
        return "it is empty"
    found = (said for marks, said in _OTHERS.items() if start.startswith(marks))
    return next(found, otherwise)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError("the header names a tensor twice")
    return dict(pairs)
