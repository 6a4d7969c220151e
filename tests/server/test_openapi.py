"""The document as rows: its grammar, and the page's own document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.app import create_app
from server.openapi import operations
from server.settings import Settings


def rows(schema: dict[str, Any], **components: Any) -> list[dict[str, Any]]:
    """The fields of a body of that schema."""
    body = {"content": {"application/json": {"schema": schema}}}
    document = {"paths": {"/x": {"post": {"requestBody": body}}}, "components": {"schemas": components}}
    [operation] = operations(document)
    fields: list[dict[str, Any]] = operation["body"]
    return fields


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer", "minimum": 1.0, "maximum": 100.0}, "integer, 1 to 100"),
        ({"type": "integer", "minimum": 1}, "integer"),
        ({"enum": ["png", "jpeg"]}, "png or jpeg"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer or string"),
        ({"$ref": "#/components/schemas/Inner"}, "boolean"),
        ({}, "any"),
    ],
)
def test_a_type_in_a_few_words(schema: dict[str, Any], words: str) -> None:
    [row] = rows({"properties": {"field": schema}}, Inner={"type": "boolean"})
    assert row["type"] == words


def test_a_body_by_reference_says_what_it_needs() -> None:
    inner = {"properties": {"a": {"type": "string", "description": "words"}, "b": {}}, "required": ["a"]}
    one, other = rows({"$ref": "#/components/schemas/Inner"}, Inner=inner)
    assert (one["name"], one["required"], one["description"]) == ("a", True, "words")
    assert (other["name"], other["required"]) == ("b", False)


@pytest.mark.slow
def test_every_field_of_every_body_has_a_type() -> None:
    document = create_app(Settings()).openapi()
    found = operations(document)
    assert len(found) == sum(len(methods) for methods in document["paths"].values())
    with_body = [operation for operation in found if operation["body"]]
    bodies = {one["path"]: {row["name"]: row["type"] for row in one["body"]} for one in with_body}
    assert bodies["/v1/images/generations"]["n"] == "integer, 1 to 10"
    assert bodies["/v1/images/generations"]["response_format"] == "b64_json or url"
    assert bodies["/sdapi/v1/txt2img"]["width"] == "integer, 64 to 2048"
    assert bodies["/api/generate"]["stream"] == "boolean"
    assert [path for path, fields in bodies.items() if "any" in fields.values()] == []


@pytest.mark.slow
def test_every_reference_leads_somewhere() -> None:
    document = create_app(Settings()).openapi()
    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    for part in node if isinstance(node, list) else ():
        yield from references(part)
