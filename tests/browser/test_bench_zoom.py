"""Looking closer at what is marked: the brush stays where the pointer is; and what is see-through is offered."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.driver import Site
from tests.browser.edited import generated

pytestmark = pytest.mark.browser

SIDE = 256
MIDDLE = """() => {
    const {width, height} = document.querySelector(".easel-mask");
    const {data} = document.querySelector(".easel-mask").getContext("2d").getImageData(0, 0, width, height);
    let [x, y, count] = [0, 0, 0];
    for (let index = 0; index < width * height; index += 1) {
        if (!data[4 * index + 3]) continue;
        [x, y, count] = [x + index % width + 0.5, y + Math.floor(index / width) + 0.5, count + 1];
    }
    return [x / count / width, y / count / height, count / width / height];
}"""


def holed() -> bytes:
    image = Image.new("RGBA", (SIDE, SIDE), (200, 80, 60, 255))
    ImageDraw.Draw(image).ellipse((64, 128, 128, 192), fill=(0, 0, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(site: Site, open_page: Callable[..., Page], **options: Any) -> Page:
    page = open_page(site.url, **options)
    page.locator("#image-file").set_input_files([{"name": "a.png", "mimeType": "image/png", "buffer": holed()}])
    expect(page.get_by_role("button", name="Draw there")).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("see-through, and counts as white")
    return page


def marked(page: Page) -> list[float]:
    """Where the middle of what is marked lies, and how much it is, as parts of the picture."""
    found: list[float] = page.evaluate(MIDDLE)
    return found


def box(page: Page) -> dict[str, float]:
    found = page.locator(".easel-mask").bounding_box()
    assert found is not None
    return dict(found)


def test_what_is_see_through_is_offered_as_what_is_drawn(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(site, open_page)
    page.get_by_role("button", name="Draw there").click()
    expect(page.locator("#paint-share")).to_have_text("5 % marked")
    x, y, share = marked(page)
    assert (round(x, 2), round(y, 2), round(share, 2)) == (0.38, 0.63, 0.05)
    page.locator("#paint-undo").click()
    expect(page.locator("#paint-share")).to_have_text("Nothing is marked")
    page.reload()
    page.locator("#paint-alpha").click()
    expect(page.locator("#paint-share")).to_have_text("5 % marked")
    page.locator("#steps").fill("1")
    page.locator("#prompt").fill("a hole")
    generated(page, site)
    expect(page.locator("#stage-foot")).to_contain_text(
        "Of the picture that went in: its transparent parts are laid on white."
    )


def test_the_brush_stays_right_under_wheel_buttons_and_keys(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(site, open_page)
    page.locator("[name=way][value=repaint]").check()
    share, percent = page.locator("#paint-share"), page.locator("#bench-zoom")
    expect(share).to_be_visible()
    fitted = box(page)
    spot = fitted["x"] + 0.75 * fitted["width"], fitted["y"] + 0.25 * fitted["height"]
    page.mouse.move(*spot)
    page.mouse.wheel(0, -400)
    expect(percent).to_have_text("252 %")
    page.mouse.down()
    page.mouse.up()
    expect(share).to_have_text("less than 1 % marked")
    x, y, _ = marked(page)
    assert abs(x - 0.75) < 0.005
    assert abs(y - 0.25) < 0.005
    page.keyboard.press("0")
    expect(percent).to_have_text("100 %")
    assert box(page) == fitted
    page.locator("#bench-in").click()
    page.locator("#bench-in").click()
    expect(percent).to_have_text("225 %")
    page.locator("#bench-out").click()
    expect(percent).to_have_text("150 %")
    percent.click()
    assert box(page) == fitted
    page.locator(".easel-mask").focus()
    for key in ("+", "+", "+"):
        page.keyboard.press(key)
    bench = page.locator("#bench").bounding_box()
    assert bench is not None
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    ring = page.locator(".brush-ring").bounding_box()
    assert ring is not None  # it came along
    assert bench["x"] < ring["x"] + ring["width"] / 2 < bench["x"] + bench["width"]
    page.mouse.move(bench["x"] + bench["width"] / 2, bench["y"] + bench["height"] / 2)
    before = box(page)
    page.mouse.down(button="middle")
    page.mouse.move(bench["x"] + bench["width"] / 2 + 50, bench["y"] + bench["height"] / 2 + 20, steps=3)
    page.mouse.up(button="middle")
    after = box(page)
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (50, 20)
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 30)
    page.keyboard.up("Shift")
    page.wait_for_timeout(100)
    assert round(box(page)["x"] - after["x"]) == -30
    expect(share).to_have_text("less than 1 % marked")  # looking marks nothing


def test_two_fingers_look_and_one_paints(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(site, open_page, has_touch=True, viewport={"width": 390, "height": 844})
    page.locator("[name=way][value=repaint]").check()
    share = page.locator("#paint-share")
    expect(share).to_be_visible()
    page.locator("#workbench").scroll_into_view_if_needed()
    fitted = box(page)
    x, y = round(fitted["x"] + fitted["width"] / 2), round(fitted["y"] + fitted["height"] / 2)
    session = page.context.new_cdp_session(page)

    def touch(*moments: list[tuple[int, int]]) -> None:
        for place, points in enumerate([*moments, []]):
            kind = "touchStart" if place == 0 else "touchMove" if points else "touchEnd"
            fingers = [{"x": x, "y": y} for x, y in points]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch([(x - 40, y), (x + 40, y)], [(x - 60, y), (x + 60, y)], [(x - 80, y), (x + 80, y)])
    expect(page.locator("#bench-zoom")).to_have_text("200 %")
    expect(share).to_have_text("Nothing is marked")
    touch([(x + 60, y + 40)])
    expect(share).not_to_have_text("Nothing is marked")
    across, down, _ = marked(page)
    assert abs(across - (0.5 + 60 / fitted["width"] / 2)) < 0.02
    assert abs(down - (0.5 + 40 / fitted["height"] / 2)) < 0.02
