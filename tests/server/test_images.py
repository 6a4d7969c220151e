"""The gallery's routes: ids only, files only as we wrote them."""

from __future__ import annotations

import io
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from server.routes.common import IdPath
from server.schemas.names import Id
from tests.server.conftest import NATIVE, LiveServer

UNKNOWN = "e" * 32


@pytest.fixture(scope="module")
def ids(shared: LiveServer) -> list[str]:
    """Three images, oldest first."""
    jobs = shared.client.post("/jobs", json={"prompt": "a quiet <b>garden</b>", "seed": 1, "count": 3}).json()["jobs"]
    return [shared.finished(job["id"])["image_id"] for job in jobs]


@pytest.mark.slow
def test_paging_over_http(shared: LiveServer, ids: list[str]) -> None:
    first = shared.client.get("/images", params={"limit": 2}).json()
    assert [image["id"] for image in first["images"]] == [ids[2], ids[1]]
    rest = shared.client.get("/images", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert ([image["id"] for image in rest["images"]], rest["next_cursor"]) == ([ids[0]], None)
    assert shared.client.get("/images", params={"cursor": "nonsense"}).json()["error"]["field"] == "cursor"
    assert shared.client.get("/images", params={"limit": 0}).status_code == 422
    assert shared.client.get("/images", params={"limit": 201}).status_code == 422
    assert shared.client.get("/images", params={"q": "GARDEN quiet"}).json()["total"] == 3
    assert shared.client.get("/images", params={"q": "desert"}).json()["images"] == []


def test_favourites_over_http(shared: LiveServer, ids: list[str]) -> None:
    assert shared.client.patch(f"/images/{ids[0]}", json={"favourite": True}).json()["favourite"] is True
    assert shared.client.get("/images", params={"favourite": True}).json()["total"] == 1
    assert shared.client.patch(f"/images/{ids[0]}", json={"favourite": False}).json()["favourite"] is False
    assert shared.client.patch(f"/images/{UNKNOWN}", json={"favourite": True}).status_code == 404
    assert shared.client.patch(f"/images/{ids[0]}", json={"prompt": "changed"}).status_code == 422


def test_deleting_and_undoing_over_http(shared: LiveServer, ids: list[str]) -> None:
    deleted = shared.client.delete(f"/images/{ids[1]}")
    assert deleted.json()["id"] == ids[1]
    assert shared.client.get(f"/images/{ids[1]}.png").status_code == 404
    assert shared.client.get(f"/images/{ids[1]}/thumbnail").status_code == 404
    assert shared.client.get(f"/i/{ids[1]}").status_code == 404
    assert shared.client.post(f"/images/{ids[1]}/restore").json()["id"] == ids[1]
    assert shared.client.get(f"/images/{ids[1]}.png").status_code == 200
    assert shared.client.post(f"/images/{ids[1]}/restore").status_code == 404


def test_files_are_sent_as_what_they_are(shared: LiveServer, ids: list[str]) -> None:
    plain = shared.client.get(f"/images/{ids[0]}.png")
    assert plain.headers["content-type"] == "image/png"
    assert "immutable" in plain.headers["cache-control"]
    name = shared.client.get(f"/images/{ids[0]}").json()["file_name"]
    assert plain.headers["content-disposition"] == f'inline; filename="{name}"'
    bare = shared.client.get(f"/images/{ids[0]}.png", params={"metadata": "mark", "download": 1})
    assert bare.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert b"garden" in plain.content
    assert b"garden" not in bare.content
    assert shared.client.get(f"/images/{ids[0]}.png", params={"metadata": "some"}).status_code == 422


def test_ranges_are_not_served(shared: LiveServer, ids: list[str]) -> None:
    many = ",".join(f"{n}-{n + 1}" for n in range(900))  # 8 kB
    for path in (f"/images/{ids[0]}.png", f"/images/{ids[0]}/thumbnail", "/static/favicon.svg"):
        response = shared.client.get(path, headers={"Range": f"bytes={many}"})
        # files of our own may be sent in parts, but not in hundreds of them
        assert response.status_code == 200 or (path.startswith("/static") and response.status_code in (206, 400, 416))


def test_a_browser_is_led_to_the_page(shared: LiveServer, ids: list[str]) -> None:
    response = shared.client.get(f"/images/{ids[0]}", headers={"Accept": "text/html,*/*"})
    assert (response.status_code, response.headers["location"]) == (303, f"/i/{ids[0]}")


@pytest.fixture(scope="module")
def canary(shared: LiveServer) -> Iterator[Path]:
    """A file beside the output folder that nobody must reach."""
    path = shared.settings.output.parent / "canary.png"
    path.write_bytes(b"canary")
    yield path
    assert path.read_bytes() == b"canary"


HOSTILE = [
    "..%2fcanary",
    "%2e%2e%2fcanary",
    "..\\canary",
    "%00",
    "0" * 31,
    "0" * 33,
    "F" * 32,
    "0" * 4096,
    "%2fetc%2fpasswd",
    "....//....//canary",
    "%252e%252e%252fcanary",
    "\u0660" * 32,
    "0" * 32 + "%0a",
    ".trash",
    ".bonsai.sqlite3",
]


@pytest.mark.parametrize("form", ["/images/{}", "/images/{}.png", "/images/{}/thumbnail", "/i/{}"])
def test_nothing_but_ids_is_understood(shared: LiveServer, canary: Path, form: str) -> None:
    for name in HOSTILE:
        response = shared.client.get(form.format(name))
        assert response.status_code in (404, 422), name
        assert b"canary" not in response.content, name


@settings(max_examples=40)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64))
def test_no_text_is_taken_for_an_id(shared: LiveServer, canary: Path, name: str) -> None:
    response = shared.client.get(f"/images/{quote(name, safe='')}.png")
    assert response.status_code in (404, 405, 422) or set(name) <= set(string.hexdigits)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fA-F./%\n]{30,34}", fullmatch=True))
def test_ids_are_exactly_32_hexadecimal_digits(text: str) -> None:
    try:
        TypeAdapter(Id).validate_python(text)
        TypeAdapter(IdPath).validate_python(text)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted == (len(text) == 32 and set(text) <= set("0123456789abcdef"))


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_hostile_ids_change_nothing(shared: LiveServer, canary: Path, method: str) -> None:
    for name in HOSTILE:
        assert shared.client.request(method, f"/images/{name}", json={"favourite": True}).status_code in (404, 405, 422)


def test_pictures_can_be_decoded(shared: LiveServer, ids: list[str]) -> None:
    for image_id in ids:
        with Image.open(io.BytesIO(shared.client.get(f"/images/{image_id}.png").content)) as picture:
            picture.load()
            assert picture.size == NATIVE
