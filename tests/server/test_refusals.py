"""What the native interface refuses: nothing that was asked for is passed over, and answers say what to do."""

from __future__ import annotations

import ast
import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.conftest import LiveServer

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {"prompt": "a fox", "width": 64, "height": 64, "seed": 1, "steps": 1}


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def coloured() -> bytes:
    channels = [Image.effect_noise((64, 64), 90 + 20 * i) for i in range(3)]
    return png(Image.merge("RGB", channels))


# what a body says beside a prompt, and the field at fault
IDLE: list[tuple[str, dict[str, Any], str]] = [
    ("/generate", {"guidance": 3.5}, "guidance"),
    ("/generate", {"negative_prompt": "dull"}, "negative_prompt"),
    ("/generate", {"tiled_vae": False}, "tiled_vae"),
    ("/generate", {"max_sequence_length": 256}, "max_sequence_length"),
    ("/generate/compare", {"guidance": 3.5}, "guidance"),
    *(
        (path, body, next(iter(body)))
        for path in ("/generate", "/jobs")
        for body in (
            {"strength": 0.5},
            {"strength_rule": "steps"},
            {"reference_detail": 256},
            {"mask_content": "surroundings"},
            {"feather_px": 4},
            {"only_masked": True},
            {"margin_px": 9},
            {"source_as_reference": True},
            {"restore_unmasked": False},
            {"variation_seed": 5},
            {"stepz": 5},
        )
    ),
    ("/grids", {"axes": [{"name": "seed", "values": [1, 2]}], "strength": 0.5}, "strength"),
    ("/grids", {"axes": [{"name": "variation_seed", "values": [1, 2]}]}, "axes.variation_seed"),
    ("/grids", {"prompt": "a {red|blue fox"}, "prompt"),
]


def test_a_field_that_changes_nothing_is_named(shared: LiveServer) -> None:
    before = len(shared.client.get("/jobs?limit=200").json()["jobs"])
    for path, body, field in IDLE:
        answer = shared.client.post(path, json=SMALL | body)
        error = answer.json()["error"]
        assert (answer.status_code, error["field"]) == (422, field), (path, body, error)
        assert error["remedy"] or ";" in error["message"], error
    assert len(shared.client.get("/jobs?limit=200").json()["jobs"]) == before


def test_what_the_demo_sends_to_every_model_is_what_is_done(shared: LiveServer) -> None:
    sent = {"guidance": 0, "tiled_vae": True, "max_sequence_length": 512, "backend": "seedling-ternary"}
    for body in (sent, sent | {"guidance": 1.0, "tiled_vae": None}):
        assert shared.client.post("/generate", json=SMALL | body).status_code == 200


def test_what_is_about_redrawing_is_refused_where_nothing_is_redrawn(shared: LiveServer) -> None:
    source = shared.client.post("/inputs", content=coloured()).json()["id"]
    for body in ({"prompt": "a fox"}, {"seed": 3}, {"steps": 2}, {"strength": 0.5}):
        answer = shared.client.post("/enlarge", json={"source": source} | body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, next(iter(body)))


def test_a_picture_in_colours_is_no_mask_on_any_way_in(shared: LiveServer) -> None:
    data, text = coloured(), base64.b64encode(coloured()).decode()
    init = shared.client.post("/inputs", content=data).json()["id"]
    drawn = shared.client.post("/generate", json=SMALL).headers["x-image-id"]
    sdapi = {"prompt": "a fox", "init_images": [text], "mask": text, "steps": 1}
    ways = [
        shared.client.post("/inputs?mask=1", content=data),
        shared.client.post("/generate", json=SMALL | {"init": init, "mask": init}),
        shared.client.post("/sdapi/v1/img2img", json=sdapi),
        shared.client.post("/v1/images/edits", data={"prompt": "a fox"}, files={"image": data, "mask": data}),
    ]
    for answer in ways:
        assert answer.status_code in (400, 422), answer.text
        assert "a mask is black and white" in answer.text
        assert "white where it is to be repainted" in answer.text
    own = shared.client.post("/inputs?mask=1", content=png(Image.new("L", (64, 64), 255))).json()["id"]
    assert shared.client.post("/generate", json=SMALL | {"init": drawn, "mask": own}).status_code == 200


# of answers that need no remedy: the caller has left or cancelled, or the log has what happened
_WITHOUT = ("cancelled", "failed")
_OLLAMAS_OWN = "model '{wanted[:80]}' not found"  # which its clients look for


def code_of(call: ast.Call) -> object:
    given = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "code")]
    return next((value.value for value in given if isinstance(value, ast.Constant)), None)


def test_every_refusal_in_the_sources_says_what_to_do() -> None:
    silent = []
    for path in sorted((ROOT / "server").rglob("*.py")):
        calls = (call for call in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(call, ast.Call))
        for call in calls:
            name, code, words = getattr(call.func, "id", ""), code_of(call), ast.unparse(call)
            said = {word.arg for word in call.keywords}
            told = said & {"remedy", "retry_after_s"} or ";" in words or "error" in words or _OLLAMAS_OWN in words
            if name in ("ApiError", "ErrorDetail") and code is not None and code not in _WITHOUT and not told:
                silent.append(f"{path.relative_to(ROOT)}:{call.lineno} {words}")
    assert silent == []


@pytest.mark.parametrize(
    "path", ["/nothing", "/jobs/" + "f" * 32, "/images/" + "f" * 32, "/inputs/" + "f" * 64, "/models/x"]
)
def test_what_is_not_there_says_where_else_to_look(shared: LiveServer, path: str) -> None:
    error = shared.client.get(path).json()["error"]
    assert error["code"] == "not_found"
    assert error["remedy"].endswith(".")
