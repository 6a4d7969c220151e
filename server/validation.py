"""What is wrong with a value or a body, in our words. The validation library's own never reach a person.

Knows the library's kinds of errors and no shape of an answer.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Answer(BaseModel):
    """What the server sends. Its validators are built when first needed, since most are parts of others."""

    model_config = ConfigDict(defer_build=True)


class Fault(NamedTuple):
    """One field that cannot be used."""

    field: str | None
    message: str
    remedy: str | None = None


class Unreadable(NamedTuple):
    """A body that is no JSON."""

    message: str
    remedy: str | None
    compressed: bool = False


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "text"),
    (bytes, "text"),
    ((list, tuple), "a list"),
    (dict, "an object"),
)
# what helps beside the bounds
_REMEDIES = {"seed": "Leave it out for a random one.", "prompt": "Describe the picture in a few words."}
_INSTEAD = {  # what other programs call a field here
    "n": "count",
    "batch_size": "count",
    "num_images": "count",
    "num_images_per_prompt": "count",
    "num_inference_steps": "steps",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "random_seed": "seed",
    "model_id": "model",
    "model_name": "model",
}
_NOWHERE = {  # and what has nothing to set here
    "sampler": "There is one sampler: leave it out.",
    "sampler_name": "There is one sampler: leave it out.",
    "scheduler": "There is one schedule: leave it out.",
    "size": "Use width and height.",
}

Words = Callable[[str, Mapping[str, Any], Any], str]


def kind_of(value: object) -> str:
    """A value of JSON in a word: "a list"."""
    return "null" if value is None else next((word for kind, word in _KINDS if isinstance(value, kind)), "something")


def _wrong_kind(wanted: str) -> Words:
    return lambda name, _context, value: f"{name} has to be {wanted}, not {kind_of(value)}."


def _shown(value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool | int | float | str) else kind_of(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _whole_number(name: str, _context: Mapping[str, Any], value: Any) -> str:
    given = _shown(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else kind_of(value)
    return f"{name} has to be a whole number, not {given}."


def _multiple_of(name: str, context: Mapping[str, Any], value: Any) -> str:
    multiple = int(context["multiple_of"])
    below = int(value) // multiple * multiple
    return f"{name} {_shown(value)} is not a multiple of {multiple}; {below} and {below + multiple} are."


def _too_short(name: str, context: Mapping[str, Any], _value: Any) -> str:
    least = context["min_length"]
    return f"{name} is empty." if least == 1 else f"{name} has to have at least {least} characters."


_PICTURE = "the id of a picture: 32 hexadecimal digits of one in the gallery, or 64 of one that POST /inputs has taken"
_FORMS = {
    "^[0-9a-f]{32}$": "32 hexadecimal digits",
    "^[0-9a-f]{64}$": "64 hexadecimal digits",
    "^[0-9a-f]{32,64}$": _PICTURE,
    "^(?:[0-9a-f]{32}|[0-9a-f]{64})$": _PICTURE,
}


def _pattern(name: str, context: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str) and not value.strip():
        return f"{name} is empty."
    form = _FORMS.get(str(context.get("pattern")))
    return f"{name} has to be {form}." if form else f"{name} is not of the right form."


def _too_long(name: str, context: Mapping[str, Any], value: Any) -> str:
    return f"{name} has {len(value)} characters; at most {context['max_length']} are accepted."


def _parts(name: str, context: Mapping[str, Any], _value: Any) -> str:
    low, high = context.get("min_length"), context.get("max_length")
    return f"{name} has to have " + (f"at least {low}" if low is not None else f"at most {high}") + " entries."


def _number(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _bound(words: str, key: str) -> Words:
    return lambda name, context, value: f"{name} has to be {words} {_number(context[key])}, not {_shown(value)}."


_MISSING: Words = lambda name, _context, _value: f"{name} is missing."  # noqa: E731
_WORDS: dict[str, Words] = {
    "missing": _MISSING,
    "string_type": _wrong_kind("text"),
    "string_sub_type": _wrong_kind("text"),
    "string_unicode": lambda name, _context, _value: f"{name} holds half a character, which fits in no file.",
    "string_too_short": _too_short,
    "string_too_long": _too_long,
    "string_pattern_mismatch": _pattern,
    "int_type": _whole_number,
    "int_parsing": _whole_number,
    "int_parsing_size": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _wrong_kind("a number"),
    "float_parsing": _wrong_kind("a number"),
    "finite_number": _wrong_kind("a number"),
    "bool_type": _wrong_kind("true or false"),
    "bool_parsing": _wrong_kind("true or false"),
    "list_type": _wrong_kind("a list"),
    "dict_type": _wrong_kind("an object"),
    "model_type": _wrong_kind("an object"),
    "model_attributes_type": _wrong_kind("an object"),
    "too_short": _parts,
    "too_long": _parts,
    "greater_than_equal": _bound("at least", "ge"),
    "greater_than": _bound("more than", "gt"),
    "less_than_equal": _bound("at most", "le"),
    "less_than": _bound("less than", "lt"),
    "multiple_of": _multiple_of,
    "literal_error": lambda name, context, value: f"{name} has to be {context['expected']}, not {_shown(value)}.",
    "enum": lambda name, context, value: f"{name} has to be {context['expected']}, not {_shown(value)}.",
    "value_error": lambda _name, context, _value: str(context["error"]),
    "refused": lambda _name, context, _value: str(context["message"]),
}


_OF_UNION = ("int", "float", "str")


def explain(error: Mapping[str, Any]) -> Fault:
    context = error.get("ctx", {})
    place = [part for part in error["loc"] if part not in ("body", "query", "path", "header")]
    if place and place[-1] in _OF_UNION and isinstance(place[-2:][0], int):  # in a list that takes several kinds
        listed = ".".join(map(str, place[:-2]))
        given = _shown(error.get("input"))
        return Fault(listed, f"{listed} has a value that is no number and no text: {given}.", None)
    field = context.get("field") or ".".join(map(str, place)) or None
    subject = "The prompt" if field == "prompt" else field or "The body"
    words = _WORDS.get(error["type"])
    message = words(subject, context, error.get("input")) if words else f"{subject} has a value that cannot be used."
    remedy = context.get("remedy") or (None if error["type"] == "string_too_long" else _REMEDIES.get(field or ""))
    return Fault(field, message, remedy)


def refused(message: str, **more: str) -> PydanticCustomError:
    """An error for validators to raise, in our own words; `field` and `remedy` beside them."""
    return PydanticCustomError("refused", "{message}", {"message": message, **more})


def unknown_field(name: str, known: Collection[str]) -> PydanticCustomError:
    """For a field that a body does not have: what to use instead."""
    shown = json.dumps(name[:60])
    meant = _INSTEAD.get(name)
    meant = meant if meant in known else closest(name[:60], known)
    if name in _NOWHERE:
        remedy = _NOWHERE[name]
    else:
        remedy = f"Did you mean {meant}?" if meant else f"There are {', '.join(known)}."
    return refused(f"There is no field {shown} here.", field=name[:60], remedy=remedy)


def closest(name: str, known: Collection[str]) -> str | None:
    by_plain = {_plain(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=0.7)
    return by_plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def unreadable(raw: bytes, content_encoding: str, error: Exception) -> Unreadable:
    """Why the parser gave up: compressed, a form, in another encoding than UTF-8, nested too deeply, or no JSON."""
    encoding = content_encoding.strip().lower()
    if raw.startswith(b"\x1f\x8b") or encoding not in ("", "identity"):
        named = "gzip" if raw.startswith(b"\x1f\x8b") else encoding[:40]
        return Unreadable(f"The body is compressed ({named}), which is not read here.", "Send it as plain JSON.", True)
    if raw.lstrip().startswith(b"--") and b"form-data" in raw[:1024].lower():
        return Unreadable("The body is a form, which is not read at this address.", "Send JSON; a picture in base64.")
    if isinstance(error, UnicodeDecodeError):
        message = f"The body is not UTF-8: byte {raw[error.start]:#04x} at {error.start} belongs to no character of it."
        return Unreadable(message, "It may be Latin-1; send it as UTF-8.")
    if isinstance(error, RecursionError):
        return Unreadable("The body is nested too deeply.", None)
    remedy = f"Look at line {error.lineno}, column {error.colno}." if isinstance(error, json.JSONDecodeError) else None
    return Unreadable("The body is not valid JSON.", remedy)
