"""What is written without a space: no page grows sideways for it, and what stops it stays in sight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.driver import (
    LASTING_SIDE,
    LASTING_STEPS,
    SMALL,
    Site,
    delete_picture,
    draw,
    drawn,
    make_picture,
    posted,
    resize,
    wait_until_ready,
)

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 390, "height": 844}
LAPTOP: ViewportSize = {"width": 1280, "height": 680}
TAGS = "masterpiece,best_quality,one_red_house,green_grass,blue_sky,white_clouds,soft_light,watercolour,high_detail"
LASTING = {
    "size": {"width": LASTING_SIDE, "height": LASTING_SIDE},
    "size-model": "seedling-ternary",
    "steps": LASTING_STEPS,
}
TOO_WIDE = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const pulled = [...document.querySelectorAll(".composer, dialog[open], .stage-body, .tool-panel")];
    const wide = pulled.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className);
    if (scrollWidth <= clientWidth) return wide;
    const all = [...document.querySelectorAll("main *")];
    const sticking = all.filter((one) => one.getBoundingClientRect().right > innerWidth);
    return ["the page", ...wide, ...sticking.map((one) => `${one.tagName}.${one.className} #${one.id}`)];
}"""


def fits(page: Page) -> None:
    """In the window of a phone, and in that of a laptop, which stays."""
    for size in (PHONE, LAPTOP):
        resize(page, **size)
        assert page.evaluate(TOO_WIDE) == [], (page.url, size)


def generate(page: Page, prompt: str, count: int = 1) -> None:
    page.get_by_label("Describe the picture").fill(prompt)
    page.locator("#count").evaluate(
        "(one, count) => { one.value = count; one.dispatchEvent(new Event('change')); }", str(count)
    )
    page.get_by_role("button", name="Generate").click()


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        pytest.param(TAGS, 1, id="one"),
        pytest.param("x" * 400, 1, id="one word"),
        pytest.param("漢字" * 100, 1, id="Chinese"),
        pytest.param(f"{TAGS},batch", 4, id="several"),
        pytest.param(f"{{{TAGS},red|{TAGS},blue}}", 1, id="grid"),
    ],
)
def test_what_is_drawn_and_what_waits_is_as_wide_as_the_window(
    site: Site, open_page: Callable[..., Page], prompt: str, count: int
) -> None:
    page = open_page(site.url, kept=LASTING, viewport=PHONE)
    wait_until_ready(page)
    generate(page, prompt, count)
    for size in (PHONE, LAPTOP):
        resize(page, **size)
        expect(page.locator("#cancel")).to_be_in_viewport(ratio=1)
    fits(page)
    generate(page, f"{TAGS},which_waits")
    expect(page.locator("#queue .queue-prompt")).to_have_count(2)
    expect(page.locator("#toasts")).to_contain_text("waits in the queue")
    fits(page)
    page.locator("#queue-cancel").click()
    expect(page.locator("#queue-panel")).to_be_hidden()
    expect(page.locator("#stage")).to_contain_text("Cancelled")
    fits(page)


def test_what_could_not_be_drawn_is_as_wide_as_the_window(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(site.url, kept=LASTING, viewport=PHONE)
    wait_until_ready(page)
    generate(page, f"{TAGS},lost")
    expect(page.locator("#stage-words")).to_contain_text("Step")
    site.kill_engine()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    fits(page)


def test_pictures_of_long_words_are_shown_on_every_page(site: Site, open_page: Callable[..., Page]) -> None:
    prompt = f"{TAGS},shown"
    delete_picture(site, make_picture(site, f"{prompt},deleted"))  # before a page could ask for its thumbnail
    picture = make_picture(site, prompt)
    page = open_page(site.url, kept=SMALL, viewport=PHONE)
    wait_until_ready(page)
    page.locator("#settings-summary").click()
    draw(page, f"{prompt},new")
    drawn(page, f"{prompt},new")
    fits(page)
    for tool in ("styles", "axes", "prompts", "pipelines"):
        page.locator(f"#{tool}-toggle").click()
        expect(page.locator(f"#{tool}")).to_be_visible()
        fits(page)
    page.goto(f"{site.url}/?edit={picture}")
    for way in page.locator("#ways label:visible").all():
        way.click()
        page.locator("#generate").scroll_into_view_if_needed()
        fits(page)
    for path in ("/gallery", f"/gallery?q={TAGS}", f"/gallery?q={TAGS},no", f"/i/{picture}", "/gallery/deleted"):
        page.goto(site.url + path)
        expect(page.locator("#engine-mark")).to_be_visible()
        fits(page)


def test_long_names_of_what_is_kept_stay_within_the_page(site: Site, open_page: Callable[..., Page]) -> None:
    name = "OF_MY_OWN_" * 6
    made = {
        "style": posted(site, "/styles", {"name": name, "text": "x" * 300}),
        "collection": posted(site, "/collections", {"name": name}),
    }
    page = open_page(site.url, kept=SMALL | {"styles": [name], "prompts": [TAGS]}, viewport=PHONE)
    wait_until_ready(page)
    fits(page)
    page.locator("#styles-toggle").click()
    expect(page.locator(".style-chip", has_text=name)).to_be_visible()
    fits(page)
    page.locator("#edit-styles").click()
    dialog = page.locator("dialog[open]")
    for verb in ("Delete", "Save"):
        button, around = dialog.get_by_role("button", name=f"{verb} {name}").bounding_box(), dialog.bounding_box()
        assert button is not None
        assert around is not None
        assert around["x"] <= button["x"] <= button["x"] + button["width"] <= around["x"] + around["width"], verb
    page.get_by_role("button", name=f"Delete {name}").click()
    fits(page)
    page.get_by_role("button", name="Done").click()
    steps = [{"operation": "draw", "prompt": "{prompt}"}]
    kept = page.request.put(f"{site.url}/pipelines/{name}", data={"steps": steps})
    assert kept.ok, kept.text()
    page.locator("#pipelines-toggle").click()
    expect(page.locator(".pipeline-name", has_text=name)).to_be_visible()
    fits(page)
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page.locator("#toasts")).to_contain_text("is deleted")
    fits(page)
    page.goto(f"{site.url}/gallery?collection={made['collection']['id']}")
    expect(page.locator("#collections")).to_contain_text(name)
    fits(page)
    page.request.delete(f"{site.url}/collections/{made['collection']['id']}")
