"""What an adapter's file is, in words: kind, size, what it was made for, which of some models it fits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..wording import format_bytes
from .file import AdapterError, AdapterFile
from .fitting import FittedAdapter, Linears, origin_of, parts_of

_WORDS = ("modelspec.trigger_phrase", "trigger_words", "trainedWords", "instance_prompt")
_TITLES = ("modelspec.title", "ss_output_name", "name")
_MOST_CHARS = 300


def report(
    file: AdapterFile, models: Iterable[tuple[str, Linears]], absent: Iterable[tuple[str, Linears]] = ()
) -> dict[str, Any]:
    """Everything that can be said of a file, for people and programs; `models` are those here, by name.

    Those that are `absent` count too: else a file for them would seem useless, and a broken one whole.

    AdapterError for a file that is no adapter at all, or has values that are no numbers.
    """
    digest = file.verified()
    fits, misfits = _tried(file, digest, models)
    would_fit, others = _tried(file, digest, absent)
    fitted = next(iter((fits | would_fit).values()), None)
    return {
        "name": file.name,
        "made_for": origin_of(file) if file.tensors else None,
        "kind": fitted.kind if fitted else None,
        "linears": len(fitted.parts) if fitted else None,
        "bytes": file.stamp[2],
        "sha256": digest,
        "title": _note(file.notes, _TITLES),
        "trigger_words": trigger_words(file),
        "fits": list(fits),
        "would_fit": list(would_fit),
        "does_not_fit": misfits | others,
    }


def _tried(
    file: AdapterFile, digest: str, models: Iterable[tuple[str, Linears]]
) -> tuple[dict[str, FittedAdapter], dict[str, str]]:
    """What the file is for each model that it fits, and why it does not fit the others."""
    fits, misfits = {}, {}
    for name, linears in models:
        try:
            fits[name] = FittedAdapter(file, digest, parts_of(file, linears))
        except AdapterError as error:
            misfits[name] = str(error).removeprefix(f"{file.path.name}: ")
    return fits, misfits


def trigger_words(file: AdapterFile) -> str | None:
    """What a prompt should hold for it to show, as far as the file says."""
    return _note(file.notes, _WORDS)


def lines(found: Mapping[str, Any]) -> list[str]:
    """The report on a terminal. Texts of the file stand in it as they are: print them with `printable`."""
    rows = {
        "Name": found["name"],
        "Title": found["title"],
        "Made for": found["made_for"],
        "Kind": found["kind"] and f"{found['kind']}, on {found['linears']} linears",
        "Words": found["trigger_words"],
        "Size": format_bytes(found["bytes"]),
        "SHA-256": found["sha256"],
        "Fits": ", ".join(found["fits"]) or "no model that is on this machine",
        "Would fit": ", ".join(found["would_fit"]) and f"{', '.join(found['would_fit'])}, which can be downloaded",
    }
    present = {name: str(value) for name, value in rows.items() if value}
    width = max(map(len, present))
    reasons = _by_reason(found["does_not_fit"])
    any_of = len(reasons) == 1 and not found["fits"] + found["would_fit"]
    why = [f"Does not fit {'any model' if any_of else ', '.join(n)}: {reason}" for reason, n in reasons.items()]
    return [f"{name:<{width}}  {value}" for name, value in present.items()] + why


def _by_reason(misfits: Mapping[str, str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, reason in misfits.items():
        names.setdefault(reason, []).append(name)
    return names


def _note(notes: Mapping[str, str], names: Iterable[str]) -> str | None:
    for name in names:
        text = notes.get(name, "").strip()
        if text.startswith("["):
            text = _joined(text)
        if text:
            return text[:_MOST_CHARS]
    return None


def _joined(text: str) -> str:
    try:
        values = json.loads(text[: 16 * _MOST_CHARS])
    except (ValueError, RecursionError):
        return text
    return ", ".join(str(value) for value in values[:50])
