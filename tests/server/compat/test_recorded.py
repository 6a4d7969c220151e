"""Requests as other programs send them, with what those programs read of the answers."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.conftest import LiveServer

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "fixtures/clients.json").read_text())
TYPES = {"str": str, "int": int, "number": (int, float), "list": list}


def find(answer: Any, path: str) -> Any:
    """`data.0.seed` in an answer; `info:seed` looks into the JSON text under `info`."""
    if path.startswith("info:"):
        answer, path = json.loads(answer["info"]), path[5:]
    for part in path.split(".") if path else []:
        answer = answer[int(part)] if part.isdecimal() else answer[part]
    return answer


def is_png(value: str) -> bool:
    """Plain base64: one client takes everything before a comma for something else."""
    with Image.open(io.BytesIO(base64.b64decode(value, validate=True)), formats=("PNG",)) as picture:
        return picture.width >= 64


@pytest.mark.parametrize("call", RECORDED, ids=[call["client"] for call in RECORDED])
def test_a_client_finds_what_it_reads(shared: LiveServer, call: dict[str, Any]) -> None:
    response = shared.client.request(call["method"], call["path"], headers=call.get("headers"), json=call.get("body"))
    assert 200 <= response.status_code < 300, response.text
    assert response.headers.get("content-type", "") == call.get(
        "content_type", response.headers.get("content-type", "")
    )
    for path, expected in call["answer"].items():
        if expected == "absent":
            with pytest.raises(KeyError):
                find(response.json(), path.removeprefix("!"))
            continue
        value = find(response.json(), path)
        if expected == "png":
            assert is_png(value)
        elif expected == "json":
            assert isinstance(json.loads(value), dict)
        elif expected in TYPES if isinstance(expected, str) else False:
            assert isinstance(value, TYPES[expected])
        else:
            assert value == expected, path
