"""The gallery and the page of one picture."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.images import metadata
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, drag_slider, drawn, make_picture, posted
from tests.browser.edited import png
from tests.browser.test_first_run import SHIFTS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pictures(site: Site) -> list[str]:
    """Three pictures, oldest first."""
    return [make_picture(site, prompt, seed=11) for prompt in ("gallery one", "gallery two", "gallery three")]


def test_search_favourites_delete_and_undo(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/gallery")
    page.get_by_role("searchbox").fill("gallery t")
    expect(page.locator("#total")).to_have_text("2 pictures with “gallery t”")
    assert page.locator(".print img").evaluate_all("images => images.map((i) => i.alt)") == [
        "gallery three",
        "gallery two",
    ]
    first = page.locator(".print").first
    first.get_by_role("button", name="Favourite").click()
    expect(first.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Favourites").click()
    expect(page.locator("#total")).to_have_text("1 picture with “gallery t”")
    assert "favourite=1" in page.url
    first.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing found")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".print")).to_have_count(1)
    expect(first.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")


def test_every_word_counts_and_enter_searches(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/gallery")
    page.get_by_role("searchbox").fill("three gallery")
    expect(page.locator("#total")).to_have_text("1 picture with “three gallery”")
    heart = page.locator(".print").get_by_role("button", name="Favourite")
    pressed = heart.get_attribute("aria-pressed") == "true"
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", str(not pressed).lower())
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("button", name="Favourites")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".print")).to_have_count(1)


def test_the_gallery_catches_up_in_place(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    """After a pause without events: what is new is there, what was deleted is gone, the focus has not moved."""
    gone = make_picture(site, "caught up: gone")
    make_picture(site, "caught up: kept")
    page = open_page(f"{site.url}/gallery?q=caught")
    expect(page.locator("#engine-mark")).to_be_visible()
    page.get_by_role("link", name="caught up: kept").focus()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    page.request.delete(f"{site.url}/images/{gone}")
    make_picture(site, "caught up: new")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.locator(".print-caption")).to_have_text(["caught up: new", "caught up: kept"])
    expect(page.locator("#total")).to_have_text("2 pictures with “caught”")
    expect(page.get_by_role("link", name="caught up: kept")).to_be_focused()


def test_the_way_back_leads_to_what_is_there_now(
    site: Site, pictures: list[str], open_page: Callable[..., Page]
) -> None:
    gone = make_picture(site, "way back: gone")
    make_picture(site, "way back: kept")
    page = open_page(f"{site.url}/gallery?q=way+back")
    page.get_by_role("link", name="way back: kept").click()
    expect(page.locator("h1")).to_have_text("way back: kept")
    page.request.delete(f"{site.url}/images/{gone}")
    page.go_back()
    expect(page.locator(".print-caption")).to_have_text(["way back: kept"])
    expect(page.locator("#total")).to_have_text("1 picture with “way back”")


def test_a_compared_pair_is_compared_on_its_page(site: Site, open_page: Callable[..., Page]) -> None:
    pair = posted(site, "/generate/compare", {"prompt": "a pair", "steps": 1, "width": 64, "height": 64})
    page = open_page(f"{site.url}/i/{pair['left']['image']['id']}")
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    page.get_by_role("button", name="Compare side by side").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".compare-side img")).to_have_count(2)
    for picture in dialog.locator(".compare-side img").all():
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] < 600
    dialog.get_by_role("radio", name="Slider").check()
    drag_slider(page)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def in_pages_of_three(page: Page, site: Site, prompt: str) -> list[str]:
    """The gallery with four more pictures and answers of at most three; returns the requests that follow."""
    for seed in range(4):
        make_picture(site, prompt, seed=seed)
    asked: list[str] = []

    def on_request(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_(url=route.request.url.replace("limit=60", "limit=3"))

    page.route(re.compile(r"/images\?"), on_request)
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()
    return asked


def test_scrolling_loads_the_rest(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    asked = in_pages_of_three(page, site, "one of many")
    page.get_by_role("searchbox").fill("one of many")
    expect(page.locator(".print:not(.skeleton)")).to_have_count(4)
    expect(page.locator("#more")).to_be_hidden()
    # beside these, a gallery of many pictures may have gone on by itself before anything was searched for
    assert ["cursor" in url for url in asked if "q=" in url] == [False, True]


def test_a_page_that_fails_waits_to_be_asked_for(
    site: Site, pictures: list[str], open_page: Callable[..., Page], watch: Watch
) -> None:
    watch.expected = ["status of 500"]
    page = open_page("about:blank")
    in_pages_of_three(page, site, "one of four")
    failed: list[str] = []

    def fail(route: Route) -> None:
        failed.append(route.request.url)
        route.fulfill(status=500, json={"error": {"code": "internal", "message": "It broke."}})

    page.route(re.compile(r"/images\?(?=.*q=).*cursor="), fail)
    page.get_by_role("searchbox").fill("one of four")
    expect(page.get_by_text("It broke.")).to_be_visible()
    page.wait_for_timeout(500)  # a loop would have asked many times by now
    assert len(failed) == 1
    page.unroute(re.compile(r"/images\?(?=.*q=).*cursor="))
    page.get_by_role("link", name="More pictures").click()
    expect(page.locator(".print:not(.skeleton)")).to_have_count(4)


def test_it_can_be_read_without_scripts(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/gallery?q=gallery+one", java_script_enabled=False)
    expect(page.locator(".print img")).to_have_attribute("alt", "gallery one")
    page.locator(".print-link").click()
    expect(page.locator("h1")).to_have_text("gallery one")
    expect(page.locator(".recipe")).to_contain_text("Seedling ternary")
    page.goto(f"{site.url}/i/{pictures[0]}")
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("h1")).to_have_text("gallery two")


def test_the_picture_page_and_its_neighbours(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/i/{pictures[1]}")
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("gallery one")
    expect(page.locator("#engine-mark")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text("gallery two")
    expect(page.locator("#engine-mark")).to_be_visible()
    favourite = page.get_by_role("button", name="Favourite")
    favourite.click()
    expect(favourite).to_have_attribute("aria-pressed", "true")
    favourite.click()
    expect(favourite).to_have_attribute("aria-pressed", "false")


def test_use_these_settings(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/i/{pictures[0]}")
    page.get_by_role("link", name="Use these settings").click()
    expect(page.get_by_label("Describe the picture")).to_have_value("gallery one")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("11")
    expect(page.get_by_role("button", name="Lock the seed")).to_have_attribute("aria-pressed", "false")  # for once
    expect(page.get_by_label("Width, px")).to_have_value("64")
    drawn(page, "gallery one")  # the picture itself is on the stage


def test_variations_draw_the_next_seeds(site: Site, pictures: list[str], open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/i/{pictures[0]}")
    page.get_by_text("More like this").click()
    page.get_by_role("button", name="Other seeds").click()
    page.wait_for_url(f"{site.url}/")
    expect(page.locator(".batch .frame a img, .frame-wait")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    assert page.locator(".frame-tag").all_inner_texts() == [f"Seed {seed}" for seed in (12, 13, 14, 15)]
    expect(page.locator(".batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)


def painted(page: Page) -> tuple[int, int]:
    """Width and height in pixels of what is seen within the picture's frame; its box may be larger than it."""
    with Image.open(BytesIO(page.locator(".image-figure").screenshot())) as shot:
        frame = np.asarray(shot.convert("RGB")).astype(int)
    seen = np.abs(frame - frame[20, 20]).max(axis=2) > 60  # its shadow is less
    columns, rows = (np.flatnonzero(seen[20:-20, 20:-20].any(axis=axis)) for axis in (0, 1))
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_a_small_picture_is_shown_large_at_once(site: Site, open_page: Callable[..., Page]) -> None:
    """Four times as large, as far as there is room, and nothing moves for it, though it comes after the first paint."""
    page = open_page(f"{site.url}/gallery")
    picture = make_picture(site, "shown large", width=256, height=128)
    red = png(Image.new("RGB", (256, 128), "red"))
    page.route(f"**/images/{picture}.png", lambda route: (time.sleep(0.5), route.fulfill(body=red)))
    page.goto(f"{site.url}/i/{picture}")
    expect(page.locator("#engine-mark")).to_be_visible()
    room = page.locator(".image-figure").evaluate(
        "figure => figure.clientWidth - 2 * parseFloat(getComputedStyle(figure).padding)"
    )
    width, height = painted(page)
    assert 500 < width <= room
    assert abs(width - room) < 3
    assert abs(width / height - 2) < 0.02
    paint, arrived = page.evaluate(
        """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
                  performance.getEntriesByType("resource").find(({ name }) => name.includes("/images/")).responseEnd]"""
    )
    assert arrived > paint
    assert page.evaluate(SHIFTS) <= 0.02


def test_more_of_an_enlarged_picture_is_drawn_as_that_was(site: Site, open_page: Callable[..., Page]) -> None:
    drawn_first = make_picture(site, "to be enlarged", seed=21)
    page = open_page("about:blank")
    body = {"source": drawn_first, "by": 4, "method": "exact"}
    larger = page.request.post(f"{site.url}/enlarge", data=body, timeout=DRAWN_WITHIN_MS).headers["x-image-id"]
    for choice, said in (("Other seeds", {"seed": 22}), ("Subtle changes", {"seed": 21, "variation_amount": 0.2})):
        page.goto(f"{site.url}/i/{larger}")
        expect(page.locator("#engine-mark")).to_be_visible()
        named = page.locator(".recipe dt").all_inner_texts()
        assert "Size" in named
        assert not {"Seed", "Steps"} & set(named)  # nothing was drawn, and its first picture has them
        page.get_by_text("More like this").click()
        with page.expect_response(re.compile("/jobs$")) as answer:
            page.get_by_role("button", name=choice).click()
        assert answer.value.status == 202
        asked = answer.value.request.post_data_json
        assert asked.items() >= {"width": 64, "height": 64, "steps": 1, **said}.items()
        page.wait_for_url(f"{site.url}/")
        expect(page.locator(".batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)


def test_downloads_with_and_without_the_prompt(
    site: Site, pictures: list[str], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page(f"{site.url}/i/{pictures[2]}")
    for name, prompt in (("Download", "gallery three"), ("Without the prompt", None)):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        file = tmp_path / f"{name}.png"
        download.value.save_as(file)
        found = metadata.read(file)
        assert (found.prompt if found else None) == prompt
        with Image.open(file) as opened:
            assert "xmp" in opened.info  # the mark stays


def test_delete_on_the_picture_page_can_be_undone(site: Site, open_page: Callable[..., Page]) -> None:
    picture = make_picture(site, "to be deleted")
    page = open_page(f"{site.url}/i/{picture}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Picture deleted.")).to_be_visible()
    expect(page.locator("#gone-note")).to_be_visible()
    expect(page.locator(".image-full")).to_be_hidden()
    for name in ("Use these settings", "More like this", "Favourite", "Download", "Without the prompt", "Copy prompt"):
        control = page.locator(".image-side a, .image-side button, .image-side summary").filter(
            has_text=re.compile(f"^ *{name}$")
        )
        assert control.evaluate("control => Boolean(control.closest('[inert]'))"), name
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    expect(page.locator(".image-full")).to_be_visible()
    page.get_by_role("link", name="Use these settings").click()
    expect(page.get_by_label("Describe the picture")).to_have_value("to be deleted")
