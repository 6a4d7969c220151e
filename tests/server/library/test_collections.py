"""Collections: made, filled, renamed and deleted over the interface, and what they are worth to the gallery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.conftest import LiveServer, eventually
from tests.server.index.test_damage import write

NOBODY = "f" * 32


def drawn(live: LiveServer, *prompts: str) -> list[str]:
    jobs = [live.post_job(prompt) for prompt in prompts]
    return [live.finished(job["id"])["image_id"] for job in jobs]


def send(live: LiveServer, method: str, path: str, **body: Any) -> Any:
    return live.client.request(method, path, json=body)


def listed(live: LiveServer, **query: Any) -> list[str]:
    return [image["prompt"] for image in live.client.get("/images", params=query).json()["images"]]


@pytest.mark.slow
def test_a_collection_from_its_beginning_to_its_end(live: LiveServer) -> None:
    one, two, three = drawn(live, "one", "two", "three")
    trees = send(live, "POST", "/collections", name=" Trees ").json()
    assert (trees["name"], trees["total"], trees["cover"]) == ("Trees", 0, None)
    seas = send(live, "POST", "/collections", name="Seas").json()
    moved = send(live, "POST", "/images/move", ids=[one, two, one, NOBODY], into=trees["id"]).json()
    assert moved == {"ids": [one, two], "missing": [NOBODY]}
    assert listed(live, collection=trees["id"]) == ["two", "one"]
    assert listed(live, collection=trees["id"], sort="prompt") == ["one", "two"]
    assert live.client.get(f"/images/{one}").json()["collections"] == [trees["id"]]
    send(live, "POST", "/images/move", ids=[one], into=seas["id"], out_of=trees["id"])
    send(live, "POST", "/images/move", ids=[three], into=seas["id"])
    send(live, "POST", "/images/move", ids=[three], out_of=seas["id"])
    assert (listed(live, collection=trees["id"]), listed(live, collection=seas["id"])) == (["two"], ["one"])
    renamed = send(live, "PATCH", f"/collections/{trees['id']}", name="Woods").json()
    assert (renamed["name"], renamed["total"], renamed["cover"]) == ("Woods", 1, f"/images/{two}/thumbnail")
    assert [c["name"] for c in live.client.get("/collections").json()["collections"]] == ["Seas", "Woods"]
    live.client.delete(f"/images/{two}")
    assert live.client.get("/collections").json()["collections"][1]["total"] == 0
    live.client.post(f"/images/{two}/restore")
    assert listed(live, collection=trees["id"]) == ["two"]  # deleting takes nothing out of a collection
    assert live.client.delete(f"/collections/{trees['id']}").json()["name"] == "Woods"
    assert listed(live, sort="oldest") == ["one", "two", "three"]
    assert live.client.get(f"/images/{two}").json()["collections"] == []


def test_what_is_refused(shared: LiveServer) -> None:
    made = send(shared, "POST", "/collections", name="Füchse").json()
    same = send(shared, "POST", "/collections", name="FÜCHSE")
    assert (same.status_code, same.json()["error"]["field"]) == (409, "name")
    other = send(shared, "POST", "/collections", name="other").json()
    assert send(shared, "PATCH", f"/collections/{other['id']}", name="füchse").status_code == 409
    assert send(shared, "PATCH", f"/collections/{other['id']}", name="Other").json()["name"] == "Other"
    for name in ("", "  ", "a\nb", "x" * 81, 7):
        assert send(shared, "POST", "/collections", name=name).json()["error"]["field"] == "name", name
    ids = [NOBODY]
    for body, status, field in (
        ({"ids": ids}, 422, "into"),
        ({"ids": [], "into": made["id"]}, 422, "ids"),
        ({"ids": ["../x"], "into": made["id"]}, 422, "ids.0"),
        ({"ids": ids, "into": NOBODY}, 404, None),
        ({"ids": ids, "out_of": NOBODY}, 404, None),
    ):
        answer = send(shared, "POST", "/images/move", **body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field), body
    for method, path in (("PATCH", f"/collections/{NOBODY}"), ("DELETE", f"/collections/{NOBODY}")):
        assert send(shared, method, path, name="x").status_code == 404


@pytest.mark.slow
def test_collections_outlast_a_start_and_a_damaged_index(serve: Callable[..., LiveServer]) -> None:
    first = serve()
    [one] = drawn(first, "one")
    made = send(first, "POST", "/collections", name="Kept").json()
    send(first, "POST", "/images/move", ids=[one], into=made["id"])
    first.__exit__()
    write(first.settings.output, "ALTER TABLE images DROP COLUMN search")
    second = serve()
    found = second.client.get("/collections").json()["collections"]
    assert [(c["name"], c["id"]) for c in found] == [("Kept", made["id"])]
    eventually(lambda: listed(second, collection=made["id"]) == ["one"])
