"""What a picture's file is called where people see it: by its prompt and its seed."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

_SLUG_BYTES, _STEM_BYTES = 60, 180  # in UTF-8: file systems take names of 255 bytes
_NO_WORD = re.compile(r"[\W_]+")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]+')


def stem_of(prompt: str, seed: int | None, own_name: str | None = None) -> str:
    """`maple-bonsai-in-autumn-4019409347`; of a file with a name of its own that name, as any system takes it."""
    if own_name is not None:
        own = _FORBIDDEN.sub("-", PurePath(own_name).stem).strip(" .")
        return cut(own, _STEM_BYTES) or "picture"
    words = _NO_WORD.sub("-", unicodedata.normalize("NFKC", prompt[:1_000]).lower()).strip("-")
    slug = _cut_at_word(words) or "picture"
    return slug if seed is None else f"{slug}-{seed}"


def cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "ignore")[:most_bytes].decode("utf-8", "ignore").rstrip(" .-")


def _cut_at_word(words: str) -> str:
    short = cut(words, _SLUG_BYTES)
    whole = short == words or words[len(short)] == "-"
    return short if whole or "-" not in short else short.rpartition("-")[0]
