"""Styles over the native interface: listed, changed, and in the prompt of what is drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from bonsai_mlx.images.metadata import read
from bonsai_mlx.pipelines.styles import OURS
from tests.server.conftest import LiveServer


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONSAI_STYLES_FILE", str(tmp_path / "styles.json"))
    return tmp_path / "styles.json"


def names(shared: LiveServer) -> list[str]:
    return [one["name"] for one in shared.client.get("/styles").json()["styles"]]


def test_they_are_listed_saved_deleted_and_restored(shared: LiveServer) -> None:
    assert names(shared) == [style.name for style in OURS]
    body = {"name": "Stamp", "text": "a stamp of {prompt}", "steps": 2}
    saved = shared.client.post("/styles", json=body).json()["styles"]
    assert saved[-1] == {**body, "width": None, "height": None, "ours": False}
    changed = shared.client.post("/styles", json={"name": "Comic", "text": "manga"}).json()["styles"]
    assert next(one for one in changed if one["name"] == "Comic")["ours"] is False
    assert shared.client.delete("/styles", params={"name": "comic"}).status_code == 200
    assert "Comic" not in names(shared)
    assert "Comic" in [one["name"] for one in shared.client.post("/styles/restore").json()["styles"]]
    assert "Stamp" in names(shared)


def test_what_cannot_be_is_refused_by_its_field(shared: LiveServer) -> None:
    for body, field in (
        ({"name": "a,b", "text": "x"}, "name"),
        ({"name": "a"}, "text"),
        ({"name": "a", "text": "x", "width": 100}, "width"),
        ({"name": "a", "text": "x", "negative": "y"}, "negative"),
    ):
        response = shared.client.post("/styles", json=body)
        assert response.status_code == 422, body
        assert response.json()["error"]["field"] == field
    assert shared.client.delete("/styles", params={"name": "Nothing"}).json()["error"]["field"] == "styles"
    unknown = shared.client.post("/jobs", json={"prompt": "a fox", "styles": ["Ink"]})
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (422, "styles")
    assert "there are Photograph" in unknown.json()["error"]["message"]


def test_a_file_that_is_none_is_told(shared: LiveServer, own_file: Path) -> None:
    own_file.write_text("{")
    response = shared.client.get("/styles")
    assert response.status_code == 500
    assert "mend it, or delete it" in response.json()["error"]["message"]


def test_what_was_typed_and_what_was_drawn_are_in_job_image_and_file(shared: LiveServer) -> None:
    shared.client.post("/styles", json={"name": "Stamp", "text": "a stamp of {prompt}", "steps": 2, "width": 96})
    job = shared.finished(shared.post_job("a fox", styles=["stamp", "At night"], width=64)["id"])
    assert (job["prompt"], job["steps"], job["width"]) == ("a stamp of a fox at night", 2, 64)
    said = {"styles": ["Stamp", "At night"], "typed": "a fox"}
    assert said.items() <= job["request"].items()
    assert said.items() <= shared.client.get(f"/images/{job['id']}").json()["recipe"].items()
    found = read(io.BytesIO(shared.client.get(f"/images/{job['id']}.png").content).getvalue())
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.parameters["typed"] == "a fox"
    again = shared.client.post("/jobs", json={k: v for k, v in job["request"].items() if k not in _NAMED})
    assert again.json()["jobs"][0]["request"] == job["request"]  # styles are not applied twice


_NAMED = ("operation", "version")


def test_a1111_lists_and_applies_them(shared: LiveServer) -> None:
    shared.client.post("/styles", json={"name": "Stamp", "text": "a stamp of {prompt}"})
    listed = shared.client.get("/sdapi/v1/prompt-styles").json()
    assert listed[-1] == {"name": "Stamp", "prompt": "a stamp of {prompt}", "negative_prompt": ""}
    body = {"prompt": "a fox", "styles": ["Stamp", "None of ours"], "width": 64, "height": 64}
    info = json.loads(shared.client.post("/sdapi/v1/txt2img", json=body).json()["info"])
    assert (info["prompt"], info["styles"]) == ("a stamp of a fox", ["Stamp"])
    assert "no style called 'None of ours'" in info["notes"][0]


@pytest.mark.slow
def test_how_much_of_a_prompt_is_read_with_its_styles(shared: LiveServer) -> None:
    def measured(**body: object) -> dict[str, int]:
        found: dict[str, int] = shared.client.post("/prompts/length", json=body).raise_for_status().json()
        return found

    plain, styled = measured(prompt="a fox"), measured(prompt="a fox", styles=["Comic"])
    assert plain["tokens"] < styled["tokens"] < plain["limit"]
    assert styled["read_chars"] > plain["read_chars"] == 5
    assert measured(prompt="snow " * 1000)["tokens"] > plain["limit"]
    refused = shared.client.post("/prompts/length", json={"prompt": "a fox", "styles": ["Nothing"]})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "styles")
