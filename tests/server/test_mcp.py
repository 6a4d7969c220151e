"""What assistants are told when there is no way to draw for them."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from server.gallery.files import lock_folder
from tests.server.conftest import FAKE_ENGINE, LiveServer


@pytest.fixture
def mcp() -> Any:
    """Imported where it is asked for: its package takes a second."""
    pytest.importorskip("mcp", reason="needs the mcp extra")
    return importlib.import_module("server.mcp")


def test_a_second_assistant_is_told_what_to_do(mcp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the images belongs to the first, until that has ended."""
    monkeypatch.setenv("BONSAI_OUTPUT", str(tmp_path))
    monkeypatch.setenv("BONSAI_ENGINE", FAKE_ENGINE)

    async def talk() -> None:
        async with AsyncExitStack() as stack:
            second = mcp.Bonsai("http://127.0.0.1:1", None, stack)
            first = lock_folder(tmp_path)
            with pytest.raises(mcp.ToolError) as caught:
                await second.call("GET", "/health")
            for what in (str(tmp_path), "--url", "BONSAI_URL", "BONSAI_OUTPUT"):
                assert what in str(caught.value)
            assert "--output" not in str(caught.value)
            os.close(first)
            assert (await second.call("GET", "/health")).status_code == 200

    asyncio.run(talk())


def test_a_proxy_does_not_come_between(
    mcp: Any, serve: Callable[..., LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Mac has one for all programs, with its exceptions where Python does not look."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    live = serve()

    async def talk() -> None:
        async with AsyncExitStack() as stack:
            bonsai = mcp.Bonsai(live.url, None, stack)
            await bonsai.call("GET", "/health")
            assert bonsai._inside is None, "the running server was not found"

    asyncio.run(talk())
