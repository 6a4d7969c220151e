"""Recently deleted, over the native interface and as a page: listed, brought back, ended before its time."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.server.conftest import LiveServer

SMALL = {"width": 64, "height": 64, "steps": 1}


def drawn(live: LiveServer, *prompts: str) -> list[str]:
    return [live.client.post("/generate", json={"prompt": one, **SMALL}).headers["x-image-id"] for one in prompts]


@pytest.mark.slow
def test_what_was_deleted_is_listed_and_brought_back(live: LiveServer) -> None:
    first, second, kept = drawn(live, "a fox", "a <b>bear</b>", "a cup")
    live.client.delete(f"/images/{first}").raise_for_status()
    live.client.post("/images/delete", json={"ids": [second]}).raise_for_status()
    bin = live.client.get("/images/deleted").json()
    assert [one["id"] for one in bin["images"]] == [second, first]
    assert bin["total"] == 2
    files = list((live.settings.output / ".trash").iterdir())
    assert bin["bytes"] == sum(file.stat().st_size for file in files) > 0
    shown = bin["images"][0]
    days = datetime.fromisoformat(shown["gone_at"]) - datetime.fromisoformat(shown["deleted_at"])
    assert days.days == live.settings.trash_days == 7
    small = live.client.get(shown["thumbnail_url"])
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    (live.settings.output / ".thumbnails" / f"{second}.webp").unlink()
    assert live.client.get(shown["thumbnail_url"]).content[8:12] == b"WEBP"  # drawn again
    assert live.client.get(f"/images/deleted/{kept}/thumbnail").status_code == 404
    page = live.client.get("/gallery/deleted", headers={"accept": "text/html"}).text
    assert page.count('class="bin-item"') == 2
    assert "a &lt;b&gt;bear&lt;/b&gt;" in page
    assert len(live.client.get("/images/deleted?limit=1").json()["images"]) == 1
    restored = live.client.post("/images/restore", json={"ids": [first]}).json()
    assert restored == {"ids": [first], "missing": []}
    assert live.client.get(f"/images/{first}").status_code == 200
    assert live.client.get("/images/deleted").json()["total"] == 1


@pytest.mark.slow
def test_they_are_ended_before_their_time_and_nothing_else_is(live: LiveServer) -> None:
    first, second, third, kept = drawn(live, "a fox", "a bear", "a cup", "a house")
    live.client.post("/images/delete", json={"ids": [first, second, third]}).raise_for_status()
    ended = live.client.post("/images/deleted/end", json={"ids": [second, kept, "0" * 32]}).json()
    assert ended == {"ids": [second], "missing": [kept, "0" * 32]}
    assert live.client.get(f"/images/{kept}").status_code == 200
    assert live.client.post(f"/images/{second}/restore").status_code == 404
    assert {one["id"] for one in live.client.get("/images/deleted").json()["images"]} == {first, third}
    assert sorted(live.client.delete("/images/deleted").json()["ids"]) == sorted([first, third])
    assert list((live.settings.output / ".trash").iterdir()) == []
    assert live.client.get("/images/deleted").json() == {"images": [], "next_cursor": None, "total": 0, "bytes": 0}
    assert not (live.settings.output / ".thumbnails" / f"{first}.webp").exists()
    assert live.client.get(f"/images/{kept}").status_code == 200


@pytest.mark.slow
def test_many_come_a_page_at_a_time(live: LiveServer) -> None:
    ids = drawn(live, "one", "two", "three", "four", "five")
    live.client.post("/images/delete", json={"ids": ids[:3]}).raise_for_status()  # in one moment: sorted by their ids
    live.client.post("/images/delete", json={"ids": ids[3:]}).raise_for_status()
    whole = [one["id"] for one in live.client.get("/images/deleted").json()["images"]]
    assert whole == sorted(ids[3:]) + sorted(ids[:3])
    seen, cursor = [], ""
    for pages in range(1, 4):
        page = live.client.get("/images/deleted", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert page["total"] == 5
        seen += [one["id"] for one in page["images"]]
        cursor = page["next_cursor"]
        assert (cursor is None) == (pages == 3)
    assert seen == whole
    first = live.client.get("/images/deleted?limit=2").json()["next_cursor"]
    page = live.client.get("/gallery/deleted", params={"cursor": first}, headers={"accept": "text/html"}).text
    assert [one in page for one in whole] == [False, False, True, True, True]
    for bad in ("~", "1~x", "1e9~" + "0" * 32, "2025-01-01~" + "0" * 32):
        refused = live.client.get("/images/deleted", params={"cursor": bad})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "cursor")
