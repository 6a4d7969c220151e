"""Pictures in the answer, in the words of the Bonsai demo."""

from __future__ import annotations

import base64
import errno
import io
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.server.conftest import LiveServer, eventually

pytestmark = pytest.mark.slow


def test_a_png_with_its_figures(shared: LiveServer) -> None:
    response = shared.client.post(
        "/generate", json={"prompt": "a fox", "seed": 7, "steps": 2, "width": 64, "height": 64}
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.size == (64, 64)
    headers = response.headers
    assert (headers["x-seed"], headers["x-variant"], headers["x-steps"]) == ("7", "ternary", "2")
    assert headers["x-model"] == "seedling-ternary"
    assert float(headers["x-wall-seconds"]) > 0
    assert headers["x-peak-memory-mb"] == "123.0"
    assert headers["x-image-id"] == headers["x-job-id"]
    assert shared.client.get(f"/images/{headers['x-image-id']}.png").content == response.content


def test_json_on_request(shared: LiveServer) -> None:
    response = shared.client.post("/generate", json={"prompt": "a"}, headers={"Accept": "application/json"})
    body = response.json()
    assert body["job"]["status"] == "done"
    assert body["image"]["id"] == body["job"]["image_id"]
    assert base64.b64decode(body["b64_json"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(("prompt", "cut"), [("a fox", False), ("a long prompt that is cut", True)])
def test_whether_the_prompt_was_read_to_its_end_is_told_everywhere(shared: LiveServer, prompt: str, cut: bool) -> None:
    response = shared.client.post("/generate", json={"prompt": prompt})
    assert response.headers["x-prompt-truncated"] == ("true" if cut else "false")
    body = shared.client.post("/generate", json={"prompt": prompt}, headers={"Accept": "application/json"}).json()
    assert (body["job"]["truncated"], body["image"]["truncated"]) == (cut, cut)
    assert body["image"]["recipe"].get("truncated", False) == cut
    assert shared.client.get(f"/jobs/{body['job']['id']}").json()["truncated"] == cut
    assert ("its end was left out" in shared.client.get(f"/i/{body['image']['id']}").text) == cut


def test_the_demo_sends_more_than_is_needed(shared: LiveServer) -> None:
    body = {
        "prompt": "a",
        "seed": 42,
        "steps": 4,
        "guidance": 1.0,
        "backend": "seedling-binary",
        "width": 64,
        "height": 64,
        "tiled_vae": None,
        "max_sequence_length": 512,
    }
    response = shared.client.post("/generate", json=body)
    assert response.headers["x-variant"] == "binary"
    missing = shared.client.post("/generate", json=body | {"backend": "bonsai-ternary-gemlite"})
    told = missing.json()["error"]
    assert (told["code"], told["field"]) == ("model_missing", "model")
    assert told["message"] == "Bonsai Image 4B ternary is not downloaded yet."
    openai = shared.client.post("/v1/images/generations", json={"prompt": "a", "model": "ternary"}).json()["error"]
    assert openai["param"] == "model"
    assert openai["message"] == f"{told['message']} Run: {told['remedy']}"
    assert told["remedy"].endswith("bonsai-mlx download ternary")
    assert shared.client.post("/generate", json=body | {"model_path": "/etc"}).json()["error"]["field"] == "model_path"


def test_backends_in_the_words_of_the_demo(shared: LiveServer) -> None:
    body = shared.client.get("/backends?force_disable=1").json()
    assert body["kind"] == "mlx"
    assert body["supported_families"] == ["bonsai-binary", "bonsai-ternary"]
    assert (body["default_family"], body["healthy"], body["reason"]) == ("bonsai-ternary", True, None)
    kinds = {backend["kind"]: backend["healthy"] for backend in body["backends"]}
    assert kinds["seedling-ternary"] is True
    assert "bonsai-ternary-mlx" in kinds


def test_a_comparison_in_both_shapes(shared: LiveServer) -> None:
    body = {"prompt": "both", "seed": 3, "width": 64, "height": 64, "guidance": 1.0}
    compared = shared.client.post("/generate/compare", json=body).json()
    assert (compared["left"]["image"]["variant"], compared["right"]["image"]["variant"]) == ("ternary", "binary")
    assert compared["left"]["image"]["group"] == compared["right"]["image"]["group"]
    assert compared["left"]["b64_json"] != compared["right"]["b64_json"]
    assert [r["backend"] for r in compared["results"]] == ["seedling-ternary", "seedling-binary"]
    assert compared["results"][0]["png_b64"] == compared["left"]["b64_json"]
    assert set(compared["results"][0]) == {"backend", "png_b64", "wall_seconds", "swap_seconds"}
    turned = shared.client.post("/generate/compare", json=body | {"backends": ["seedling-binary", "seedling"]}).json()
    assert turned["left"]["image"]["variant"] == "binary"


@pytest.mark.parametrize(
    ("prompt", "status", "code"),
    [("raise", 500, "failed"), ("oom", 507, "out_of_memory")],
)
def test_failures_are_answers(shared: LiveServer, prompt: str, status: int, code: str) -> None:
    response = shared.client.post("/generate", json={"prompt": prompt})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert "0x7f" not in response.text


@pytest.mark.parametrize(
    ("number", "status", "code", "words"),
    [(errno.ENOSPC, 507, "disk_full", "no space is left"), (errno.EACCES, 500, "failed", "not permitted")],
)
def test_a_picture_that_cannot_be_saved_is_a_failure(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str, words: str
) -> None:
    """It is never told to be done, and nothing of it is left."""

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("bonsai_mlx.fileio.to_disk", full)
        response = live.client.post("/generate", json={"prompt": "plain"})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert words in response.json()["error"]["message"]
    [job] = live.client.get("/jobs").json()["jobs"]
    assert (job["status"], job["image_ids"]) == ("failed", [])
    assert live.client.get("/images").json()["images"] == []
    assert list(live.settings.output.glob("*.png")) == []
    assert live.client.post("/generate", json={"prompt": "plain"}).status_code == 200


def leave(live: LiveServer, path: str) -> list[str]:
    """Close the connection once the picture is drawn that was asked for on it; the ids of all its jobs."""
    body = b'{"prompt": "hold"}'
    headers = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body)
        ids = [job["id"] for job in eventually(lambda: live.client.get("/jobs").json()["jobs"])]
        live.running(ids[-1])
    return ids


def test_leaving_cancels(gate: Path, live: LiveServer) -> None:
    [job] = leave(live, "/generate")
    assert live.finished(job)["status"] == "cancelled"
    assert live.client.post("/generate", json={"prompt": "plain"}).status_code == 200


def test_leaving_a_comparison_cancels_both(gate: Path, live: LiveServer) -> None:
    jobs = leave(live, "/generate/compare")
    assert len(jobs) == 2
    assert {live.finished(job)["status"] for job in jobs} == {"cancelled"}


def test_a_cancel_from_elsewhere_is_an_answer(gate: Path, live: LiveServer) -> None:
    answers: list[httpx.Response] = []
    caller = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{live.url}/generate", json={"prompt": "hold"}, timeout=60))
    )
    caller.start()
    job = eventually(lambda: live.client.get("/jobs").json()["jobs"])[0]
    live.client.delete(f"/jobs/{job['id']}")
    caller.join(60)
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (409, "cancelled")


def test_stopping_the_server_answers_the_callers(gate: Path, serve: Callable[..., LiveServer]) -> None:
    first = serve()
    answers: list[httpx.Response] = []
    caller = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{first.url}/generate", json={"prompt": "hold"}, timeout=60))
    )
    caller.start()
    job = eventually(lambda: first.client.get("/jobs").json()["jobs"])[0]
    first.running(job["id"])
    first.__exit__()
    caller.join(60)
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (503, "shutting_down")
    second = serve()
    assert second.job(job["id"])["status"] == "interrupted"
