"""Everybody can use it: axe finds nothing on any page in either theme, the keyboard reaches everything, phones fit."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.axe import violations
from tests.browser.driver import (
    DRAWN_WITHIN_MS,
    LASTING_STEPS,
    Site,
    Watch,
    draw,
    drawn,
    make_picture,
    resize,
    wait_until_ready,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def picture(site: Site) -> str:
    return make_picture(site, "a picture for everybody")


PAGES = (
    "/",
    "/gallery?q=for+everybody",
    "/gallery?q=there+is+no+such+picture",
    "/i/{id}",
    "/gallery/deleted",
    "/model-manager",
    "/connect",
    "/preferences",
    "/docs",
    "/there-is-nothing",
)


LAPTOP: ViewportSize = {"width": 1280, "height": 680}
PHONE: ViewportSize = {"width": 390, "height": 844}
TOO_WIDE = """
    document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
        .filter((element) => element.getBoundingClientRect().right > innerWidth)
        .map((element) => `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 80)}`)
"""


# Of the interface's hundred requests, which are alike, a phone is shown the first.
FEW_OPERATIONS = "() => [...document.querySelectorAll('details.operation')].slice(12).forEach((one) => one.remove())"


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_and_no_page_scrolls_sideways(
    site: Site, picture: str, open_page: Callable[..., Page], watch: Watch, axe: str, path: str
) -> None:
    """And no page says anything on the console."""
    watch.expected = ["status of 404"]
    page = open_page(site.url + path.format(id=picture), viewport=LAPTOP)
    expect(page.locator("#engine-mark")).to_be_visible()
    for size in (LAPTOP, PHONE):
        resize(page, **size)
        assert violations(page, axe) == [], size
        page.evaluate(FEW_OPERATIONS)
    for width in (360, 390, 768, 1600):
        resize(page, width, 800)
        assert page.evaluate(TOO_WIDE) == [], width


def test_axe_finds_nothing_in_what_appears_later(site: Site, studio: Page, axe: str) -> None:
    """What is drawn is looked at beside what waits; the help among the dialogs of test_keyboard.py."""
    page = studio
    page.get_by_role("button", name="Generate").click()  # without a prompt: an error below the field
    draw(page, "a slow picture", steps=LASTING_STEPS)
    expect(page.locator("#stage-progress")).to_be_visible()
    draw(page, "one that waits")
    expect(page.locator("#queue-panel")).to_be_visible()
    with site.engine_held():
        assert violations(page, axe) == [], "drawing, and a queue"
    page.locator("#queue").get_by_role("button", name="Cancel one that waits").click()
    expect(page.locator("#queue-panel")).to_be_hidden()
    page.locator("#generate").press("Escape")
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    assert violations(page, axe, "#stage") == [], "cancelled"
    page.get_by_label("Steps").fill("1")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".compare-caption")).to_have_count(2, timeout=DRAWN_WITHIN_MS)
    assert violations(page, axe) == [], "compared"
    page.get_by_role("radio", name="Slider").check()
    assert violations(page, axe, ".compare") == [], "slider"


def test_axe_finds_nothing_before_the_first_picture_and_in_the_viewer(
    site: Site, picture: str, open_page: Callable[..., Page], axe: str
) -> None:
    page = open_page("about:blank")
    nothing = {"images": [], "next_cursor": None, "total": 0}
    page.route("**/images?*", lambda route: route.fulfill(json=nothing))

    def look(what: str, within: str = "html") -> None:
        for size in (LAPTOP, PHONE):
            resize(page, **size)
            assert violations(page, axe, within) == [], (what, size)

    page.goto(site.url)
    expect(page.locator(".first-picture").first).to_be_visible()
    look("first run")
    page.unroute_all()
    page.goto(f"{site.url}/?from={picture}")
    page.locator("#stage .frame a").click()
    expect(page.locator("#viewer")).to_be_visible()
    look("viewer", "#viewer")
    page.keyboard.press("Escape")
    page.locator("#stage-foot summary").first.click()
    look("menu")


# Undo is offered for 15 seconds, and a busy machine may take longer for so many presses of Tab.
LASTING_MESSAGES = """() => {
    const { setTimeout } = window;
    window.setTimeout = (call, ms) => setTimeout(call, ms < 3_000 ? ms : 100 * ms);
}"""


def test_the_keyboard_alone_draws_looks_and_deletes(studio: Page) -> None:
    """Tab and keys only; the order of the page is the order of the work."""
    studio.set_viewport_size({"width": 1280, "height": 680})
    studio.keyboard.press("Tab")
    expect(studio.get_by_role("link", name="Skip to the content")).to_be_focused()
    studio.keyboard.press("Enter")
    tab_to(studio, "prompt")
    studio.keyboard.type("a red heart")
    tab_to(studio, "generate")
    studio.keyboard.press("Enter")
    drawn(studio, "a red heart")
    tab_to_name(studio, "Edit")
    studio.keyboard.press("Enter")
    expect(studio.get_by_role("radio", name="Redraw")).to_be_focused()  # where the work goes on
    studio.keyboard.press("ArrowRight")
    expect(studio.get_by_role("radio", name="Repaint")).to_be_focused()
    expect(studio.locator(".easel-mask")).to_be_visible()
    tab_until(studio, "document.activeElement.matches('.easel-mask')")
    for key in ("Space", *["ArrowRight"] * 12, "Space"):
        studio.keyboard.press(key)
    expect(studio.locator("#paint-share")).to_have_text(re.compile("[1-9] % marked"))
    studio.keyboard.press("Control+Enter")
    expect(studio.locator("#stage")).to_be_focused()
    drawn(studio, "a red heart")
    expect(studio.locator(".lineage-step")).to_have_count(2)
    studio.evaluate(LASTING_MESSAGES)
    tab_to_name(studio, "Delete")
    studio.keyboard.press("Enter")
    expect(studio.get_by_text("Picture deleted.")).to_be_visible()
    tab_to_name(studio, "Undo")
    studio.keyboard.press("Enter")
    expect(studio.get_by_text("Picture restored.")).to_be_visible()


def tab_to(page: Page, element_id: str) -> None:
    tab_until(page, f"document.activeElement.id === '{element_id}'")


def tab_to_name(page: Page, name: str) -> None:
    tab_until(page, f"(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim() === '{name}'")


def tab_until(page: Page, condition: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(condition):
            return
    pytest.fail(f"the keyboard does not reach it: {condition}")


MARKED = """one => {
    const { outlineStyle, borderBottomWidth, borderBottomStyle } = getComputedStyle(one);
    return outlineStyle !== "none" || (borderBottomStyle !== "none" && parseFloat(borderBottomWidth) > 2);
}"""


def test_what_is_chosen_is_seen_without_colours(site: Site, picture: str, open_page: Callable[..., Page]) -> None:
    """As in Windows' high contrast: backgrounds and shadows are gone, so a line says it."""
    page = open_page(site.url, forced_colors="active")
    wait_until_ready(page)
    choices = ".segmented label:has([name=aspect])"
    for chosen, other in (
        (".nav a[aria-current]", ".nav a:not([aria-current])"),
        (f"{choices}:has(:checked)", f"{choices}:not(:has(:checked))"),
        (".level:has(:checked)", None),
    ):
        assert page.locator(chosen).first.evaluate(MARKED), chosen
        if other:
            assert not page.locator(other).first.evaluate(MARKED), other
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    page.locator("#select").click()
    page.locator(".print").first.click()
    for chosen in (".nav a[aria-current]", ".print.selected", ".collections [aria-current]"):
        assert page.locator(chosen).first.evaluate(MARKED), chosen


def test_choices_move_with_the_arrow_keys(site: Site, open_page: Callable[..., Page]) -> None:
    studio = open_page(site.url)
    wait_until_ready(studio)
    studio.locator("[name=aspect]:checked").focus()
    studio.keyboard.press("ArrowRight")
    expect(studio.locator("[name=aspect]:checked")).to_be_focused()
    expect(studio.locator("[name=aspect]:checked")).to_have_value("Other")
    studio.keyboard.press("ArrowRight")
    expect(studio.locator("[name=aspect]:checked")).to_have_value("1:1")
    studio.locator("[name=variant][value=ternary]").focus()  # last: its sizes arrive when they will, and choose one
    studio.keyboard.press("ArrowRight")
    expect(studio.locator("[name=variant][value=binary]")).to_be_checked()


def test_nothing_in_the_composer_is_cut_off(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(site.url)
    expect(page.get_by_role("button", name="Other examples")).to_be_attached()
    for width in (360, 768, 1440):
        resize(page, width, 900)
        assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(composer)") == 0, width


def test_the_theme_can_be_chosen_and_is_kept(studio: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = studio.evaluate(background)
    studio.get_by_role("button", name="Theme").click()
    studio.get_by_role("button", name="Theme: light").click()
    dark = studio.evaluate(background)
    assert dark != light
    studio.reload()
    assert studio.evaluate(background) == dark
    expect(studio.get_by_role("button", name="Theme: dark")).to_be_visible()


def test_the_header_of_a_phone_leads_everywhere(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(site.url, viewport=PHONE, has_touch=True)
    wait_until_ready(page)
    expect(page.locator("#engine-mark")).to_be_visible()
    page.locator("#engine-memory").evaluate("one => { one.textContent = '1.24 GB'; }")
    places = [*page.locator(".nav a").all(), page.locator("#settings-link")]
    for width in (360, 390):
        resize(page, width, 844)
        for place in places:
            box = place.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        nav = page.locator(".nav").evaluate("nav => [nav.scrollWidth, nav.clientWidth]")
        assert nav[0] <= nav[1]
