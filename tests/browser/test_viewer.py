"""The picture on the stage: how large it is, and enlarged in place with keys, wheel, fingers and the browser's Back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, Site, make_picture, posted, resize, wait_until_ready

pytestmark = pytest.mark.browser

SCALE = """() => Number(document.querySelector(".viewer-picture").style.transform.match(/scale\\((.*)\\)/)[1])"""


def ask_for_batch(page: Page, prompt: str, count: int, *, steps: int = 1) -> None:
    """A small one: all is said but Generate."""
    page.locator("#prompt").fill(prompt)
    page.locator("#steps").fill(str(steps))
    page.locator("[name=aspect][value=Other]").check()
    for side in ("#width", "#height"):
        page.locator(side).fill("64")
    page.locator("#count").select_option(str(count))
    expect(page.locator("#size-verdict")).to_be_visible()


def draw_batch(page: Page, prompt: str, count: int) -> list[str]:
    """The ids of its pictures."""
    ask_for_batch(page, prompt, count)
    page.locator("#generate").click()
    links = page.locator(".batch .frame a[data-view]")
    expect(links).to_have_count(count, timeout=DRAWN_WITHIN_MS)
    return [str(link.get_attribute("data-view")) for link in links.all()]


def test_the_picture_comes_first(site: Site, open_page: Callable[..., Page]) -> None:
    first = make_picture(site, "as large as can be", width=128, height=128)
    looked_at(site, open_page, first, ancestors=0)
    body = {"prompt": "changed", "init": first, "strength": 0.2, "steps": 1}
    looked_at(site, open_page, posted(site, "/edit", body)["image"]["id"], ancestors=1)


def looked_at(site: Site, open_page: Callable[..., Page], image: str, ancestors: int) -> None:
    page = open_page(f"{site.url}/?from={image}", anew=True)
    picture = page.locator("#stage .frame img")
    expect(picture).to_be_visible()
    expect(page.locator("#lineage .lineage-step").nth(ancestors)).to_be_visible(visible=ancestors > 0)
    for width, height in ((1280, 680), (1440, 780), (390, 844), (768, 1024)):
        resize(page, width, height)
        box = picture.bounding_box()
        assert box is not None
        if width < 400:
            assert (box["x"], box["width"]) == (0, width)
            assert box["y"] + box["height"] < height  # all of it in sight
        elif width < height:  # a tablet upright: small pictures are at most four times their size
            assert box["width"] == 4 * 128
            assert box["y"] + box["height"] <= page.locator(".actions").evaluate(
                "one => one.getBoundingClientRect().top"
            )
            expect(page.locator("#prompt")).to_be_in_viewport(ratio=1)
        else:
            assert box["height"] >= 0.62 * height
            assert page.evaluate("document.documentElement.scrollHeight") == height


def test_the_form_beside_it_is_whole(site: Site, large_site: Site, open_page: Callable[..., Page]) -> None:
    """No row of it is cut by Generate, with the seedling and with the large models."""
    for each in (site, large_site):
        make_picture(each, "so that there is one")
        page = open_page(each.url, anew=True)
        wait_until_ready(page)
        expect(page.locator("#model-note")).to_be_visible()
        for prompt in ("", "a red fox in the snow, by the light of a low winter sun"):
            page.locator("#prompt").fill(prompt)
            for width, height in ((1280, 680), (1440, 780), (1024, 768)):
                resize(page, width, height)
                lower, upper = page.evaluate(
                    "() => [document.querySelector('#count'), document.querySelector('.actions-row')]"
                    ".map((one) => one.getBoundingClientRect()).map(({ bottom, top }, at) => [bottom, top][at])"
                )
                assert lower <= upper, (each.url, prompt, width)


def test_a_picture_of_a_batch_is_enlarged_and_the_batch_is_still_there(site: Site, studio: Page) -> None:
    ids = draw_batch(studio, "a batch to look at", 3)
    tiles, viewer = studio.locator(".batch .frame a[data-view]"), studio.locator("#viewer")
    widths = [box["width"] for tile in tiles.all() if (box := tile.bounding_box())]
    assert min(widths) > 200
    tiles.nth(1).click()
    expect(viewer.get_by_role("img", name="a batch to look at")).to_be_visible()
    expect(studio).to_have_url(f"{site.url}/#view={ids[1]}")
    expect(viewer.get_by_role("status")).to_have_text(re.compile("^2 of 3, seed .*: a batch to look at$"))
    studio.keyboard.press("ArrowRight")
    expect(studio).to_have_url(f"{site.url}/#view={ids[2]}")
    expect(viewer.get_by_role("button", name="Next picture")).to_be_hidden()  # the last one
    studio.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(studio).to_have_url(f"{site.url}/")
    expect(tiles).to_have_count(3)
    studio.go_forward()
    expect(viewer).to_be_visible()
    studio.reload()
    expect(viewer.get_by_role("status")).to_have_text(re.compile("^3 of 3"))
    studio.go_back()
    expect(viewer).to_be_hidden()
    expect(tiles).to_have_count(3)
    studio.locator("#strip a").first.click()
    expect(tiles).to_have_count(0)
    studio.reload()
    expect(studio.locator("#stage .frame a[data-view]")).to_have_attribute("data-view", ids[2])


def test_it_is_zoomed_and_moved_by_keys_wheel_and_pointer(site: Site, open_page: Callable[..., Page]) -> None:
    ids = [make_picture(site, f"looked at closely, {place}") for place in range(2)]
    page = open_page(f"{site.url}/#view={ids[1]}")
    viewer = page.locator("#viewer")
    expect(viewer).to_be_visible()
    wait_until_ready(page)
    box = page.locator(".viewer-canvas").bounding_box()
    assert box is not None
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.evaluate(SCALE) == 2.25
    before = page.locator(".viewer-picture").bounding_box()
    page.keyboard.press("ArrowDown")  # which moves what is zoomed
    page.mouse.move(middle, height)
    page.mouse.down()
    page.mouse.move(middle - 30, height, steps=3)
    page.mouse.up()
    after = page.locator(".viewer-picture").bounding_box()
    assert before is not None
    assert after is not None
    assert (after["x"] - before["x"], after["y"] - before["y"]) == (-30, -80)
    page.mouse.wheel(0, 2_000)
    page.wait_for_function(f"() => ({SCALE})() === 1")
    page.mouse.dblclick(middle, height)
    assert page.evaluate(SCALE) == 2.5
    page.keyboard.press("0")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{site.url}/#view={ids[0]}")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement !== null")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement === null")
    page.mouse.click(box["x"] + 80, box["y"] + 80)  # beside the picture
    expect(viewer).to_be_hidden()
    expect(page).to_have_url(f"{site.url}/")
    expect(page.locator("#stage .frame a[data-view]")).to_have_attribute("data-view", ids[0])  # looked at last


def test_fingers_swipe_and_pinch(site: Site, open_page: Callable[..., Page]) -> None:
    ids = [make_picture(site, f"under a finger, {place}") for place in range(2)]
    page = open_page(site.url, has_touch=True, viewport={"width": 390, "height": 844})
    wait_until_ready(page)
    page.locator(f"#strip [data-id='{ids[1]}']").tap()
    page.locator("#stage .frame a[data-view]").tap()
    expect(page).to_have_url(f"{site.url}/#view={ids[1]}")
    session = page.context.new_cdp_session(page)

    def touch(*moments: list[tuple[int, int]]) -> None:
        for place, points in enumerate((*moments, [])):
            kind = "touchStart" if place == 0 else "touchMove" if points else "touchEnd"
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
            )

    touch([(145, 420), (245, 420)], [(120, 420), (270, 420)], [(95, 420), (295, 420)])
    assert page.evaluate(SCALE) == pytest.approx(2, abs=0.05)
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Zoom out").click()
    page.wait_for_function(f"() => ({SCALE})() === 1")
    touch([(300, 420)], [(200, 420)], [(100, 420)])
    expect(page).to_have_url(f"{site.url}/#view={ids[0]}")


ANNOUNCED = """() => {
    window.said = [];
    for (const region of document.querySelectorAll("[role=status], [role=alert], [aria-live]"))
        new MutationObserver(() => window.said.push(region.textContent)).observe(region,
            { childList: true, characterData: true, subtree: true });
}"""


def test_a_batch_of_four_is_told_in_few_words(site: Site, studio: Page) -> None:
    while any(job["status"] in ("queued", "running") for job in studio.request.get(f"{site.url}/jobs").json()["jobs"]):
        studio.wait_for_timeout(100)  # of tests before: what waits behind another is told so
    ask_for_batch(studio, "told in few words", 4)
    studio.evaluate(ANNOUNCED)
    studio.locator("#generate").click()
    expect(studio.locator("#announcer")).to_have_text("All 4 pictures are done.", timeout=DRAWN_WITHIN_MS)
    said = [text for text in studio.evaluate("window.said") if text]
    assert said[0] == "Drawing 4 pictures."
    assert len(said) <= 6, said


def test_a_batch_is_one_row_of_the_queue(site: Site, studio: Page) -> None:
    draw_batch(studio, "before the batch", 2)
    rows = studio.locator("#queue li")
    ask_for_batch(studio, "in one row", 2, steps=40)
    studio.locator("#generate").click()
    expect(studio.locator("#stage-words")).to_contain_text("Step", timeout=DRAWN_WITHIN_MS)
    with site.engine_held():
        ask_for_batch(studio, "and another row", 2)
        studio.locator("#generate").click()
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("in one row")
        expect(rows.first).to_contain_text("0/2")
        expect(studio.locator("#queue-words")).to_contain_text("3 pictures waiting")
        with studio.expect_response("**/queue/pause"):
            studio.locator("#queue-pause").click()
    expect(rows.first).to_contain_text("1/2", timeout=DRAWN_WITHIN_MS)  # which was being drawn
    expect(rows.first.locator(".queue-thumbs img")).to_have_count(1)
    rows.nth(1).locator(".queue-prompt").click()  # what is being drawn keeps the stage otherwise
    expect(studio.locator("#stage-words")).to_contain_text("the queue is paused")
    studio.reload()
    expect(studio.locator("#queue-words")).to_contain_text("paused")  # another page, or this one later, knows as well
    studio.get_by_role("button", name="Cancel all").click()
    expect(studio.locator("#queue-panel")).to_be_hidden(timeout=DRAWN_WITHIN_MS)
    studio.request.post(f"{site.url}/queue/resume")
    assert studio.request.get(f"{site.url}/jobs?limit=1").json()["queue"]["waiting"] == 0


def test_what_a_cancelled_batch_lacks_can_be_drawn(site: Site, studio: Page) -> None:
    ask_for_batch(studio, "only some of these", 2, steps=5)
    with studio.expect_response(lambda response: response.url.endswith("/jobs")) as answer:
        studio.locator("#generate").click()
    studio.request.delete(f"{site.url}/jobs/{answer.value.json()['jobs'][1]['id']}")
    expect(studio.locator("#stage-foot")).to_contain_text("1 of 2 drawn", timeout=DRAWN_WITHIN_MS)
    studio.get_by_role("button", name="Draw the rest").click()
    expect(studio.locator(".batch .frame a[data-view]")).to_have_count(2, timeout=DRAWN_WITHIN_MS)
