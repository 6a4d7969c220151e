"""Recently deleted: brought back, ended before its time, and many of them."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.controls import controls_of
from tests.browser.driver import Site, Watch, make_picture
from tests.browser.filled import filled_site

pytestmark = pytest.mark.browser

MANY = 125  # two pages and a little


def test_what_was_deleted_is_brought_back_or_ended(site: Site, open_page: Callable[..., Page]) -> None:
    ids = [make_picture(site, f"a deleted cup {place}") for place in range(3)]
    page = open_page(f"{site.url}/gallery")
    page.request.delete(f"{site.url}/images/deleted")
    page.request.post(f"{site.url}/images/delete", data={"ids": ids})
    page.get_by_role("link", name="Recently deleted").click()
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    expect(page.locator(".bin-item")).to_have_count(3)
    assert controls_of(page) == {
        *("Gallery", "#restore-all", "#empty-bin", "bin Restore", "bin Delete for good", "#bin-more-link"),
        *("bin-empty Open the gallery", "Keep", "#end-confirm"),
    }
    expect(page.locator("#bin-words")).to_contain_text("3 pictures, ")
    for picture in page.locator(".bin-item img").all():
        expect(picture).to_have_js_property("naturalWidth", 64)
    page.get_by_role("button", name="Restore “a deleted cup 0”").press("Enter")
    expect(page.locator(".bin-item")).to_have_count(2)
    expect(page.locator(".bin-item button:focus")).to_have_text("Restore")  # the neighbour's, whichever that is
    assert page.request.get(f"{site.url}/images/{ids[0]}").status == 200
    page.get_by_role("button", name="Delete “a deleted cup 1” for good").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".bin-item")).to_have_count(2)
    page.get_by_role("button", name="Delete “a deleted cup 1” for good").click()
    page.locator("#end-confirm").click()
    expect(page.locator(".bin-item")).to_have_count(1)
    page.get_by_role("button", name="Restore all").click()
    expect(page.get_by_role("heading", name="Nothing deleted")).to_be_visible()
    assert page.request.get(f"{site.url}/images/{ids[2]}").status == 200
    page.request.post(f"{site.url}/images/delete", data={"ids": [ids[0], ids[2]]})
    expect(page.locator(".bin-item")).to_have_count(2)  # deleted elsewhere meanwhile
    page.locator("#empty-bin").click()
    expect(page.locator("#end-dialog")).to_contain_text("Nothing brings these pictures back.")
    page.locator("#end-confirm").click()
    expect(page.get_by_role("heading", name="Nothing deleted")).to_be_visible()
    assert page.request.get(f"{site.url}/images/deleted").json()["total"] == 0
    page.get_by_role("link", name="Open the gallery").click()
    expect(page).to_have_url(f"{site.url}/gallery")
    page.go_back()
    page.locator("#main").get_by_role("link", name="Gallery", exact=True).click()
    expect(page).to_have_url(f"{site.url}/gallery")


def asked(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  (our own server)
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return dict(json.load(answer))


@pytest.fixture
def full_bin(tmp_path: Path) -> Iterator[Site]:
    site, ids = filled_site(tmp_path, [(f"deleted {place}", 64, 64, 0) for place in range(MANY)])
    while asked(f"{site.url}/images?limit=1")["total"] < MANY:  # until the server has looked at every file
        time.sleep(0.1)
    asked(f"{site.url}/images/delete", {"ids": ids})
    yield site
    site.stop()


def test_many_are_shown_a_page_at_a_time_and_all_restored(
    full_bin: Site, open_page: Callable[..., Page], watch: Watch
) -> None:
    watch.expected += ["status of 404"]  # a small picture that was asked for just before its picture was restored
    page = open_page(f"{full_bin.url}/gallery/deleted")
    items, more = page.locator(".bin-item"), page.get_by_role("link", name="Show more")
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    expect(page.locator("#bin-words")).to_contain_text(f"{MANY} pictures, ")
    expect(items).to_have_count(60)
    more.press("Enter")
    expect(items).to_have_count(120)
    expect(more).to_be_focused()
    items.nth(100).get_by_role("button", name="Restore").click()
    expect(page.locator("#bin-words")).to_contain_text(f"{MANY - 1} pictures, ")
    expect(items).to_have_count(120)  # as many as there were, the next one among them
    more.press("Enter")
    expect(items).to_have_count(MANY - 1)
    expect(more).to_be_hidden()
    expect(items.nth(120).get_by_role("button", name="Restore")).to_be_focused()
    names = items.locator("img").evaluate_all("all => all.map((one) => one.alt)")
    assert len(set(names)) == MANY - 1
    assert page.url == f"{full_bin.url}/gallery/deleted"
    page.reload()
    expect(page.locator("#engine-mark")).to_be_visible()
    expect(items).to_have_count(60)
    # also those that are not shown, and more than are listed at once
    page.route("**/*limit=200", lambda route: route.continue_(url=route.request.url.replace("=200", "=50")))
    page.get_by_role("button", name="Restore all").click()
    expect(page.get_by_role("heading", name="Nothing deleted")).to_be_visible()
    expect(page.get_by_text(f"{MANY - 1} pictures restored.")).to_be_visible()
    assert page.request.get(f"{full_bin.url}/images?limit=1").json()["total"] == MANY
