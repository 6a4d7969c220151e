from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from server.gallery import Gallery
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
    monkeypatch.setattr("server.files.time", SimpleNamespace(time=lambda: later))


def test_a_server_that_finds_old_trash_empties_it(serve: Serve, unloved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = serve()
    trashed = delete(first, unloved)
    first.__exit__()
    assert trashed.exists()
    a_week_passes(monkeypatch)
    second = serve()
    eventually(lambda: not trashed.exists())
    assert second.client.post(f"/images/{unloved}/restore").status_code == 404
