"""Values of JSON that anyone may have written, as what is wanted of them: what does not fit is left out."""

from __future__ import annotations

_MAX_WHOLE = 2**64


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_whole(value: object) -> int | None:
    """A whole number from 0 to 2**64 - 1; such numbers also come as 7.0 and "7"."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_WHOLE:
        return None
    return int(value) if value == int(value) else None


def as_model(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("name") or value.get("model_name")
    return value if isinstance(value, str) and value else None
