"""The page as an installed app: what a browser needs for that, and what it shows while the server does not run."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.driver import Site, Watch

pytestmark = pytest.mark.browser


def test_it_says_when_the_server_is_gone_and_comes_back(
    tmp_path: Path, open_page: Callable[..., Page], watch: Watch
) -> None:
    site = Site(tmp_path)
    page = open_page(f"{site.url}/gallery", service_workers="allow")
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("async () => Boolean(await caches.match('/offline'))")
    manifest = json.loads(page.request.get(site.url + str(page.locator("[rel=manifest]").get_attribute("href"))).text())
    for icon in manifest["icons"]:
        with urllib.request.urlopen(site.url + icon["src"]) as answer, Image.open(answer) as opened:  # noqa: S310
            assert icon["sizes"] == "{}x{}".format(*opened.size)
    watch.expected = ["ERR_", "Failed to load resource"]
    site.stop()
    page.reload()
    expect(page.locator("h1")).to_have_text("The server is not running")
    assert page.locator(".button").evaluate("link => getComputedStyle(link).display") == "flex"  # with its style
    assert page.locator("img").evaluate("image => image.naturalWidth") > 0
    site.start(site.port)
    expect(page.locator("h1")).to_have_text("Gallery", timeout=30_000)  # by itself
    site.stop()
