"""Downloads that begin and end at once, on a full disk, and while the server ends."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from huggingface_hub import constants

from server.checkpoints.models import Models
from server.errors import ApiError
from server.events import EventHub
from server.settings import Settings
from server.store import Store


@pytest.fixture
def alone(downloader: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Run an async test with the checkpoints and no server around them, in a cache of their own."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (downloader / "held").touch()

    def run(test: Callable[[Models], Awaitable[None]]) -> None:
        async def main() -> None:
            with contextlib.closing(Store(tmp_path)) as store:
                models = Models(Settings(), store, EventHub(100, 1))
                try:
                    await test(models)
                finally:
                    await models.close()

        asyncio.run(main())

    return run


def running(downloader: Path) -> list[psutil.Process]:
    children = psutil.Process().children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]  # of other tests
    return [child for child in alive if str(downloader / "download.py") in child.cmdline()]


def test_two_requests_at_once_start_one_download(alone: Callable[..., None], downloader: Path) -> None:
    async def test(models: Models) -> None:
        asked = await asyncio.gather(*(models.download("ternary") for _ in range(3)))
        assert [model.state for model in asked] == ["downloading"] * 3
        assert len(running(downloader)) == 1
        await models.pause("ternary")
        assert running(downloader) == []

    alone(test)


def test_a_check_waits_for_a_download_that_is_about_to_start(alone: Callable[..., None], downloader: Path) -> None:
    async def test(models: Models) -> None:
        _, refused = await asyncio.gather(models.download("ternary"), models.verify("ternary"), return_exceptions=True)
        assert isinstance(refused, ApiError)
        assert refused.detail.code == "conflict"
        assert len(running(downloader)) == 1

    alone(test)


@pytest.mark.parametrize("end", ["pause", "cancel", "delete"])
def test_a_download_ends_that_is_about_to_start(alone: Callable[..., None], downloader: Path, end: str) -> None:
    async def test(models: Models) -> None:
        asked = await asyncio.gather(
            models.download("ternary"), getattr(models, end)("ternary"), return_exceptions=True
        )
        assert not [error for error in asked if isinstance(error, Exception)]
        assert running(downloader) == []
        assert models.get("ternary").state == "absent"

    alone(test)


@pytest.fixture
def full_disk() -> Iterator[pytest.MonkeyPatch]:
    """The index cannot note that a download is over; `undo` of what this returns makes room."""

    def full(self: Store, name: str, value: str | None) -> None:
        if value is None:
            raise sqlite3.OperationalError("database or disk is full")
        set_preference(self, name, value)

    set_preference = Store.set_preference
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "set_preference", full)
        yield patch


def test_a_download_that_a_full_disk_ends_is_told_and_not_begun_again(
    alone: Callable[..., None], downloader: Path, tmp_path: Path, full_disk: pytest.MonkeyPatch
) -> None:
    async def test(models: Models) -> None:
        (downloader / "failing").touch()
        told = models._events.subscribe({}, None)
        await models.download("ternary")
        async with asyncio.timeout(60):
            while b'"state":"failed"' not in (await told.queue.get() or b""):
                pass
        assert models.get("ternary").state == "failed"
        full_disk.undo()

    alone(test)
    with contextlib.closing(Store(tmp_path)) as store:
        assert store.preference("download:ternary") is None


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_full_disk_keeps_nobody_from_freeing_it(
    alone: Callable[..., None], downloader: Path, full_disk: pytest.MonkeyPatch, end: str
) -> None:
    async def test(models: Models) -> None:
        await models.download("ternary")
        assert (await getattr(models, end)("ternary")).state == "absent"
        assert running(downloader) == []
        await models.download("ternary")  # is wished for again
        assert models._intent("ternary") == "downloading"

    alone(test)


def test_nothing_starts_once_the_server_ends(alone: Callable[..., None], downloader: Path) -> None:
    async def test(models: Models) -> None:
        await asyncio.gather(models.download("ternary"), models.close())
        assert running(downloader) == []
        with pytest.raises(ApiError, match="shutting down"):
            await models.download("binary")
        assert running(downloader) == []

    alone(test)
