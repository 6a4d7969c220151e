"""The file of an adapter: a safetensors file that anybody may have written.

Opening it reads the header alone. Before its values are used the whole file is read once (`verified`): for its digest,
by which recipes name it, and for values that are no numbers. Nothing here imports MLX.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import BonsaiError
from ..fileio import open_regular, read_bounded
from ..weights.safetensors import Stored, read_contents
from ..wording import fault_of

SUFFIX = ".safetensors"
MAX_HEADER_BYTES = 8 << 20  # kohya's scripts put the tags of all training pictures there
MAX_FILE_BYTES = 4 << 30
_MAX_CONFIG_BYTES = 256 << 10
_PEFT_FILE, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_UNSAFE = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
# Bits of the exponent, all of which are set in what is no finite number, and a type of the same size.
_EXPONENTS: dict[str, tuple[np.dtype[Any], int]] = {
    "BF16": (np.dtype("<u2"), 0x7F80),
    "F16": (np.dtype("<u2"), 0x7C00),
    "F32": (np.dtype("<u4"), 0x7F800000),
}
_PIECE_BYTES = 8 << 20


class AdapterError(BonsaiError):
    """A file is no adapter that can be used, or not for this model; the message names the file and says what it is."""


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A whole safetensors file that calls itself an adapter, whatever it is for."""

    path: Path
    name: str  # as people and recipes call it: without folder and suffix
    tensors: Mapping[str, Stored]
    notes: Mapping[str, str]
    config: Mapping[str, Any]  # what PEFT says of it, beside the tensors: alpha, r and others; empty if nothing
    stamp: tuple[int, int, int, int]  # of the file when it was opened

    @classmethod
    def open(cls, path: Path) -> AdapterFile:
        """Read and check the header. AdapterError; links are followed, as in a folder of links to one's files."""
        if path.suffix.lower() in _UNSAFE:
            raise AdapterError(
                f"{path.name}: files of this type can carry code and are never read; get the adapter as {SUFFIX}"
            )
        try:
            stamp = _stamp(path)
            if stamp[2] > MAX_FILE_BYTES:
                raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 30} GiB")
            contents = read_contents(path, limit_bytes=MAX_HEADER_BYTES)
        except FileNotFoundError:
            raise AdapterError(f"{path}: there is no such file") from None
        except (ValueError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise AdapterError(f"{path.name}: not a whole safetensors file ({said}); get it again") from error
        return cls(path, name_of(path), contents.tensors, contents.notes, _config(path, contents.notes), stamp)

    def verified(self) -> str:
        """The SHA-256 of the whole file, in hexadecimal, once all values are known to be finite. AdapterError."""
        digest, fault = _digest_and_fault(self.path, self.stamp, tuple(self.tensors.items()))
        if fault:
            raise AdapterError(f"{self.path.name}: {fault}; the file is damaged, or its training went wrong")
        return digest

    def read(self, key: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The values of a tensor. AdapterError if the file has changed since it was opened."""
        stored = self.tensors[key]
        with self._opened() as file:
            file.seek(stored.start)
            data = file.read(stored.stop - stored.start)
        if len(data) != stored.stop - stored.start:
            raise AdapterError(f"{self.path.name}: the file has become shorter since it was chosen; ask again")
        return _as_float32(data, stored.dtype).reshape(stored.shape)

    def _opened(self) -> BinaryIO:
        try:
            if _stamp(self.path) == self.stamp:
                return open_regular(self.path, follow_symlinks=True)
        except OSError:
            pass
        raise AdapterError(f"{self.path.name}: the file has changed or is gone since it was chosen; ask again")


def name_of(path: Path) -> str:
    """What an adapter's file is called; PEFT calls all of its files the same, in folders with names."""
    return path.parent.name if path.name == _PEFT_FILE and path.parent.name else path.stem


def is_peft_folder(path: Path) -> bool:
    return (path / _PEFT_FILE).is_file()


def peft_file(folder: Path) -> Path:
    return folder / _PEFT_FILE


def _stamp(path: Path) -> tuple[int, int, int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _config(path: Path, notes: Mapping[str, str]) -> Mapping[str, Any]:
    """PEFT's settings, from the header, where diffusers puts them, or from the file beside, where PEFT does."""
    text: str | bytes | None = notes.get("lora_adapter_metadata")
    if text is None and path.name == _PEFT_FILE:
        try:
            text = read_bounded(path.with_name(_PEFT_CONFIG), _MAX_CONFIG_BYTES)
        except FileNotFoundError:
            text = None
        except OSError as error:
            raise AdapterError(f"{_PEFT_CONFIG} beside {path.name} cannot be read: {error.strerror}") from error
    if text is None:
        return {}
    where = f"{path.name}: what it says of its rank and alpha"
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{where} is not a JSON object ({fault_of(error)}); get the adapter again") from error
    if not isinstance(values, dict):
        raise AdapterError(f"{where} is not a JSON object but other JSON; get the adapter again")
    return {str(name).removeprefix("transformer."): value for name, value in values.items()}


@lru_cache(maxsize=64)
def _digest_and_fault(
    path: Path, _stamp: tuple[int, int, int, int], tensors: tuple[tuple[str, Stored], ...]
) -> tuple[str, str | None]:
    """The digest, and what is wrong with the first tensor that has a value that is no number."""
    fault, sha = None, hashlib.sha256()
    with open_regular(path, follow_symlinks=True) as file:
        while piece := file.read(_PIECE_BYTES):
            sha.update(piece)
        for name, stored in tensors:
            if fault is None and stored.dtype in _EXPONENTS and not _is_finite(file, stored):
                fault = f"the tensor {name} holds values that are no finite numbers"
    return sha.hexdigest(), fault


def _is_finite(file: BinaryIO, stored: Stored) -> bool:
    kind, exponent = _EXPONENTS[stored.dtype]
    file.seek(stored.start)
    return not any(
        ((np.frombuffer(piece, kind) & exponent) == exponent).any()
        for piece in _pieces(file, stored.stop - stored.start)
    )


def _pieces(file: BinaryIO, count: int) -> Iterator[bytes]:
    while count > 0 and (piece := file.read(min(count, _PIECE_BYTES))):
        yield piece
        count -= len(piece)


def _as_float32(data: bytes, dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32)


def scalar(file: AdapterFile, key: str) -> float:
    """The value of a tensor with one. AdapterError."""
    stored = file.tensors[key]
    if math.prod(stored.shape) != 1 or stored.dtype not in _EXPONENTS:
        raise AdapterError(
            f"{file.path.name}: {key} is {stored.dtype} {list(stored.shape)}, not one number; get it again"
        )
    value = float(file.read(key).reshape(-1)[0])
    if not math.isfinite(value):
        raise AdapterError(f"{file.path.name}: {key} is no finite number; get it again")
    return value
