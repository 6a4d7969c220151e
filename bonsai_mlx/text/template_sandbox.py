"""Jinja as chat templates need it. Also a program of its own, in which templates of unknown origin run.

It reads {"template": text, "variables": {...} or null} on stdin, and writes {"text": ...} (none without variables), or
{"error": ..., "damaged": true where it does not even compile}. It limits its own time and memory first. Imports nothing
of this package, so that it starts in a tenth of a second.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CPU_S = 5
MAX_MEMORY_BYTES = 512 << 20
MAX_TEXT_CHARS = 1 << 20  # of what a template makes of a prompt
_MAX_ERROR_CHARS = 300


def compile_template(text: str) -> Template:
    """The template, in a sandbox; options and helpers are those of `transformers`. TemplateError if it is damaged."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json  # Jinja's own escapes HTML
    environment.globals["raise_exception"] = _raise_template_error
    return environment.from_string(text)


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_template_error(message: str) -> NoReturn:
    raise TemplateError(message)


def _limit_this_process() -> None:
    for kind, limit in ((resource.RLIMIT_CPU, MAX_CPU_S), (resource.RLIMIT_AS, MAX_MEMORY_BYTES)):
        with suppress(OSError, ValueError):  # a stricter one is in force, or the system has none of the kind
            resource.setrlimit(kind, (limit, limit))


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        template = compile_template(request["template"])
    except Exception as error:  # foreign code: the compiler can run out of memory or stack as well
        return {"error": _words(error), "damaged": True}
    if request["variables"] is None:
        return {}
    try:
        text = template.render(request["variables"])
    except Exception as error:
        return {"error": _words(error), "damaged": False}
    if len(text) > MAX_TEXT_CHARS:
        return {"error": f"it makes more than {MAX_TEXT_CHARS:,} characters of a prompt", "damaged": False}
    return {"text": text}


def _words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"it needs more than {MAX_MEMORY_BYTES >> 20} MB"
    return (str(error) or type(error).__name__)[:_MAX_ERROR_CHARS]


if __name__ == "__main__":
    _limit_this_process()
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))
