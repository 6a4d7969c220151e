"""Where the pictures of `bonsai-mlx generate` go: a file, a folder, or standard output; and in which format."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..images.metadata import TEMPORARY_PREFIX, Format, SaveError, format_of, save_picture

_SUFFIX: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Output:
    """`place` is a file, a folder for files with names of their own, or None for standard output."""

    place: Path | None
    format: Format
    count: int = 1  # pictures; several in a file's place get their seeds into their names

    @classmethod
    def choose(cls, given: Path | Literal["-"] | None, wanted: Format | None, count: int) -> Output:
        if given == "-":
            if count > 1:
                raise SaveError(f"standard output takes one picture, not {count}; give a folder with -o")
            return cls(None, wanted or "png")
        place = given or Path()
        if place.is_dir():
            return cls(place, wanted or "png", count)
        found = wanted if wanted and not place.suffix else format_of(place)
        if wanted not in (None, found):
            raise SaveError(
                f"cannot save {place}: its name says {found}, --format says {wanted}; leave one of them out"
            )
        return cls(place, found, count)

    def check(self) -> None:
        """SaveError unless a picture can be written there."""
        if self.place is None:
            if sys.stdout.isatty():
                raise SaveError("standard output is a terminal, which shows no pictures; add > picture.png")
            return
        folder = self.place if self.place.is_dir() else _target(self.place).parent
        if not folder.is_dir():
            raise SaveError(f"cannot save into {folder}: there is no such folder")
        try:
            with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder):
                pass
        except OSError as error:
            raise SaveError(f"cannot save into {folder}: {error.strerror}; choose another folder with -o") from error

    def save(self, data: bytes, seed: int) -> Path | None:
        if self.place is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return None
        if self.place.is_dir():
            path = free_name(self.place, seed, _SUFFIX[self.format])
            save_claimed(path, data)
            return path
        path = self.place if self.count == 1 else self.place.with_name(f"{self.place.stem}-{seed}{self.place.suffix}")
        save_picture(path, data, follow_symlinks=True)
        return path


def save_claimed(path: Path, data: bytes) -> None:
    """Write a file whose name was claimed with an empty one, which does not stay behind. SaveError."""
    try:
        save_picture(path, data)
    except SaveError:
        with suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                path.unlink()
        raise


def _target(path: Path) -> Path:
    try:
        return path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError):
        raise SaveError(f"cannot save {path}: its symbolic links lead in a circle") from None


def free_name(folder: Path, seed: int, suffix: str) -> Path:
    """bonsai-<seed>.png, or bonsai-<seed>-2.png and so on: a name that is nobody else's, claimed with an empty file."""
    number = 1
    while True:
        path = folder / (f"bonsai-{seed}{suffix}" if number == 1 else f"bonsai-{seed}-{number}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            number += 1
        except OSError as error:
            raise SaveError(f"cannot save {path}: {error.strerror}") from error
        else:
            return path
