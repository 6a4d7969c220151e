"""Batches: the rows of a file as requests, and the manifest from which a batch goes on where it stopped.

A row's key is a digest of all that it asks for, so a batch whose file was changed draws what is new or different and
keeps the rest. Rows without a seed get one from the batch's own, so that going on gives the pictures that were meant.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

from ..errors import BonsaiError, RequestError
from ..fileio import read_bounded
from ..request import MAX_SEED, Draw, plain, random_seed, refuse_idle
from ..wording import fault_of

MANIFEST = "manifest.jsonl"
KINDS = (".txt", ".csv", ".jsonl")
MAX_ROWS = 100_000
_MAX_BYTES = 256 << 20
_PICTURES = ("init", "mask", "morph", "references")
_OWN = ("model", "name", "size")  # of a row, beside the fields of a request
_NOT_IN_FILES = ("typed",)
_NO_DIGEST = "0" * 64  # of a picture that has not been read yet
_WORDS = ("prompt", "model", "name", "size", *_PICTURES)  # columns that are texts, whatever they look like


class BatchError(BonsaiError):
    """The file cannot be used; the text names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a request without its pictures, which are paths."""

    line: int
    request: Draw
    model: str | None = None
    name: str | None = None  # of the file, without its ending
    pictures: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # by field, as they are to be read

    def key(self, copy: int) -> str:
        """The digest of what is asked for; `copy` counts equal rows."""
        values = {item.name: getattr(self.request, item.name) for item in fields(Draw)}
        pictures = {name: [str(path) for path in paths] for name, paths in self.pictures.items()}
        asked = {name: plain(value) for name, value in values.items() if value not in (None, ())}
        text = json.dumps([asked, self.model, self.name, pictures, copy], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def read_rows(path: Path, defaults: Mapping[str, Any] | None = None) -> list[Row]:
    """The rows of a .txt (a prompt a line), .csv (with a header) or .jsonl file, every field checked.

    `defaults` hold where a row says nothing. BatchError names the line; blank lines, and in a .txt those that begin
    with #, are passed over.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise BatchError(f"{path}: a batch is a file that ends in {', '.join(KINDS)}")
    rows = []
    for line, values in _READERS[kind](path, _text_of(path)):
        rows.append(_row(path, line, {**(defaults or {}), **values}))
        if len(rows) > MAX_ROWS:
            raise BatchError(f"{path}: it has more than {MAX_ROWS:,} rows; make several files of it")
    if not rows:
        raise BatchError(f"{path}: there is nothing to draw in it")
    return rows


def _text_of(path: Path) -> str:
    """The file's text, in UTF-8 or, as spreadsheets write it, marked as UTF-16; lines end in a newline alone."""
    data = read_bounded(path, _MAX_BYTES, follow_symlinks=True)
    try:
        text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BatchError(f"{path}: it is no text in UTF-8; save it as UTF-8") from error
    if "\0" in text:  # as UTF-16 without its mark reads, and most of what is no text
        raise BatchError(f"{path}: it is no text in UTF-8; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def keys(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        copy = 0
        while (key := row.key(copy)) in found:
            copy += 1
        found[key] = row
    return found


def _lines(_path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, {"prompt": line.strip()}


def _objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BatchError(f"{path}, line {number}: it is no JSON ({fault_of(error)})") from None
        if not isinstance(values, dict):
            raise BatchError(f'{path}, line {number}: it is no JSON object such as {{"prompt": "a red fox"}}')
        yield number, values


def _table(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True, restkey="")
    try:
        reader.fieldnames = _columns(path, reader.fieldnames or ())
        for values in reader:
            if values.pop("", None):
                raise BatchError(f"{path}, line {reader.line_num}: it has more columns than the first line")
            filled = {name: _cell(name, cell) for name, cell in values.items() if cell and cell.strip()}
            if filled:
                yield reader.line_num, filled
    except csv.Error as error:
        raise BatchError(f"{path}, line {reader.line_num}: {error}") from error


def _columns(path: Path, found: Iterable[str]) -> list[str]:
    """The names of a table's columns, however they are written."""
    names = [name.strip().lower() for name in found]
    if "prompt" not in names:
        raise BatchError(f"{path}, line 1: no column is called prompt; name the columns in the first line")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise BatchError(f"{path}, line 1: two columns are called {twice[0][:60]!r}; leave one of them out")
    return names


def _cell(name: str, cell: str) -> Any:
    """A cell as JSON would have it: numbers and true or false as such, lists divided by semicolons."""
    if name in ("styles", "references"):
        return [part.strip() for part in cell.split(";") if part.strip()]
    if name == "extend":
        return [_cell("", part.strip()) for part in cell.replace(";", ",").split(",")]
    if name in _WORDS:
        return cell.strip()
    try:
        return json.loads(cell.strip().lower())
    except (ValueError, RecursionError):
        return cell.strip()


_READERS = {".txt": _lines, ".csv": _table, ".jsonl": _objects}


def _row(path: Path, line: int, values: Mapping[str, Any]) -> Row:
    known = {item.name for item in fields(Draw)} - {*_NOT_IN_FILES}
    where = f"{path}, line {line}"
    for name in values:
        if name not in known and name not in _OWN:
            raise BatchError(
                f"{where}: there is no field {name[:60]!r}; there are {', '.join(sorted({*known, *_OWN}))}"
            )
    own = {name: _text(where, name, values[name]) for name in _OWN if values.get(name) is not None}
    asked = {name: value for name, value in values.items() if name in known and value is not None}
    pictures = {name: _paths(path, where, name, asked.pop(name)) for name in _PICTURES if name in asked}
    if "size" in own:
        asked |= _size(where, own["size"])
    for name, value in asked.items():
        asked[name] = tuple(value) if isinstance(value, list) else value
    stand_ins = {
        name: (_NO_DIGEST,) * len(paths) if name == "references" else _NO_DIGEST for name, paths in pictures.items()
    }
    try:
        asking = Draw(**{"prompt": "", **asked, **stand_ins})
        refuse_idle(asking)
        request = asking.validated()
    except RequestError as error:
        raise BatchError(f"{where}: {error}") from error
    request = replace(request, references=(), init=None, mask=None)  # which are read when it is their turn
    return Row(line, request, own.get("model"), own.get("name"), pictures)


def _text(where: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BatchError(f"{where}: {name}: {value!r} is no text")
    return value.strip()


def _paths(path: Path, where: str, name: str, value: Any) -> tuple[Path, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(path.parent / _text(where, name, one) for one in listed)


def _size(where: str, text: str) -> dict[str, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise BatchError(f"{where}: size: {text!r} is no size; write it like 512x512")
    return {"width": int(width), "height": int(height)}


class Manifest:
    """What a batch has made, a line for each picture in DIR/manifest.jsonl; the last line about a row counts."""

    def __init__(self, folder: Path, source: str, seed: int | None = None) -> None:
        """Goes on with the one that is there; else begins with `seed`, or with a random one. OSError, BatchError."""
        self.folder = folder
        self.path = folder / MANIFEST
        self._entries: dict[str, dict[str, Any]] = {}
        head = self._read()
        self.seed: int = head["seed"] if head else random_seed() if seed is None else seed
        self._file: IO[bytes] = self.path.open("ab")
        if head is None:
            self._write({"batch": source, "seed": self.seed, "version": 1})

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> dict[str, Any] | None:
        """The first line, with the others in `_entries`; what a stopped program has left of a line is passed over."""
        try:
            data = read_bounded(self.path, _MAX_BYTES)
        except FileNotFoundError:
            return None
        read = [_parsed(line) for line in data.split(b"\n") if line.strip()]
        if not read or not isinstance(read[0].get("seed"), int):
            raise BatchError(f"{self.path} is no manifest of a batch; choose another folder")
        if not data.endswith(b"\n"):
            with self.path.open("ab") as file:
                file.write(b"\n")
        self._entries = {one["key"]: one for one in read[1:] if isinstance(one.get("key"), str)}
        return read[0]

    def seed_of(self, key: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{key}".encode()).digest()[:8]) % (MAX_SEED + 1)

    def is_done(self, key: str) -> bool:
        """Whether its picture is there: an empty file is one that was claimed and not written."""
        entry = self._entries.get(key, {})
        name = entry.get("file")
        if entry.get("status") != "done" or not isinstance(name, str):
            return False
        path = self.folder / Path(name).name
        return path.is_file() and path.stat().st_size > 0

    def note(self, key: str, row: Row, **what: Any) -> None:
        entry = {"key": key, "line": row.line, **what}
        self._entries[key] = entry
        self._write(entry)

    def _write(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(values, ensure_ascii=False)
        self._file.write(text.encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
