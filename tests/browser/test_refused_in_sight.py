"""What keeps Generate from drawing is in sight once it is pressed, however the page was scrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.driver import SMALL, Site, Watch, resize, wait_until_ready
from tests.browser.edited import choose_way, open_editor, photo, png

pytestmark = pytest.mark.browser

LAPTOP: ViewportSize = {"width": 1280, "height": 680}
SIZES: tuple[ViewportSize, ...] = (LAPTOP, {"width": 390, "height": 844})
SEEN = """(selector) => {
    const line = document.querySelector(selector);
    const { left, width, top, bottom } = line.getBoundingClientRect();
    return [top + 2, bottom - 2].every((y) => line.contains(document.elementFromPoint(left + width / 2, y)));
}"""
TO_THE_TOP = "() => { scrollTo(0, 0); document.getElementById('composer').scrollTop = 0; }"
TO_THE_END = "() => { scrollTo(0, 9999); document.getElementById('composer').scrollTop = 9999; }"


def no_words(page: Page) -> None:
    page.locator("#prompt").fill(" ")


def no_steps(page: Page) -> None:
    page.locator("#steps").fill("0")


def no_seed(page: Page) -> None:
    page.locator("#seed").fill("-1")


def no_size(page: Page) -> None:
    page.locator("#width").fill("100")


def no_list(page: Page) -> None:
    page.locator("#axes-toggle").click()
    page.locator("#axis-1").select_option("seed")
    page.locator("#axis-1-values").fill("x..y")


def no_list_in_sight(page: Page) -> None:
    no_list(page)
    page.locator("#axes-toggle").click()


def too_many(page: Page) -> None:
    """The server counts them."""
    page.locator("#axes-toggle").click()
    page.locator("#axis-1").select_option("seed")
    page.locator("#axis-1-values").fill("1..900")


def nothing_marked(page: Page) -> None:
    choose_way(page, "repaint")
    expect(page.locator(".easel-mask")).to_be_visible()


def nowhere_to_grow(page: Page) -> None:
    choose_way(page, "extend")
    expect(page.locator(".edge-left")).to_be_visible()


def pressed(page: Page) -> Iterator[ViewportSize]:
    """Press Generate in every size, wherever the page was scrolled to; a look may follow each time."""
    for size in SIZES:
        resize(page, **size)
        for scrolled in (TO_THE_END, TO_THE_TOP):
            page.evaluate(scrolled)
            page.get_by_role("button", name="Generate").click()
            yield size


@pytest.mark.parametrize(
    ("spoil", "line", "field"),
    [
        (no_words, "#prompt-error", "#prompt"),
        (no_steps, "#steps-error", "#steps"),
        (no_seed, "#seed-error", "#seed"),
        (no_size, "#size-error", "#width"),
        (no_list, "#axes-error", "#axis-1-values"),
        (no_list_in_sight, "#axes-error", "#axis-1-values"),
        (too_many, "#axes-error", "#axis-1"),
    ],
)
def test_a_field_that_is_wrong_is_led_to_with_what_is_said_of_it(
    site: Site,
    open_page: Callable[..., Page],
    watch: Watch,
    spoil: Callable[[Page], None],
    line: str,
    field: str,
) -> None:
    watch.expected = ["status of 4"]
    other = {"size": {"width": 96, "height": 64}, "size-model": "seedling-ternary"}
    page = open_page(site.url, kept=(other if spoil is no_size else SMALL) | {"prompt": "a cup"}, viewport=LAPTOP)
    wait_until_ready(page)
    page.locator("#settings").evaluate("one => { one.open = true; }")
    spoil(page)
    for _size in pressed(page):
        expect(page.locator(line)).to_be_visible()
        expect(page.locator(field)).to_be_focused()
        page.wait_for_function(SEEN, arg=line)


@pytest.mark.parametrize("spoil", [nothing_marked, nowhere_to_grow])
def test_what_has_to_be_marked_is_led_to_and_said(
    site: Site, open_page: Callable[..., Page], spoil: Callable[[Page], None]
) -> None:
    page = open_page(site.url, kept=SMALL, viewport=LAPTOP)
    wait_until_ready(page)
    open_editor(page, site, png(photo()))
    spoil(page)
    for _size in pressed(page):
        line = page.locator("#composer [role=alert]:visible")
        expect(line).to_have_count(1)
        page.wait_for_function(SEEN, arg="#submit-note")
        expect(page.locator("#bench [tabindex='0']").first).to_be_focused()
    choose_way(page, "redraw")
    expect(line).to_have_count(0)
