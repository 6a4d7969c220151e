from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from server.gallery.gallery import Gallery
from tests.server.conftest import LiveServer, eventually

Serve = Callable[..., LiveServer]


def test_a_failure_in_the_background_is_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_self: Gallery) -> int:
        raise OSError("the folder went away")

    monkeypatch.setattr(Gallery, "reconcile", fail)
    live = serve()
    eventually(lambda: "the folder went away" in caplog.text)
    assert live.client.get("/health").status_code == 200


@pytest.fixture
def unloved(tmp_path: Path) -> str:
    """The id of an image that the next server finds."""
    image_id = "0123456789abcdef" * 2
    (tmp_path / "out").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "out" / f"{image_id}.png")
    return image_id


def delete(live: LiveServer, image_id: str) -> Path:
    """The file of the image, in the trash."""
    eventually(lambda: live.client.get(f"/images/{image_id}").status_code == 200)
    live.client.delete(f"/images/{image_id}").raise_for_status()
    return live.studio.gallery.trash / f"{image_id}.png"


def a_week_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is in the trash."""
    later = time.time() + 8 * 86_400
    monkeypatch.setattr("server.gallery.trash.time", SimpleNamespace(time=lambda: later))


@pytest.mark.slow
def test_a_server_that_finds_old_trash_empties_it(serve: Serve, unloved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = serve()
    trashed = delete(first, unloved)
    first.__exit__()
    assert trashed.exists()
    a_week_passes(monkeypatch)
    second = serve()
    eventually(lambda: not trashed.exists())
    assert second.client.post(f"/images/{unloved}/restore").status_code == 404


@pytest.mark.slow
def test_old_trash_goes_while_the_server_runs(serve: Serve, unloved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    live = serve(tidy_s=0.02)
    trashed = delete(live, unloved)
    time.sleep(0.1)
    assert trashed.exists()
    a_week_passes(monkeypatch)
    eventually(lambda: not trashed.exists())
    assert live.client.post(f"/images/{unloved}/restore").status_code == 404


@pytest.mark.slow
def test_tidying_outlasts_a_failure(serve: Serve, unloved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    live = serve(tidy_s=0.02)
    trashed = delete(live, unloved)
    hidden = live.studio.gallery.folder / "hidden"
    trashed.parent.rename(hidden)
    time.sleep(0.1)
    hidden.rename(trashed.parent)
    a_week_passes(monkeypatch)
    eventually(lambda: not trashed.exists())


@pytest.mark.slow
def test_old_trash_makes_room_before_anybody_is_refused(
    serve: Serve, unloved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free_bytes(gallery: Gallery) -> int:
        return 0 if any(gallery.trash.iterdir()) else 1_000

    live = serve(min_free_bytes=1_000)
    trashed = delete(live, unloved)
    monkeypatch.setattr(Gallery, "free_bytes", free_bytes)
    refused = live.client.post("/jobs", json={"prompt": "a"})
    assert refused.status_code == 507
    assert "the last 7 days are still in its folder .trash" in refused.json()["error"]["remedy"]
    assert trashed.exists(), "it can be brought back"
    a_week_passes(monkeypatch)
    assert live.client.post("/jobs", json={"prompt": "a"}).status_code == 202


def test_jobs_long_ended_are_forgotten(gate: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.jobs.records.KEPT_JOBS", 3)
    live = serve(tidy_s=0.02)
    held = live.post_job("hold")["id"]
    ended = [live.post_job("a")["id"] for _ in range(5)]
    for job_id in ended:
        live.client.delete(f"/jobs/{job_id}").raise_for_status()
    eventually(lambda: live.client.get(f"/jobs/{ended[1]}").status_code == 404)
    listed = [job["id"] for job in live.client.get("/jobs").json()["jobs"]]
    assert listed == [*reversed(ended[2:]), held]


@pytest.mark.parametrize("path", ["/jobs", "/generate", "/v1/images/generations", "/sdapi/v1/txt2img"])
def test_a_folder_that_is_gone_is_named(live: LiveServer, path: str) -> None:
    live.settings.output.rename(live.settings.output.with_name("elsewhere"))
    refused = live.client.post(path, json={"prompt": "a"})
    assert refused.status_code == 507
    assert f"The folder of the images, {live.settings.output}, cannot be reached" in refused.text
    assert live.client.get("/health").status_code == 200
