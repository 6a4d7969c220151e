"""Shipped files by their addresses below `/static/`; an address names its content, so that a browser may keep it.

A first visit waits for each request. So style sheets come together (`css/one+two.css` is two of them), and a page's
script with everything that it imports (`js/pages/studio+.js`). Every file can be had by its own address too.
"""

from __future__ import annotations

import hashlib
import re
import time
from functools import cache, lru_cache
from pathlib import Path

from . import scripts

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """A folder that lies inside the package when installed, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


STATIC = shipped("static")
_SHEETS = re.compile(r"css/([a-z-]+(?:\+[a-z-]+){1,15})\.css")
_SCRIPTS = re.compile(r"js/pages/([a-z]+)\+\.js")


@cache
def _digest(path: Path, _modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def type_of_joined(path: str) -> str | None:
    """The media type of what is made of several files."""
    if _SHEETS.fullmatch(path):
        return "text/css"
    return "text/javascript" if _SCRIPTS.fullmatch(path) else None


def _parts_of(path: str) -> list[Path]:
    if sheets := _SHEETS.fullmatch(path):
        return [STATIC / f"css/{name}.css" for name in sheets[1].split("+")]
    if page := _SCRIPTS.fullmatch(path):
        return scripts.needed_by(STATIC / f"js/pages/{page[1]}.js")
    return [STATIC / path]


def content(path: str) -> bytes:
    parts = _parts_of(path)
    if _SCRIPTS.fullmatch(path):
        return scripts.joined(parts, STATIC).encode()
    return b"\n".join(part.read_bytes() for part in parts)


def version_of(path: str) -> str | None:
    """What changes with the content. Files are looked at once a second: a page names some eighty of them."""
    return _version(path, _second())


def _second() -> int:
    return int(time.monotonic())


@lru_cache(maxsize=128)
def _version(path: str, _at: int) -> str | None:
    try:
        digests = [_digest(file, file.stat().st_mtime_ns) for file in _parts_of(path)]
    except OSError:
        return None
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


def static_url(path: str) -> str:
    """The address of an asset, which changes whenever its content does: `app.js` -> `/static/app.js?v=1a2b3c`."""
    version = version_of(path)
    return f"/static/{path}?v={version}" if version else f"/static/{path}"
