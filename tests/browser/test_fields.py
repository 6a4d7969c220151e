"""What the fields of the form hold after Back, after a reload, in a duplicated tab and in a new one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import Site, draw, drawn, wait_until_ready

pytestmark = pytest.mark.browser

VALUES = """() => ({
    prompt: prompt.value, seed: seed.value, steps: steps.value, count: count.value, preview: preview.checked,
    locked: document.getElementById("seed-lock").ariaPressed,
    variant: document.querySelector("[name=variant]:checked").value,
    aspect: document.querySelector("[name=aspect]:checked").value,
    size: document.querySelector("[name=size]:checked")?.value,
    width: width.value, height: height.value,
})""".replace("prompt.value", 'document.getElementById("prompt").value')

# field: what a user does to it
CHANGES: dict[str, Callable[[Page], object]] = {
    "prompt": lambda page: page.locator("#prompt").fill("a green\nhouse"),
    "seed": lambda page: page.locator("#seed").fill("42"),
    "steps": lambda page: page.locator("#steps").fill("7"),
    "steps, emptied": lambda page: page.locator("#steps").fill(""),
    "count": lambda page: page.locator("#count").select_option("3"),
    "locked": lambda page: page.locator("#seed-lock").click(),
    "variant": lambda page: page.locator("[name=variant][value=binary]").check(),
    "size": lambda page: choose_size(page, "16:9", "1360x768"),
    "width, height": lambda page: (
        choose_size(page, "Other"),
        page.locator("#width").fill("96"),
        page.locator("#height").fill("128"),
    ),
}

TOGETHER = (
    ("prompt", "steps", "count", "variant", "size"),
    ("seed", "steps, emptied", "width, height"),
    ("locked",),
)


def choose_size(page: Page, aspect: str, size: str | None = None) -> None:
    page.locator(f"[name=aspect][value='{aspect}']").check()
    if size:
        page.locator(f"[name=size][value='{size}']").check()


def reload(page: Page) -> Page:
    page.reload()
    return page


def back(page: Page) -> Page:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Gallery").click()
    expect(page.locator("h1")).to_have_text("Gallery")
    page.go_back()
    return page


def duplicate(page: Page) -> Page:
    """Its twin, with a copy of its sessionStorage, as a browser makes it."""
    with page.expect_popup() as twin:
        page.evaluate("() => void window.open(location.href)")
    return twin.value


WAYS = {"reload": reload, "back": back, "duplicate": duplicate}


def ready(page: Page) -> Page:
    expect(page.locator("[name=aspect]")).to_have_count(8)
    return page


def test_every_field_is_among_those_that_are_changed() -> None:
    assert sorted(field for fields in TOGETHER for field in fields) == sorted(CHANGES)


@pytest.mark.parametrize("way", WAYS)
def test_every_field_holds_what_was_put_in(large_site: Site, open_page: Callable[..., Page], way: str) -> None:
    for fields in TOGETHER:
        page = ready(open_page(large_site.url, anew=True))
        for field in fields:
            CHANGES[field](page)
        before = page.evaluate(VALUES)
        after = ready(WAYS[way](page)).evaluate(VALUES)
        if not {"seed", "locked"} & set(fields):  # a seed that nobody asked for is for one picture, in one tab
            assert after.pop("seed") != before.pop("seed"), fields
        assert after == before, fields


@pytest.mark.parametrize("way", WAYS)
def test_a_seed_that_was_drawn_with_is_not_drawn_with_again(site: Site, studio: Page, way: str) -> None:
    """A picture takes its user a minute; the very same once more is worth nothing."""
    seed = studio.get_by_label("Seed", exact=True)
    seed.fill("4242")
    draw(studio, f"a seed and {way}")
    drawn(studio, f"a seed and {way}")
    page = WAYS[way](studio)
    wait_until_ready(page)
    expect(page.get_by_label("Seed", exact=True)).not_to_have_value("4242")
    with page.expect_request("**/jobs") as request:
        page.get_by_role("button", name="Generate").click()
    assert request.value.post_data_json["seed"] != 4242
    drawn(page, f"a seed and {way}")


def test_back_from_the_picture_just_drawn_is_no_exception(studio: Page) -> None:
    draw(studio, "looked at closely")
    drawn(studio, "looked at closely")
    first = studio.get_by_label("Seed", exact=True).input_value()
    studio.locator("#stage .frame a").click()
    studio.get_by_role("link", name="Details").click()
    expect(studio.locator("h1")).to_have_text("looked at closely")
    studio.go_back()
    wait_until_ready(studio)
    expect(studio.get_by_label("Seed", exact=True)).not_to_have_value(first)


def test_two_tabs_keep_their_own_fields_and_draw_different_pictures(site: Site, studio: Page) -> None:
    studio.get_by_label("Describe the picture").fill("in the first tab")
    other = studio.context.new_page()
    other.goto(site.url)
    wait_until_ready(other)
    expect(other.get_by_label("Describe the picture")).to_have_value("in the first tab")
    seeds = [page.get_by_label("Seed", exact=True).input_value() for page in (studio, other)]
    assert seeds[0] != seeds[1]
    other.get_by_label("Describe the picture").fill("in the second tab")
    other.get_by_label("Seed", exact=True).fill("9")
    studio.reload()
    expect(studio.get_by_label("Describe the picture")).to_have_value("in the first tab")
    expect(studio.get_by_label("Seed", exact=True)).not_to_have_value("9")
