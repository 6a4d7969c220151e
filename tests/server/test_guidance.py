"""Guidance and negative prompts through the interfaces: for models that have them, and what the others say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from server.checkpoints.models import Models
from server.checkpoints.ready import ReadyModel
from tests.server.conftest import LiveServer

WRITTEN = "x\nNegative prompt: dull\nSteps: 4, Sampler: Euler, CFG scale: 6, Seed: 1"
SHAPE: dict[str, Any] = {"prompt": "a fox", "seed": 1, "width": 64, "height": 64}


@pytest.fixture
def guided(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every model here were one that is not distilled."""
    find = Models.find_ready

    def guided(self: Models, name: str) -> ReadyModel | None:
        found = find(self, name)
        return found and replace(found, recommended_guidance=4.0)

    monkeypatch.setattr(Models, "find_ready", guided)


def last_request(server: LiveServer) -> dict[str, Any]:
    return server.client.get("/jobs").json()["jobs"][0]["request"]


@pytest.mark.usefixtures("guided")
@pytest.mark.parametrize(
    ("path", "body", "guidance", "negative"),
    [
        ("/jobs", {}, 4.0, ""),
        ("/jobs", {"guidance": 2.5, "negative_prompt": "blurry"}, 2.5, "blurry"),
        ("/generate", {"guidance": 3, "negative_prompt": "blurry"}, 3.0, "blurry"),
        ("/sdapi/v1/txt2img", {}, 4.0, ""),
        ("/sdapi/v1/txt2img", {"cfg_scale": "7.5", "negative_prompt": "blurry"}, 7.5, "blurry"),
        ("/sdapi/v1/txt2img", {"cfg_scale": 1, "negative_prompt": "blurry"}, None, ""),
        ("/sdapi/v1/txt2img", {"cfg_scale": 900}, 30.0, ""),
        ("/sdapi/v1/txt2img", {"cfg_scale": {"x": []}}, 4.0, ""),
        (
            "/sdapi/v1/txt2img",
            {"infotext": WRITTEN},
            6.0,
            "dull",
        ),
    ],
)
def test_a_model_with_guidance(
    shared: LiveServer, path: str, body: dict[str, Any], guidance: float | None, negative: str
) -> None:
    answer = shared.client.post(path, json=SHAPE | body)
    assert answer.status_code in (200, 201, 202), answer.text
    request = last_request(shared)
    assert (request.get("guidance"), request.get("negative_prompt", "")) == (guidance, negative)


@pytest.mark.usefixtures("guided")
@pytest.mark.parametrize(
    ("body", "notes"),
    [
        ({}, []),
        ({"cfg_scale": 7, "negative_prompt": "dull"}, []),
        ({"cfg_scale": 900}, ["A CFG scale of 900 was asked for; 30 was used."]),
        ({"cfg_scale": 0}, ["A CFG scale of 0 was asked for; 4 was used."]),
        ({"cfg_scale": 1, "negative_prompt": "dull"}, ["At a CFG scale of 1 the negative prompt changes nothing."]),
    ],
)
def test_a1111_is_told_what_is_not_used(shared: LiveServer, body: dict[str, Any], notes: list[str]) -> None:
    answer = shared.client.post("/sdapi/v1/txt2img", json=SHAPE | body).raise_for_status().json()
    assert json.loads(answer["info"]).get("notes", []) == notes


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/jobs", {"negative_prompt": "blurry"}, "negative_prompt"),
        ("/jobs", {"guidance": 3.0}, "guidance"),
        ("/generate", {"negative_prompt": "blurry"}, "negative_prompt"),
        ("/generate", {"guidance": 3.0}, "guidance"),
        ("/jobs", {"guidance": 0.5}, "guidance"),
        ("/sdapi/v1/txt2img", {"negative_prompt": "blurry", "cfg_scale": 7}, None),
    ],
)
def test_a_distilled_model(shared: LiveServer, path: str, body: dict[str, Any], field: str | None) -> None:
    answer = shared.client.post(path, json=SHAPE | body)
    if field:
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    else:
        assert answer.status_code == 200
        assert "guidance" not in last_request(shared)
