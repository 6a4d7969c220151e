"""What Safari, phones and older browsers do differently, as far as Chromium can be made to do the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import (
    DRAWN_WITHIN_MS,
    LASTING_STEPS,
    SMALL,
    Site,
    draw,
    make_picture,
    wait_until_ready,
)

pytestmark = pytest.mark.browser


def connections(page: Page) -> list[str]:
    """The connections to the server that the page opens from here on."""
    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url) if "/events" in request.url else None)
    return opened


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_page_that_was_hidden_asks_anew(site: Site, open_page: Callable[..., Page]) -> None:
    """A locked iPhone may end the connection and say nothing; a glance at another tab costs none."""
    page = open_page(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    now = datetime.now()
    opened = connections(page)
    for away_ms, anew in ((100, 0), (5_000, 1)):
        page.clock.set_fixed_time(now)  # what this test takes does not count
        hide(page, hidden=True)
        page.clock.set_fixed_time(now + timedelta(milliseconds=away_ms))
        with page.expect_request("**/events*") if anew else nullcontext():
            hide(page, hidden=False)
        expect(page.locator("#connection-banner")).to_be_hidden()
        page.wait_for_timeout(200)
        assert len(opened) == anew, away_ms


def test_a_connection_without_a_word_is_made_anew(site: Site, open_page: Callable[..., Page]) -> None:
    """As after a change of network, which ends it without an error."""
    page = open_page("about:blank")
    page.clock.install()
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    opened = connections(page)
    page.clock.fast_forward(7_000)
    page.wait_for_timeout(200)
    assert opened == []
    with page.expect_request("**/events*"):
        page.clock.fast_forward(25_000)
    made = make_picture(site, "heard of afterwards")
    expect(page.locator(f"[data-id='{made}']")).to_be_visible()
    expect(page.locator("#connection-banner")).to_be_hidden()


def test_a_key_of_an_input_method_cancels_nothing(studio: Page) -> None:
    """Safari ends the composition first and sends the Escape that ended it then, with this code alone."""
    draw(studio, "a slow lantern", steps=LASTING_STEPS)
    expect(studio.locator("#stage-progress")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    cancelled = """keyCode => !document.getElementById("stage").dispatchEvent(
        new KeyboardEvent("keydown", { key: "Escape", keyCode, bubbles: true, cancelable: true }))"""
    assert not studio.evaluate(cancelled, 229)
    assert studio.evaluate(cancelled, 27)
    expect(studio.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_the_divider_follows_a_finger_anywhere(site: Site, open_page: Callable[..., Page]) -> None:
    """And exactly: a range by itself leaves room for its thumb at both ends, or on an iPhone hears nothing at all."""
    page = open_page(site.url, has_touch=True, kept=SMALL)
    wait_until_ready(page)
    page.get_by_label("Describe the picture").fill("a lantern, compared")
    page.get_by_label("Steps").fill("1")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".compare-caption")).to_have_count(2, timeout=DRAWN_WITHIN_MS)
    page.get_by_role("radio", name="Slider").check()
    page.locator(".wipe").scroll_into_view_if_needed()
    box = page.locator(".wipe").bounding_box()
    assert box is not None
    for percent in (3, 97):
        page.touchscreen.tap(box["x"] + percent / 100 * box["width"], box["y"] + 0.3 * box["height"])
        expect(page.get_by_role("slider")).to_have_value(str(percent))
        assert page.locator(".wipe").evaluate("frame => frame.style.getPropertyValue('--cut')") == f"{percent}%"
    expect(page.get_by_role("slider")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("slider")).to_have_value("96")


@pytest.fixture
def without_clipboard(open_page: Callable[..., Page]) -> Page:
    """As over plain HTTP in a network."""
    page = open_page("about:blank")
    page.add_init_script("delete Navigator.prototype.clipboard")
    return page


def pasted(site: Site, page: Page) -> str:
    """What the clipboard holds."""
    page.goto(f"{site.url}/gallery")
    page.get_by_role("searchbox").press("Control+v")
    return page.get_by_role("searchbox").input_value()


def test_copying_over_plain_http(site: Site, without_clipboard: Page) -> None:
    page = without_clipboard
    page.goto(f"{site.url}/connect")
    page.get_by_role("button", name="Copy the address").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert pasted(site, page) == site.url
    page.goto(f"{site.url}/i/{make_picture(site, 'a lantern to copy')}")
    page.get_by_role("button", name="Copy prompt").click()
    expect(page.get_by_text("Prompt copied.")).to_be_visible()
    assert pasted(site, page) == "a lantern to copy"


def test_what_cannot_be_copied_is_selected(site: Site, without_clipboard: Page) -> None:
    page = without_clipboard
    page.add_init_script("document.execCommand = () => false")
    page.goto(f"{site.url}/i/{make_picture(site, 'a lantern to select')}")
    page.get_by_role("button", name="Copy prompt").click()
    expect(page.get_by_text("The text is selected")).to_be_visible()
    assert page.evaluate("String(getSelection())") == "a lantern to select"


def test_the_drop_target_stays_until_the_file_is_away(studio: Page) -> None:
    """Safari's dragleave between two elements of the page looks like one out of the window."""
    shown = studio.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([], "a.png"));
            for (const type of ["dragover", "dragleave"])
                document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            return !document.getElementById("drop-target").hidden;
        }"""
    )
    assert shown
    expect(studio.locator("#drop-target")).to_be_hidden()


def test_a_search_is_kept_in_the_address(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    page.add_init_script("delete URLSearchParams.prototype.size")  # unknown to Safari before 17
    page.goto(f"{site.url}/gallery")
    page.get_by_role("searchbox").fill("lantern")
    page.wait_for_url(f"{site.url}/gallery?q=lantern")


def test_nothing_lies_under_a_notch(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank", viewport={"width": 844, "height": 390})
    insets = {"left": 47, "right": 59}
    page.context.new_cdp_session(page).send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    for path, selector in (("/gallery", ".page"), ("/gallery", ".header"), ("/", ".page")):
        page.goto(site.url + path)
        padding = "element => [getComputedStyle(element).paddingLeft, getComputedStyle(element).paddingRight]"
        assert page.locator(selector).evaluate(padding) == ["47px", "59px"], path


def test_the_veil_behind_a_dialog_follows_the_theme(site: Site, open_page: Callable[..., Page]) -> None:
    """Its colours are its own, because older browsers let it inherit none."""
    page = open_page(f"{site.url}/gallery")
    shown = "getComputedStyle(document.querySelector('dialog[open]'), '::backdrop').backgroundColor"
    for theme, system, veil in (("dark", "light", "rgba(4, 6, 4, 0.66)"), ("light", "dark", "rgba(40, 38, 30, 0.42)")):
        page.emulate_media(color_scheme=system)  # type: ignore[arg-type]
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        page.reload()
        page.get_by_role("button", name="Keyboard and tips").click()
        assert page.evaluate(shown) == veil
    page.emulate_media(color_scheme="light")
