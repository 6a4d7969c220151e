"""What the page tells whoever does not look at it: a message of the system's, the title, memory that becomes tight."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, LASTING_STEPS, SMALL, Site, draw, wait_until_ready

pytestmark = pytest.mark.browser

# The system's messages are noted instead of shown, and the page is looked away from on demand.
AWAY = """
    window.told = [];
    window.Notification = class extends EventTarget {
        static permission = "default";
        static async requestPermission() { return (Notification.permission = window.answer ?? "granted"); }
        constructor(words, { body }) { super(); window.told.push([words, body]); }
    };
    Object.defineProperty(document, "hidden", { get: () => Boolean(window.away), configurable: true });
    window.lookAway = (away) => { window.away = away; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_a_message_comes_when_all_is_drawn_and_nobody_looks(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank", kept=SMALL)
    page.add_init_script(AWAY)
    page.goto(site.url)
    wait_until_ready(page)
    page.request.post(f"{site.url}/queue/pause")
    draw(page, "to be told of")
    draw(page, "the last one")
    page.locator("#notify").check()
    page.evaluate("lookAway(true)")
    page.request.post(f"{site.url}/queue/resume")
    page.wait_for_function("() => window.told.length > 0", timeout=DRAWN_WITHIN_MS)
    expect(page).to_have_title("✓ Done · bonsai-mlx")
    assert page.evaluate("window.told") == [["Your picture is done", "the last one"]]  # once, for both
    page.evaluate("lookAway(false)")
    expect(page).to_have_title("bonsai-mlx")
    draw(page, "looked at", steps=1)
    expect(page.locator("#announcer")).to_have_text("The picture is done.", timeout=DRAWN_WITHIN_MS)
    assert page.evaluate("window.told.length") == 1


def test_messages_that_the_browser_forbids_are_not_promised(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank", kept=SMALL)
    page.add_init_script(AWAY + "window.answer = 'denied';")
    page.goto(site.url)
    wait_until_ready(page)
    draw(page, "one that lasts", steps=LASTING_STEPS)
    draw(page, "one that waits", steps=1)
    page.locator("#notify").click()
    expect(page.get_by_text("The browser does not allow messages from this page")).to_be_visible()
    expect(page.locator("#notify")).not_to_be_checked()
    page.locator("#queue-cancel").click()
    expect(page.locator("#cancel")).to_have_count(0, timeout=DRAWN_WITHIN_MS)


def test_the_memory_panel_opens_by_itself_once_memory_is_tight(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    memory = page.request.get(f"{site.url}/memory").json()
    models = page.request.get(f"{site.url}/models").json()["models"]
    tight = memory | {"worker": "busy", "system_total_bytes": 8_000_000_000, "system_available_bytes": 300_000_000}
    hello = {"server_version": "0", "jobs": [], "memory": memory, "models": models}
    words = f"event: hello\ndata: {json.dumps(hello)}\n\nevent: memory\ndata: {json.dumps(tight)}\n\n"
    page.route(re.compile(r"/events(\?|$)"), lambda route: route.fulfill(content_type="text/event-stream", body=words))
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#machine")).to_be_visible()
    expect(page.locator("#memory-warning")).to_have_text(
        "Memory is nearly full. Close other programs, or choose a smaller size."
    )
    expect(page.locator("#engine-mark")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    page.locator("#machine-close").click()
    expect(page.locator("#machine")).to_be_hidden()
