"""What is far from sight in a long gallery is not kept painted, and is there once one comes to it, by whatever way."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import Site
from tests.browser.filled import fill, filled_site, listed

pytestmark = pytest.mark.browser

COUNT = 150


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pictures = [(f"picture {number}", 64, 64, number // 50) for number in range(COUNT)]
    site, _ = filled_site(tmp_path_factory.mktemp("long"), pictures)
    yield site
    site.stop()


# days have their height once they were seen
AT_THE_END = """() => {
    scrollTo(0, 1e9);
    const last = [...document.querySelectorAll(".print img")].at(-1);
    return last.checkVisibility() && last.naturalWidth && last.getBoundingClientRect().top < innerHeight;
}"""


@pytest.fixture
def gallery(album: Site, open_page: Callable[..., Page]) -> Page:
    """All of it, and the top is in sight."""
    page = open_page(f"{album.url}/gallery", viewport={"width": 900, "height": 500})
    for shown in range(24, COUNT, 60):  # the first page, and those that follow
        page.locator("#more-area").scroll_into_view_if_needed()
        expect(page.locator(".print[data-id]").nth(shown)).to_be_attached()
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".print-link").first).to_be_visible()
    return page


def frames(page: Page) -> list[float]:
    found: list[float] = page.locator(".print").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    return found


def test_far_pictures_are_frames_that_keep_their_place(gallery: Page) -> None:
    last = gallery.locator(".print").last
    expect(last.locator(".print-link")).to_be_hidden()
    expect(gallery.locator(".print:not(.bare)").first).to_be_visible()
    assert gallery.locator(".print:not(.bare)").count() < 70  # what is in sight, and as much above and below
    before = frames(gallery)
    assert min(before) > 90
    gallery.wait_for_function(AT_THE_END)
    expect(gallery.locator(".print-link").first).to_be_hidden()
    assert frames(gallery) == before
    gallery.evaluate("scrollTo(0, 0)")
    expect(gallery.locator(".print").first.locator("img")).to_be_visible()


def test_keys_reach_all_of_them_and_the_focus_stays(gallery: Page) -> None:
    gallery.locator(".print-link").first.focus()
    gallery.keyboard.press("End")
    expect(gallery.locator(".print-link").last).to_be_focused()
    expect(gallery.locator(".print").last.locator("img")).to_be_visible()
    gallery.keyboard.press("Home")
    first = gallery.locator(".print-link").first
    expect(first).to_be_focused()
    gallery.wait_for_function(AT_THE_END)
    expect(first).to_be_focused()
    gallery.keyboard.press("ArrowRight")
    expect(gallery.locator(".print-link").nth(1)).to_be_focused()
    expect(gallery.locator(".print").nth(1).locator("img")).to_be_visible()


def test_those_after_one_that_left_come_and_go_as_before(gallery: Page) -> None:
    names = gallery.locator("#sheet img").evaluate_all("all => all.map(one => one.alt)")
    looking_again = re.compile(r"/images\?")  # which would put all of them in order
    gallery.route(looking_again, lambda _route: None)
    gallery.locator(".print-link").first.focus()
    gallery.keyboard.press("Delete")
    expect(gallery.locator(".print[data-id]")).to_have_count(COUNT - 1)
    gallery.evaluate("document.activeElement.blur()")
    gallery.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(gallery.locator(".print-link").nth(3)).to_be_hidden()
    gallery.unroute(looking_again)
    gallery.evaluate("scrollTo(0, 0)")
    expect(gallery.get_by_role("img", name=names[4], exact=True)).to_be_visible()
    gallery.get_by_role("button", name="Undo").click()
    expect(gallery.get_by_role("img", name=names[0], exact=True)).to_be_visible()
    gallery.locator("#sort").select_option("oldest")
    expect(gallery.get_by_role("img", name=names[-1], exact=True)).to_be_visible()


def test_a_page_that_is_open_shows_what_many_files_at_once_became(gallery: Page, album: Site, tmp_path: Path) -> None:
    more = 60  # than are told one by one
    expect(gallery.locator("#total")).to_have_text(f"{COUNT} pictures")
    fill(tmp_path, [(f"late {number}", 64, 64, 0) for number in range(COUNT + more)])
    for file in sorted(tmp_path.iterdir())[COUNT:]:
        shutil.move(file, album.folder / "out")
    listed(album)  # whoever asks has the server look at its folder
    expect(gallery.locator("#total")).to_have_text(f"{COUNT + more} pictures")
    expect(gallery.locator(".print img[alt^=late]")).to_have_count(more)
