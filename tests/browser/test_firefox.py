"""The main road in Firefox: draw, enlarge in place, mark a place, look at every page, and axe where it counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.driver import DRAWN_WITHIN_MS, Site, missing
from tests.browser.firefox import Firefox

pytestmark = pytest.mark.browser

DRAWN_WITHIN_S = DRAWN_WITHIN_MS / 1000
ESCAPE = "\ue00c"
PAGES = ("/gallery", "/model-manager", "/connect", "/preferences", "/docs")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    path = shutil.which("firefox") or shutil.which("firefox-esr") or missing("Firefox")
    browser = Firefox(path, tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


def said_by(firefox: Firefox) -> list[str]:
    """Without what Firefox says of a page that is left: it listened to events, and its icons were on their way."""
    left = ("was interrupted while the page was loading", "favicon", "touch-icon")
    return [text for text in firefox.said if not any(part in text for part in left)]


def violations(firefox: Firefox, axe: str) -> list[str]:
    firefox.evaluate(f"{axe};0")
    text = firefox.evaluate(
        "axe.run(document).then(({ violations }) => JSON.stringify(violations.flatMap(({ id, nodes }) =>"
        " nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))))"
    )
    found: list[str] = json.loads(text)
    return found


def test_a_picture_is_drawn_enlarged_and_edited(site: Site, firefox: Firefox, axe: str, tmp_path: Path) -> None:
    firefox.open(site.url)
    firefox.wait_for("document.querySelector('[name=size]')", 60)
    assert violations(firefox, axe) == [], "first run"
    firefox.click("#prompt")
    firefox.press("a red boat in Firefox")
    firefox.click("#steps")
    firefox.evaluate("document.getElementById('steps').select()")
    firefox.press("1")
    firefox.click("#generate")
    picture = "[...document.querySelectorAll('#stage .frame a img')].find(({ alt }) => alt === 'a red boat in Firefox')"
    firefox.wait_for(f"{picture}?.naturalWidth", DRAWN_WITHIN_S)
    assert violations(firefox, axe) == [], "drawn"
    firefox.click("#stage .frame a")
    firefox.wait_for("document.getElementById('viewer')?.open", 10)
    firefox.wait_for("document.querySelector('.viewer-picture').naturalWidth", 10)
    assert violations(firefox, axe) == [], "viewer"
    firefox.press(ESCAPE)
    firefox.wait_for("!document.getElementById('viewer').open", 10)
    firefox.evaluate(
        "[...document.querySelectorAll('#stage-foot button')].find(one => one.textContent === 'Edit').click()"
    )
    firefox.wait_for("!document.getElementById('editor').hidden", 30)
    firefox.click("label:has(> [name=way][value=repaint])")
    firefox.wait_for("document.querySelector('#bench canvas')", 30)
    firefox.click("#bench canvas")
    firefox.wait_for("/% marked/.test(document.getElementById('paint-share').textContent)", 10)
    firefox.click("#generate")
    firefox.wait_for("document.querySelector('#lineage:not([hidden]) #lineage-steps')", DRAWN_WITHIN_S)
    (tmp_path / "firefox.png").write_bytes(firefox.screenshot())
    assert said_by(firefox) == []


def test_every_page_opens_and_says_nothing_on_the_console(site: Site, firefox: Firefox) -> None:
    for path in PAGES:
        firefox.open(site.url + path)
        firefox.wait_for("document.getElementById('engine-mark').dataset.ready !== undefined", 30)
        for width in (1280, 390):
            firefox.resize(width)
            sideways = firefox.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert sideways <= 0, (path, width)
    assert said_by(firefox) == []
