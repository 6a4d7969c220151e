"""The pages as HTML: they open, they escape, and they load nothing from elsewhere."""

from __future__ import annotations

import re
import socket

import pytest
from PIL import Image

from server.assets.files import STATIC, static_url
from server.templating import TEMPLATES
from tests.server.conftest import LiveServer

PAGES = ["/", "/gallery", "/model-manager", "/preferences", "/docs"]
HOSTILE = "<script>alert(1)</script>\"onload='x'{{7*7}}\u2028</textarea>"
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize("path", PAGES)
def test_pages_open_and_name_only_our_own_files(shared: LiveServer, path: str) -> None:
    page = shared.client.get(path, headers=HTML)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    assert not [a for a in addresses if not a.startswith(("/", "#"))]
    for asset in {a for a in addresses if a.startswith("/static/")}:
        assert shared.client.get(asset).status_code == 200, asset
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    assert not re.search(r"\s(?:on\w+|style)=", page.text)


def test_who_types_the_address_of_data_gets_the_page_that_shows_it(shared: LiveServer) -> None:
    typed = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for data, page in {"/models": "/model-manager", "/settings": "/preferences", "/images": "/gallery"}.items():
        led = shared.client.get(data, headers=typed, follow_redirects=False)
        assert (led.status_code, led.headers["location"]) == (303, page)
        for accepts in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/html"}):
            assert shared.client.get(data, headers=accepts).headers["content-type"] == "application/json", accepts


def test_pages_link_to_each_other(shared: LiveServer) -> None:
    for path in PAGES[:3]:
        assert f'href="{path}" aria-current="page"' in shared.client.get(path).text


@pytest.mark.slow
def test_prompts_are_escaped_everywhere(shared: LiveServer) -> None:
    image_id = shared.finished(shared.post_job(HOSTILE)["id"])["image_id"]
    for path in ("/", "/gallery", f"/i/{image_id}", "/gallery?q=%3Cscript%3E"):
        text = shared.client.get(path).text
        assert "<script>alert" not in text
        assert "49" not in re.findall(r"onload=&#39;x&#39;(\d+)", text)
    assert "&lt;script&gt;alert(1)" in shared.client.get(f"/i/{image_id}").text


def test_the_gallery_works_without_scripts(shared: LiveServer) -> None:
    image_id = shared.finished(shared.post_job("a lighthouse")["id"])["image_id"]
    assert f"/i/{image_id}" in shared.client.get("/gallery").text
    assert f"/i/{image_id}" in shared.client.get("/gallery?q=LIGHTHOUSE").text
    assert f"/i/{image_id}" not in shared.client.get("/gallery?q=submarine").text
    assert f"/i/{image_id}" not in shared.client.get("/gallery?favourite=1").text


def test_an_image_page_shows_neighbours_and_siblings(shared: LiveServer) -> None:
    jobs = shared.client.post("/jobs", json={"prompt": "three", "count": 3}).json()["jobs"]
    ids = [shared.finished(job["id"])["image_id"] for job in jobs]
    text = shared.client.get(f"/i/{ids[1]}").text
    assert f'href="/i/{ids[0]}"' in text
    assert f'href="/i/{ids[2]}"' in text


@pytest.mark.parametrize("path", ["/nowhere", f"/i/{'0' * 32}", "/i/short", "/gallery?cursor=x"])
def test_errors_are_pages_for_people_and_json_for_programs(shared: LiveServer, path: str) -> None:
    page = shared.client.get(path, headers=HTML)
    assert page.status_code in (404, 422)
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>" in page.text
    assert shared.client.get(path).json()["error"]["message"]


@pytest.mark.parametrize("asked", ["sort=nonsense", "cursor=x", "favourite=perhaps"])
def test_a_page_asked_for_wrongly_leads_to_it_as_it_is(shared: LiveServer, asked: str) -> None:
    wrong = shared.client.get(f"/gallery?{asked}", headers=HTML)
    assert wrong.status_code == 422
    assert '<a class="button" href="/gallery">' in wrong.text
    assert '<a class="button" href="/nowhere">' not in shared.client.get("/nowhere?a=b", headers=HTML).text


def test_assets_are_kept_for_ever_only_under_their_current_address(shared: LiveServer) -> None:
    address = static_url("favicon.svg")
    assert re.fullmatch(r"/static/favicon\.svg\?v=[0-9a-f]{12}", address)
    assert "immutable" in shared.client.get(address).headers["cache-control"]
    for other in ("/static/favicon.svg", "/static/favicon.svg?v=000000000000"):
        assert shared.client.get(other).headers["cache-control"] == "no-cache"
    assert static_url("missing.js") == "/static/missing.js"
    etag = shared.client.get("/static/favicon.svg").headers["etag"]
    assert shared.client.get("/static/favicon.svg", headers={"If-None-Match": etag}).status_code == 304


def test_style_sheets_come_in_one_request_and_are_all_there(shared: LiveServer) -> None:
    text = shared.client.get("/").text
    addresses = re.findall(r'rel="stylesheet" href="([^"]+)"', text)
    assert len(addresses) == 2
    for address in addresses:
        answer = shared.client.get(address)
        assert answer.headers["content-type"].startswith("text/css")
        assert "immutable" in answer.headers["cache-control"]
        names = re.fullmatch(r"/static/css/([a-z+-]+)\.css\?v=[0-9a-f]{12}", address)
        assert names is not None
        own = [(STATIC / f"css/{name}.css").read_text() for name in names[1].split("+")]
        assert answer.text == "\n".join(own)
    assert static_url("css/tokens+base.css") != static_url("css/base+tokens.css").replace("base+tokens", "tokens+base")
    for missing in ("tokens+nothing", "tokens+..", "tokens+", "+".join(["tokens"] * 17)):
        assert shared.client.get(f"/static/css/{missing}.css").status_code == 404
    assert shared.client.post("/static/css/tokens+base.css", json={}).status_code == 405


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../server/app.py", "/static/%2e%2e/pyproject.toml", "/static/js"]
)
def test_only_shipped_files_are_served(shared: LiveServer, path: str) -> None:
    assert shared.client.get(path).status_code in (404, 405)


@pytest.mark.parametrize("path", ["../../../../../../dev/zero", "%2e%2e/%2e%2e/LICENSE", "css/../../LICENSE", "a%00b"])
def test_what_is_not_shipped_is_not_even_read(shared: LiveServer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx takes dots out of an address, so it is written by hand."""
    read: list[str] = []
    monkeypatch.setattr("server.app.version_of", read.append)
    request = f"GET /static/{path} HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), 10) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 404")
    assert read == []


def test_scripts_have_a_type_that_browsers_run() -> None:
    assert list(STATIC.glob("js/*/*.js"))


def test_icons_for_browsers_that_show_no_svg(shared: LiveServer) -> None:
    text = shared.client.get("/").text
    found = re.findall(r'<link rel="((?:apple-touch-)?icon)"[^>]* sizes="(\d+)x(\d+)" href="/static/([^?"]+)', text)
    assert {rel for rel, *_ in found} == {"icon", "apple-touch-icon"}
    for _, width, height, name in found:
        file = STATIC / name
        assert file.stat().st_size < 10_000
        with Image.open(file) as icon:
            assert icon.size == (int(width), int(height))


def test_lists_without_marks_say_that_they_are_lists() -> None:
    """VoiceOver takes a list of `list-style: none` for plain text otherwise."""
    markup = [path.read_text() for path in TEMPLATES.glob("*.html")]
    lists = [tag for text in markup for tag in re.findall(r"<[uo]l\b[^>]*>", text)]
    scripts = [path.read_text() for path in STATIC.glob("js/*/*.js")]
    built = [call for text in scripts for call in re.findall(r'el\("[uo]l",[^,]*,[^,]*', text)]
    assert lists
    assert built
    assert not [each for each in lists + built if not re.search(r'role(=|: )"list"', each)]


def test_colours_are_known_to_every_browser() -> None:
    """Safari knows light-dark() from 17.5 on; without it the page would have no colour at all."""
    for path in STATIC.glob("css/*.css"):
        rules = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert "light-dark(" not in rules, path.name


def test_head_of_the_home_page(shared: LiveServer) -> None:
    assert shared.client.head("/").status_code == 200
