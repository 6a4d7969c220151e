"""The tensors of one component, wherever they lie: in one file or in several, under our names or another program's.

A `Source` remembers its files and how their tensors become ours; headers are read again before each load, because
files change. What is loaded is lazy: a tensor is read from disk when it is first evaluated, and what is made of it
(some rows, another order, 8-bit floats widened) is made then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import CheckpointError
from . import gguf
from .headers import REPAIR, Stored, read_stored, verify_tensors
from .spec import Tensors

if TYPE_CHECKING:
    import mlx.core as mx

Form = Literal["plain", "channels last", "fp8", "dequantised", "codes", "scales", "biases", "values"]
_FP8 = "F8_E4M3"


class OtherModel(ValueError):
    """Files that are whole, and of another kind than what is looked for; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one of our tensors comes from, and what is done with it."""

    stored: Stored
    dtype: str  # of ours
    shape: tuple[int, ...]
    form: Form = "plain"  # "codes" and so on: what a GGUF type's blocks become
    rows: tuple[slice, ...] = ()  # of the stored tensor, one after the other; all where empty
    beside: tuple[Stored, ...] = ()  # the scale of 8-bit floats; the scales and biases of a packed matrix

    def taking(self, *rows: slice) -> Piece:
        count = sum(piece.stop - piece.start for piece in rows)
        return replace(self, rows=rows, shape=(count, *self.shape[1:]))


Pieces = dict[str, Piece]
Translate = Callable[[dict[str, Stored], Mapping[str, str]], Pieces]  # of the stored tensors and the files' notes


def as_stored(stored: Mapping[str, Stored], _notes: Mapping[str, str]) -> Pieces:
    return {name: plain(item) for name, item in stored.items()}


def plain(stored: Stored) -> Piece:
    return Piece(stored, stored.dtype, stored.shape)


class Source:
    """The files of one component."""

    def __init__(self, paths: Sequence[Path], translate: Translate = as_stored, *, repair: str = REPAIR) -> None:
        """Reads nothing yet. `repair` is what to suggest for damaged files."""
        self.paths, self._translate, self.repair = tuple(paths), translate, repair

    @property
    def where(self) -> Path:
        """What messages are about: the file, or the folder of several."""
        return self.paths[0] if len(self.paths) == 1 else self.paths[0].parent

    def pieces(self) -> Pieces:
        """Our tensors. CheckpointError for files that are not whole, or hold what nobody knows."""
        found: dict[str, Stored] = {}
        notes: dict[str, str] = {}
        for path in self.paths:
            stored, said = (gguf.read_header if gguf.is_gguf(path) else read_stored)(path, self.repair)
            if twice := sorted(stored.keys() & found.keys()):
                raise CheckpointError(f"{path}: tensor {twice[0]} is in {found[twice[0]].path.name} as well")
            found |= stored
            notes |= said
        try:
            return self._translate(found, notes)
        except OtherModel as error:
            raise CheckpointError(f"{self.where}: {error}") from None
        except ValueError as error:
            raise CheckpointError(f"{self.where}: {error}; {self.repair}") from None

    def verify(self, expected: Tensors) -> Pieces:
        pieces = self.pieces()
        found = {name: (piece.dtype, piece.shape) for name, piece in pieces.items()}
        verify_tensors(self.where, found, expected, self.repair)
        return pieces

    def load(self, expected: Tensors) -> dict[str, mx.array]:
        """The tensors, lazy; they are read when they are evaluated or, of a GGUF, taken out of the result."""
        import mlx.core as mx  # here, so that opening a checkpoint needs no MLX

        pieces = self.verify(expected)
        files: dict[Path, dict[str, mx.array]]
        files = {path: mx.load(str(path)) for path in self.paths if not gguf.is_gguf(path)}  # type: ignore[misc]
        return _Lazy({name: _made(piece, files) for name, piece in pieces.items()})

    def rows(self, expected: Tensors, name: str, rows: Sequence[int]) -> mx.array:
        """Some rows of a two-dimensional tensor, in the given order, without reading the others."""
        import mlx.core as mx

        piece = self.verify(expected)[name]
        stored, (count, width) = piece.stored, piece.shape
        if max(rows) >= count:
            message = f"{stored.path}: {name} has {count} rows, but the tokenizer gives token {max(rows)}"
            raise CheckpointError(message)
        plain_type = {"U32": np.uint32, "F32": np.float32}.get(stored.dtype, np.uint16)
        table = np.memmap(stored.path, plain_type, "r", stored.offset, (count, width))
        taken = mx.array(table[np.asarray(rows)])
        if plain_type is np.uint16:
            return taken.view(mx.bfloat16 if stored.dtype == "BF16" else mx.float16).reshape(-1, width)
        return taken

    def identity(self) -> tuple[int, ...]:
        """What tells two sources apart; equal for hard links."""
        stats = [path.stat() for path in self.paths]
        return tuple(part for s in stats for part in (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns))


class _Lazy(dict[str, Any]):
    """Tensors, or functions that make them when they are asked for."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return value() if callable(value) else value

    def pop(self, name: str, *default: Any) -> Any:
        value = super().pop(name, *default)
        return value() if callable(value) else value

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]


def _made(piece: Piece, files: Mapping[Path, Mapping[str, mx.array]]) -> Any:
    import mlx.core as mx

    if gguf.is_gguf(piece.stored.path):
        return lambda: gguf.read(piece.stored, piece.form, piece.rows)
    array, *beside = (files[item.path][item.name] for item in (piece.stored, *piece.beside))
    if piece.rows:
        taken = [array[rows] for rows in piece.rows]
        array = taken[0] if len(taken) == 1 else mx.concatenate(taken)
    if piece.form == "channels last":
        array = array.transpose(0, 3, 1, 2)
    elif piece.form == "fp8":
        array = mx.from_fp8(array, dtype=mx.float32)
        array = (array * beside[0].astype(mx.float32) if beside else array).astype(mx.bfloat16)
    elif piece.form == "dequantised":
        scales, biases = (part.astype(mx.float32) for part in beside)
        group_size = piece.shape[1] // scales.shape[1]
        bits = array.shape[1] * 32 // piece.shape[1]
        array = mx.dequantize(array, scales, biases, group_size=group_size, bits=bits)
    return array
