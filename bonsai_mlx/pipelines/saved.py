"""The user's own pipelines: one JSON file each, in a folder of theirs, under the name that they gave it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BonsaiError, RequestError
from ..fileio import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, read_bounded, write_atomic
from ..wording import user_path
from .chains import MAX_BYTES, Step, document, steps_in, steps_of

SUFFIX = ".json"
MAX_PIPELINES = 200
MAX_NAME_CHARS = 60
NAME = r"[^\W_](?:[\w .,'()&+-]{0,58}[\w)'+])?"  # of letters and digits of any script, and what stands between them
_VARIABLE = "BONSAI_PIPELINES_DIR"


class PipelinesError(BonsaiError):
    """The folder of pipelines, or a file in it, cannot be read or written."""


@dataclass(frozen=True, slots=True)
class SavedPipeline:
    """What a file holds."""

    name: str
    steps: list[Step]
    bytes: int


def pipelines_folder() -> Path:
    """The variable BONSAI_PIPELINES_DIR, else a folder in the home folder."""
    return user_path(os.environ.get(_VARIABLE) or "~/.bonsai-mlx/pipelines")


def _tidy(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


def checked_name(name: str) -> str:
    name = _tidy(name)
    if not re.fullmatch(NAME, name):
        rule = f"use letters, digits, spaces and . , ' ( ) & + - _, {MAX_NAME_CHARS} characters at most"
        raise RequestError("name", f"{name[:MAX_NAME_CHARS]!r} is no name for a pipeline; {rule}")
    return name


def names() -> list[str]:
    """In the order of the alphabet; files under other names are not ours."""
    try:
        found = [entry.stem for entry in pipelines_folder().iterdir() if entry.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PipelinesError(f"{pipelines_folder()}: {error.strerror or error}") from error
    named = (unicodedata.normalize("NFC", name) for name in found)
    return sorted((name for name in named if re.fullmatch(NAME, name)), key=str.casefold)


def find(name: str) -> str | None:
    """The name as its file has it, whatever the case; None where there is none."""
    wanted = _tidy(name).casefold()
    return next((known for known in names() if known.casefold() == wanted), None)


def load(name: str) -> SavedPipeline:
    """RequestError: there is none; PipelinesError: its file cannot be read."""
    known = _known(name)
    path = _path(known)
    try:
        data = read_bounded(path, 2 * MAX_BYTES, follow_symlinks=True)
        return SavedPipeline(known, steps_of(steps_in(data)), len(data))
    except ValueError as error:
        raise PipelinesError(f"{path} {error}") from None
    except OSError as error:
        raise PipelinesError(f"{path}: {error.strerror or error}") from error
    except RequestError as error:
        raise PipelinesError(f"{path}: {error.field} {error.message}") from error


def save(name: str, steps: Sequence[Step]) -> SavedPipeline:
    """In place of one of the same name, whatever its case. RequestError, PipelinesError."""
    name = checked_name(name)
    known = find(name)
    if known is None and len(names()) >= MAX_PIPELINES:
        raise RequestError("name", f"there are {MAX_PIPELINES} pipelines already; delete one first")
    data = document(known or name, steps)
    if len(data) > MAX_BYTES:
        raise RequestError("steps", f"take {len(data):,} bytes; at most {MAX_BYTES:,} are kept")
    try:
        pipelines_folder().mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        write_atomic(_path(known or name), data, mode=PRIVATE_FILE_MODE)
    except OSError as error:
        raise PipelinesError(f"{_path(name)} cannot be written: {error.strerror or error}") from error
    return SavedPipeline(known or name, list(steps), len(data))


def delete(name: str) -> None:
    """RequestError: there is none."""
    known = _known(name)
    try:
        _path(known).unlink(missing_ok=True)
    except OSError as error:
        raise PipelinesError(f"{_path(known)} cannot be deleted: {error.strerror or error}") from error


def _known(name: str) -> str:
    known = find(name)
    if known is None:
        there = ", ".join(names()) or "none yet"
        raise RequestError("name", f"there is no pipeline called {name[:MAX_NAME_CHARS]!r}; there are {there}")
    return known


def _path(name: str) -> Path:
    return pipelines_folder() / f"{name}{SUFFIX}"
