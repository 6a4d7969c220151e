"""What people read and write: sizes, times, paths, and what to type to run this program."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

_FACTORS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_FACTORS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_bytes(text: str) -> int:
    """ "1.2GB", "900 MB", "2GiB" or plain bytes -> bytes. Raises ValueError that says how to write it."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    factor = _FACTORS.get(match[2].upper()) if match else None
    count = int(float(match[1]) * factor) if match and factor else 0
    if count <= 0:
        raise ValueError(f"{text!r} is no size in bytes; write it like 1.2GB")
    return count


def byte_size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(text: str) -> int:
    """A whole number as the type of a command-line option."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """A number as the type of a command-line option."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def format_bytes(count: float) -> str:
    """A size as people read it, in powers of 1000: "3.87 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}" if unit == "GB" else f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def format_duration(seconds: float | None) -> str:
    """A time left as people read it: "1 min 20 s"; empty if unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def fault_of(error: ValueError | RecursionError) -> str:
    """What is wrong with a text that is no JSON: "line 3, column 7: Expecting value"."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def user_path(name: str | Path) -> Path:
    """The path with `~` and `~user` replaced: shells leave them in `--output=~/pictures` and in variables.

    A user that nobody is stays as it is, for whoever finds that there is no such folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def command(name: str = "bonsai-mlx") -> str:
    """What to type to run `name` of this program's own environment: its name where a shell finds it, else its path."""
    own, found = Path(sys.executable).with_name(name), shutil.which(name)
    if not own.is_file() or (found and Path(found).samefile(own)):
        return name
    with contextlib.suppress(ValueError, OSError):  # not below the current folder, or that is deleted
        own = own.relative_to(Path.cwd())
    return shlex.quote(str(own))
