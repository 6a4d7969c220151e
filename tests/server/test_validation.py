"""What is wrong with a value, in our own words and never in those of the validation library."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from server.compat.openai import ImagesRequest
from server.compat.sdapi.txt2img import Txt2Img
from server.options.shapes import PreferencesPatch
from server.parameters import CompareRequest, GenerateRequest, JobRequest
from server.schemas.images import ImagePatch
from server.validation import closest, explain, kind_of, unknown_field, unreadable
from tests.server.conftest import LiveServer

FOREIGN: list[Any] = [None, True, 7, -1, 0, 7.5, 2**70, "", " ", "x", "\ud800", [], [1], {}, {"a": 1}, "x" * 40_000]
SHAPES = (JobRequest, GenerateRequest, CompareRequest, PreferencesPatch, ImagePatch, ImagesRequest, Txt2Img)


def faults(shape: type[BaseModel]) -> Iterator[tuple[dict[str, Any], Any]]:
    """What the library says of every field with every value that may be wrong."""
    fine = {"prompt": "a"} if "prompt" in shape.model_fields else {}
    for body in [{}, *(fine | {name: value} for name in (*shape.model_fields, "unknown") for value in FOREIGN)]:
        try:
            shape.model_validate(body)
        except ValidationError as error:
            yield from ((body, one) for one in error.errors(include_url=False))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_text_of_the_validation_library_reaches_anybody(shape: type[BaseModel]) -> None:
    found = list(faults(shape))
    assert len(found) > 10
    for body, error in found:
        fault = explain(error)
        own = error["type"] == "refused"  # then the library repeats our own words
        assert own or error["msg"] not in fault.message, body
        assert not re.search(r"\b(Input|Extra inputs|String|List|Value error)\b", fault.message), fault
        assert fault.message.endswith((".", "?")), fault
        assert fault.field, body


def test_a_word_for_every_kind_of_error_that_a_body_can_have() -> None:
    """Also for those of a later version: what has no words of its own is told in general ones."""
    for kind in ("string_type", "a kind that does not exist yet"):
        fault = explain({"type": kind, "loc": ("body", "x"), "msg": "the library's own", "input": 1})
        assert fault.field == "x"
        assert "the library's own" not in fault.message


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, "null"), (True, "true or false"), (1.5, "a number"), ("x", "text"), ([], "a list"), ({}, "an object")],
)
def test_a_value_is_called_what_it_is_in_json(value: object, word: str) -> None:
    assert kind_of(value) == word


@pytest.mark.parametrize(
    ("name", "meant"),
    [("stpes", "steps"), ("Width", "width"), ("back_end", "backend"), ("heigth", "height"), ("x", None), ("", None)],
)
def test_a_misspelt_name_is_recognised(name: str, meant: str | None) -> None:
    assert closest(name, JobRequest.model_fields.keys() | {"backend"}) == meant


def test_a_hostile_name_is_repeated_as_plain_text_and_shortened() -> None:
    error = unknown_field("\x1b[31m" + "x" * 10_000, ["prompt"])
    assert error.context is not None
    assert len(error.context["message"]) < 100
    assert error.context["message"].isprintable()


@pytest.mark.parametrize(
    ("raw", "encoding", "words", "compressed"),
    [
        (gzip.compress(b"{}", mtime=0), "", "compressed (gzip)", True),
        (b"\x78\x9c..", "deflate", "compressed (deflate)", True),
        ("ä".encode("latin-1"), "", "not UTF-8: byte 0xe4 at 0", False),
        (b"{", "identity", "not valid JSON", False),
        (b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xff', "", "is a form", False),
    ],
)
def test_why_a_body_cannot_be_read(raw: bytes, encoding: str, words: str, compressed: bool) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        json.loads(raw)
    found = unreadable(raw, encoding, caught.value)
    assert words in found.message
    assert found.compressed is compressed


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/edit", {"prompt": "a", "init": "nope"}, "init"),
        ("/edit", {"prompt": "a", "references": ["nope"]}, "references"),
        ("/enlarge", {"source": "nope"}, "source"),
        ("/encode", {"picture": "nope"}, "picture"),
        ("/images/deleted/end", {"ids": ["nope"]}, "ids"),
    ],
)
def test_what_a_name_has_to_look_like_is_said(shared: LiveServer, path: str, body: dict[str, Any], field: str) -> None:
    answer = shared.client.post(path, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 422
    assert error["field"].startswith(field)
    assert "32 hexadecimal digits" in error["message"]
