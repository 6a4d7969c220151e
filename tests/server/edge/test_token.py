# ruff: noqa: S104, S105  (addresses and tokens are what this is about)
"""The token: without it nothing answers, and it is remembered nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.server.conftest import PLAIN, LiveServer, eventually
from tests.server.walk import status_of, walk

TOKEN = "a-token-for-this-test"
WALK = walk(create_app(Settings()))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = Settings(
        output=tmp_path_factory.mktemp("guarded"), token=TOKEN, engine="tests.server.fake_engine:backend", browser=False
    )
    with LiveServer(settings) as running:
        yield running


def test_without_the_token_nothing_answers(guarded: LiveServer) -> None:
    for method, path in WALK:
        assert status_of(guarded, method, path, {}) == 401, (method, path)
    assert status_of(guarded, "GET", "/health", {"Authorization": "Bearer wrong"}) == 401


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {token}x",
        "Bearer",
        "Basic !!!",
        "Basic {token}",
        "Basic OndCg==",
        "basic",
        "{token}",
        "Digest {token}",
        "Bearer \xe9",
        "Basic \xe9",
        "Basic /w==",
    ],
)
def test_wrong_credentials_are_wrong(guarded: LiveServer, header: str) -> None:
    guarded.app.access.guesses.right("127.0.0.1")  # type: ignore[attr-defined]  # so many would have to wait
    value = header.format(token=TOKEN).encode("latin-1")
    assert guarded.client.get("/health", headers=[(b"Authorization", value)]).status_code == 401


def test_a_bearer_and_a_password_open(guarded: LiveServer) -> None:
    assert guarded.client.get("/health", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert guarded.client.get("/health", auth=("anybody", TOKEN)).status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        "kQ/9+c=?@x==kQ/9",
        "two words; and so on",
        'with "quotes" \\ and 100%25',
        "#fragment&a=b+c=d",
        "ein Geheimwört, lang",
    ],
)
def test_any_token_opens(serve: Callable[..., LiveServer], token: str) -> None:
    server = serve(token=token)
    with httpx.Client(base_url=server.url, verify=PLAIN) as browser:
        assert browser.post("/sign-in", data={"token": token}).status_code == 303
        assert browser.get("/").status_code == 200
    assert server.client.get("/", auth=("anybody", token)).status_code == 200
    assert server.client.get("/", headers=[(b"Authorization", b"Bearer " + token.encode())]).status_code == 200


def test_a_browser_without_the_token_is_told_what_to_open(guarded: LiveServer) -> None:
    page = guarded.client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert "Sign in" in page.text
    assert "www-authenticate" not in page.headers


def test_the_token_is_remembered_nowhere(guarded: LiveServer) -> None:
    requests = guarded.app.recent_requests  # type: ignore[attr-defined]
    requests.clear()
    guarded.client.get(f"/?token={TOKEN}")
    guarded.client.post("/sign-in", data={"token": TOKEN})
    noted = eventually(lambda: list(requests))  # after the answer; a list, since another thread writes there
    assert TOKEN not in repr(noted)


def test_others_cannot_reach_it_without_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.2", "::"):
        with pytest.raises(ValueError, match="token"):
            create_app(Settings(host=host, output=tmp_path))
        create_app(Settings(host=host, output=tmp_path, token=TOKEN))
