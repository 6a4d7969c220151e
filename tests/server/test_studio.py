from __future__ import annotations

from collections.abc import Callable

import pytest

from server.gallery import Gallery
from tests.server.conftest import LiveServer, eventually


def test_a_failure_in_the_background_is_told(
    serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_self: Gallery) -> int:
        raise OSError("the folder went away")

    monkeypatch.setattr(Gallery, "reconcile", fail)
    live = serve()
    eventually(lambda: "the folder went away" in caplog.text)
    assert live.client.get("/health").status_code == 200
