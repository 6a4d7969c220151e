"""Sizes in bytes, and paths, as people write them."""

from __future__ import annotations

import argparse
import re
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
    """`parse_bytes` as the type of a command-line option."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def user_path(name: str | Path) -> Path:
    """The path with `~` and `~user` replaced: shells leave them in `--output=~/pictures` and in variables.

    A user that nobody is stays as it is, for whoever finds that there is no such folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
