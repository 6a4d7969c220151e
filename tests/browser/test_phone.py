"""A server that the network reaches: the page asks for the token, and signs a phone in by the code that it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.driver import Site, Watch

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-this-test-alone"  # noqa: S105


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BONSAI_HOST", "0.0.0.0")  # noqa: S104
        patched.setenv("BONSAI_TOKEN", TOKEN)
        site = Site(tmp_path_factory.mktemp("open"))
    yield site
    site.stop()


@pytest.fixture
def asked(open_site: Site, open_page: Callable[..., Page], watch: Watch) -> Page:
    watch.expected += ["status of 401", "Cross-Origin-Opener-Policy header has been ignored"]  # over plain HTTP
    return open_page(f"{open_site.url}/gallery")


def test_the_token_is_asked_for_and_leads_to_the_page_that_was_meant(open_site: Site, asked: Page, axe: str) -> None:
    field = asked.get_by_label("Token")
    expect(field).to_be_focused()
    assert violations(asked, axe) == []
    found = asked.evaluate("getComputedStyle(document.querySelector('button')).minHeight")
    assert found == "44px"  # it has its style, which it cannot fetch
    field.fill("not this one")
    field.press("Enter")
    expect(asked.get_by_role("alert")).to_have_text("That is not the token.")
    asked.get_by_label("Token").fill(TOKEN)
    asked.get_by_role("button", name="Sign in").click()
    expect(asked).to_have_url(f"{open_site.url}/gallery")
    expect(asked.locator("#engine-mark")).to_be_visible()


def test_a_phone_is_signed_in_by_the_code_once(open_site: Site, asked: Page, open_page: Callable[..., Page]) -> None:
    asked.get_by_label("Token").fill(TOKEN)
    asked.get_by_label("Token").press("Enter")
    asked.goto(f"{open_site.url}/preferences")
    asked.get_by_role("button", name="Show the code").click()
    code = asked.get_by_alt_text("QR code of the link below")
    expect(code).to_be_visible()
    expect(code).not_to_have_js_property("naturalWidth", 0)
    link = asked.locator("#code-link").inner_text()
    assert re.fullmatch(rf"{re.escape(open_site.url)}/\?ticket=\S+", link)
    phone = open_page(link, viewport={"width": 390, "height": 844}, has_touch=True)
    expect(phone.locator("#engine-mark")).to_be_visible()
    assert "ticket" not in phone.url
    another = open_page(link, viewport={"width": 390, "height": 844})
    expect(another.get_by_role("heading", name="Sign in")).to_be_visible()
