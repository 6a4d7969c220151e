"""What Safari, phones and older browsers do differently, as far as Chromium can be made to do the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import Site, make_picture

pytestmark = pytest.mark.browser


def connections(page: Page) -> list[str]:
    """The connections to the server that the page opens from here on."""
    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url) if request.url.endswith("/events") else None)
    return opened


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.parametrize(("away_ms", "anew"), [(100, 0), (5_000, 1)])
def test_a_page_that_was_hidden_asks_anew(site: Site, open_page: Callable[..., Page], away_ms: int, anew: int) -> None:
    """A locked iPhone may end the connection and say nothing; a glance at another tab costs none."""
    page = open_page(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    page.clock.install()
    opened = connections(page)
    hide(page, hidden=True)
    page.clock.fast_forward(away_ms)
    hide(page, hidden=False)
    expect(page.locator("#connection-banner")).to_be_hidden()
    page.wait_for_timeout(200)
    assert len(opened) == anew


def test_a_connection_without_a_word_is_made_anew(site: Site, open_page: Callable[..., Page]) -> None:
    """As after a change of network, which ends it without an error."""
    page = open_page("about:blank")
    page.clock.install()
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    opened = connections(page)
    page.clock.fast_forward(10_000)
    page.wait_for_timeout(200)
    assert opened == []
    with page.expect_request("**/events"):
        page.clock.fast_forward(25_000)
    made = make_picture(site, "heard of afterwards")
    expect(page.locator(f"[data-id='{made}']")).to_be_visible()
    expect(page.locator("#connection-banner")).to_be_hidden()
