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
    for shown in range(24, COUNT, 30):  # the first page, and those that follow
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


def test_far_pictures_are_frames_that_keep_their_place_and_keys_reach_them(gallery: Page) -> None:
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


NOTHING_BARE = """() => [...document.querySelectorAll(".print")].every((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return bottom < 0 || top > innerHeight || !one.classList.contains("bare");
})"""


@pytest.mark.parametrize(("width", "height"), [(390, 844), (900, 500), (1440, 900)])
def test_nothing_that_is_in_sight_is_an_empty_frame(gallery: Page, width: int, height: int) -> None:
    """However many pictures are side by side: the fewer, the higher are those that come and go together."""
    gallery.set_viewport_size({"width": width, "height": height})
    gallery.wait_for_timeout(300)
    end = gallery.evaluate("document.body.scrollHeight")
    for there in (*range(0, end, 400), *range(end, 0, -400), end, end // 2, 0):
        gallery.evaluate(f"scrollTo(0, {there})")
        gallery.wait_for_function(NOTHING_BARE)


def in_sight(page: Page) -> tuple[str, float]:
    """A picture that is in sight, and where it is."""
    picture: str = page.locator(".print[data-id]").evaluate_all(
        "all => all.find((one) => one.getBoundingClientRect().bottom > innerHeight / 2).dataset.id"
    )
    page.locator(f"[data-id='{picture}']").evaluate("one => one.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(300)
    top: float = page.locator(f"[data-id='{picture}']").evaluate("one => one.getBoundingClientRect().top")
    return picture, top


def is_at(page: Page, picture: str, top: float) -> None:
    where = f"document.querySelector('[data-id=\"{picture}\"]')?.getBoundingClientRect().top"
    page.wait_for_function(f"() => Math.abs({where} - {top}) < 2")
    expect(page.locator(f"[data-id='{picture}'] img")).to_be_visible()


@pytest.mark.parametrize(("sort", "scrolled"), [("newest", 500), ("prompt", 1500), ("newest", 3000)])
def test_who_comes_back_is_where_they_were(
    album: Site, open_page: Callable[..., Page], sort: str, scrolled: int
) -> None:
    gallery = open_page(
        f"{album.url}/gallery" + (f"?sort={sort}" if sort != "newest" else ""), viewport={"width": 900, "height": 500}
    )
    expect(gallery.locator(".print-link").first).to_be_visible()
    for there in range(400, scrolled + 1, 400):  # as a wheel does
        gallery.evaluate(f"scrollTo(0, {there})")
        gallery.wait_for_timeout(100)
    gallery.wait_for_timeout(300)
    picture, top = in_sight(gallery)
    gallery.locator(f"[data-id='{picture}'] a").click()
    expect(gallery.locator("#back")).to_be_visible()
    gallery.go_back()
    is_at(gallery, picture, top)
    gallery.reload()
    is_at(gallery, picture, top)
    gallery.locator(f"[data-id='{picture}'] a").click()
    gallery.locator("#back").click()
    print_ = gallery.locator(f"[data-id='{picture}']")
    expect(print_.locator("img")).to_be_visible()
    expect(print_).to_be_in_viewport()
    expect(gallery).to_have_url(re.compile(r"/gallery(\?sort=prompt)?$"))


def test_a_new_search_begins_at_the_top(gallery: Page) -> None:
    gallery.evaluate("scrollTo(0, 1500)")
    gallery.wait_for_timeout(400)
    gallery.get_by_role("searchbox").fill("picture 1")
    expect(gallery.locator("#total")).to_contain_text("with “picture 1”")
    gallery.reload()
    expect(gallery.locator(".print-link").first).to_be_visible()
    assert gallery.evaluate("scrollY") < 200


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
