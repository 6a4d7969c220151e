"""Prompts are text wherever they appear: no dialog, no broken policy, no markup, not a character changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, ROOT, Site, draw, make_picture

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "javascript:alert(1)",
    "{{7*7}} {% raw %} ${7*7} <%= 7 %>",
    "</textarea></title></template><iframe srcdoc='<script>alert(1)</script>'>",
    "<a href='javascript:alert(1)'>click</a>",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "line one\u2028line two\u2029\ttab",
    "\u202eright to left\u202c and \u200bzero width",
    "<style>body{display:none}</style>" + "x" * 2_000,
    "盆栽 🌳 \U0001f469\u200d\U0001f3a8 é e\u0301",
]


MARKUP = "iframe, main script, main style, [onload], [onerror], [onmouseover]"


def test_hostile_prompts_are_shown_verbatim(site: Site, open_page: Callable[..., Page]) -> None:
    pictures = {make_picture(site, payload): payload for payload in PAYLOADS}
    page = open_page(f"{site.url}/gallery")
    for picture, payload in pictures.items():
        item = page.locator(f'[data-id="{picture}"]')
        assert item.locator("img").get_attribute("alt") == payload
        assert item.locator(".print-caption").text_content() == payload
    for picture, payload in pictures.items():
        page.goto(f"{site.url}/i/{picture}")
        assert page.locator("h1").text_content() == payload
        assert page.locator(MARKUP).count() == 0
    page.goto(f"{site.url}/?from={picture}")
    for picture, payload in pictures.items():
        page.locator(f'#strip [data-id="{picture}"]').click()
        expect(page.locator("#stage .stage-prompt")).to_have_js_property("textContent", payload)
        page.get_by_role("button", name="Use settings").click()
        assert page.get_by_label("Describe the picture").input_value() == payload
    assert page.locator(MARKUP).count() == 0
    page.go_back()
    assert page.locator("h1").text_content() == PAYLOADS[-1]


def test_a_hostile_prompt_passes_through_every_state(studio: Page) -> None:
    """Typed, refused, queued, drawn, cancelled: each shows the prompt."""
    payload = "<img src=x onerror=alert(2)><b>bold</b>"
    draw(studio, payload, steps=60)
    expect(studio.locator("#stage .stage-prompt")).to_have_text(payload)
    draw(studio, payload)
    expect(studio.locator("#queue .queue-prompt")).to_have_text([payload, payload])
    studio.locator("#queue button").last.click()
    expect(studio.get_by_role("heading", name="Cancelled")).to_be_visible()
    studio.reload()
    studio.get_by_role("button", name="Cancel", exact=True).click()
    expect(studio.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_a_search_for_markup_is_shown_as_text(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/gallery?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E%22nothing")
    assert page.get_by_role("searchbox").input_value() == '<img src=x onerror=alert(1)>"nothing'
    expect(page.get_by_text("Nothing found")).to_be_visible()


def test_the_sources_hold_no_way_to_parse_markup() -> None:
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
        "|safe",
        "| safe",
        "Markup(",
        " style=",
    )
    for file in (*(ROOT / "static/js").glob("*.js"), *(ROOT / "templates").glob("*.html")):
        source = Path(file).read_text()
        assert [word for word in forbidden if word in source] == [], file
        addresses = source.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xhtml", "")
        assert "http://" not in addresses, file
        assert "https://" not in addresses, file
