"""What is changed while the server runs counts for the next picture and for later starts; options of a start win."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.options.choices import Choices
from server.options.phone import outside_url, qr_svg
from server.settings import Settings
from server.store import Store
from tests.server.conftest import LiveServer, eventually

Serve = Callable[..., LiveServer]


def change(live: LiveServer, **values: Any) -> Any:
    return live.client.patch("/settings", json=values)


@pytest.mark.slow
def test_a_changed_limit_counts_for_the_next_picture_and_later_starts(serve: Serve) -> None:
    first = serve()
    limits = []
    run = first.studio.engines._workers[0].run
    first.studio.engines._workers[0].run = lambda command, *rest: (
        limits.append(  # type: ignore[method-assign]
            command.memory_limit_bytes
        )
        or run(command, *rest)
    )
    first.finished(first.post_job("plain")["id"])
    assert change(first, memory_limit_bytes=6 * 10**9).json()["memory_limit_bytes"] == 6 * 10**9
    first.finished(first.post_job("plain")["id"])
    assert limits == [None, 6 * 10**9]
    assert first.client.get("/fit", params={"width": 256, "height": 256}).json()["verdict"] == "fits"
    change(first, memory_limit_bytes=10**8)
    refused = first.client.post("/jobs", json={"prompt": "x", "width": 2048, "height": 2048})
    assert refused.json()["error"]["code"] == "does_not_fit"
    first.__exit__()
    second = serve()
    assert second.client.get("/settings").json()["memory_limit_bytes"] == 10**8
    assert change(second, memory_limit_bytes=None).json()["memory_limit_bytes"] is None


@pytest.mark.slow
def test_a_changed_keep_alive_ends_an_engine_that_is_idle(live: LiveServer) -> None:
    assert change(live, keep_alive_minutes=0).json()["keep_alive_minutes"] == 0
    live.finished(live.post_job("plain")["id"])
    assert live.studio.engines.pids
    change(live, keep_alive_minutes=0.001)
    eventually(lambda: not live.studio.engines.pids)


@pytest.mark.slow
def test_an_option_of_this_start_decides(serve: Serve) -> None:
    chosen = {
        "preview": False,
        "keep_alive_minutes": 3,
        "default_model": "seedling-binary",
        "memory_limit_bytes": 10**9,
    }
    first = serve()
    assert change(first, **chosen).json() == first.client.get("/settings").json()
    assert first.client.get("/settings").json() | chosen == first.client.get("/settings").json()
    assert first.client.get("/settings").json()["fixed"] == []
    first.__exit__()
    second = serve(preview=True, keep_alive=7, variant="ternary", memory_limit=2 * 10**9)
    found = second.client.get("/settings").json()
    assert found == {
        "preview": True, "keep_alive_minutes": 7, "default_model": None, "memory_limit_bytes": 2 * 10**9,
        "text_encoder": None, "decoder": None, "queue_size": 32,
        "fixed": ["preview", "default_model", "keep_alive_minutes", "memory_limit_bytes"],
    }  # fmt: skip
    assert second.client.get("/models").json()["default"] == "seedling-ternary"
    for field, option in (
        ("preview", "--no-preview"),
        ("default_model", "--variant"),
        ("keep_alive_minutes", "--keep-"),
    ):
        refused = change(second, **{field: chosen[field]})
        assert (refused.status_code, refused.json()["error"]["field"]) == (409, field)
        assert option[1] in refused.json()["error"]["message"]
    page = second.client.get("/preferences").text
    assert page.count("for this start of the server, which decides") == 4
    second.__exit__()
    third = serve().client.get("/settings").json()
    assert third | chosen == third  # what was chosen is still there for a start without options


def test_what_cannot_be_is_refused(shared: LiveServer) -> None:
    for field, value in (
        ("keep_alive_minutes", -1), ("keep_alive_minutes", 10_081), ("keep_alive_minutes", "5"),
        ("memory_limit_bytes", 10**8 - 1), ("memory_limit_bytes", 1.5e9 + 0.5), ("memory_limit_bytes", True),
        ("preview", 1), ("queue_size", 3),
    ):  # fmt: skip
        assert change(shared, **{field: value}).json()["error"]["field"] == field, (field, value)


@pytest.mark.parametrize("stored", ["", "much", "nan", "-4", "1e99"])
def test_what_nobody_can_have_chosen_counts_as_nothing(tmp_path: Path, stored: str) -> None:
    store = Store(tmp_path)
    for name in ("keep_alive_minutes", "memory_limit_bytes"):
        store.set_preference(name, stored)
    choices = Choices(Settings(), store)
    assert (choices.keep_alive, choices.memory_limit) == (10, None)
    store.close()


@pytest.mark.slow
def test_a_phone_is_signed_in_once_by_its_code(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = serve()
    refused = alone.client.post("/settings/phone")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "--host 0.0.0.0" in alone.client.get("/preferences").text
    alone.__exit__()
    live = serve(host="127.0.0.1", token="x" * 16)
    live.studio.settings = live.studio.settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104
    live.client.headers["Authorization"] = f"Bearer {'x' * 16}"
    monkeypatch.setattr("server.options.phone.address_in_network", lambda: "127.0.0.1")
    link = live.client.post("/settings/phone").json()
    assert link["url"].startswith(f"{live.url}/?ticket=")
    assert link["svg"].startswith("<?xml")
    assert "Show the code" in live.client.get("/preferences").text
    del live.client.headers["Authorization"]
    assert live.client.get(link["url"]).status_code == 303
    live.client.cookies.clear()
    assert live.client.get(link["url"]).status_code == 401


def test_the_code_says_the_link() -> None:
    assert outside_url("192.168.1.5", 8000) == "http://192.168.1.5:8000"
    assert outside_url("fd00::5", 80) == "http://[fd00::5]:80"
    first, second = qr_svg("http://192.168.1.5:8000/?ticket=abc"), qr_svg("http://192.168.1.5:8000/?ticket=abd")
    assert first != second
    assert 'stroke="#000"' in first
