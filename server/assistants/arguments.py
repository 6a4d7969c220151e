"""A tool's arguments that cannot be used, in sentences that name the argument and what to give instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from ..validation import explain, unknown_field

_MOST = 3  # of several mistakes
_ARGUMENTS = {"init": "id", "source": "id", "references[0]": "id", "file": "path"}  # what tools call these fields


def unknown_argument(tool: str, given: Collection[str], known: Collection[str]) -> str | None:
    """About the first argument that the tool does not have; None where it has all."""
    name = next((name for name in given if name not in known), None)
    if name is None:
        return None
    remedy = (unknown_field(name, known).context or {})["remedy"] if known else "It takes none."
    return f"{tool} has no argument {name[:60]!r}. {remedy}"


def wrong_arguments(error: ValidationError) -> str:
    faults = [explain(one) for one in error.errors(include_url=False)[:_MOST]]
    return " ".join(" ".join(filter(None, (fault.message, fault.remedy))) for fault in faults)


def refusal(detail: Mapping[str, Any]) -> str:
    """The server's error, by the argument that it is about."""
    message, field = str(detail["message"]), detail.get("field")
    name = _ARGUMENTS.get(field or "", field)
    about = f"{name}: " if name and name not in message else ""
    return " ".join(filter(None, (about + message, detail.get("remedy"))))
