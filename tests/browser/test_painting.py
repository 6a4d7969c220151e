"""A place of a picture is marked: the mask that the engine is given is what was painted here, by whatever hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import SMALL, Site
from tests.browser.edited import ODD, choose_way, generated, mask_of, open_editor, photo, png, sent

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(open_page: Callable[..., Page]) -> Page:
    """It draws small pictures, and is opened with the picture that is to be edited."""
    return open_page("about:blank", kept=SMALL)


class Hand:
    """Paints on the picture; where it goes is said in the picture's pixels."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.surface = page.locator(".easel-mask")
        self.surface.scroll_into_view_if_needed()
        box = self.surface.bounding_box()
        assert box is not None
        self.left, self.top, self.scale = box["x"], box["y"], box["width"] / ODD[0]

    def at(self, x: float, y: float) -> tuple[int, int]:
        """The window's pixel over this one of the picture's."""
        return round(self.left + x * self.scale), round(self.top + y * self.scale)

    def exactly(self, x: float, y: float) -> tuple[float, float]:
        """The picture's pixel under that pixel of the window."""
        across, down = self.at(x, y)
        return (across - self.left) / self.scale, (down - self.top) / self.scale

    def pull(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()
        return [self.exactly(*point) for point in points]


def tool(page: Page, name: str) -> None:
    page.locator(f"[name=tool][value={name}]").check()


def brush(page: Page, diameter: int) -> None:
    page.locator("#brush-size").fill(str(diameter))


def middles() -> tuple[Any, Any]:
    rows, columns = np.mgrid[: ODD[1], : ODD[0]]
    return columns + 0.5, rows + 0.5


def stroked(points: list[tuple[float, float]], radius: float) -> Any:
    """The pixels whose middles are no farther from a line through the points."""
    x, y = middles()
    near = np.full(x.shape, np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1) if length else 0
        near = np.minimum(near, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    return near <= radius


def boxed(points: list[tuple[float, float]]) -> Any:
    x, y = middles()
    (ax, ay), (bx, by) = points[0], points[-1]
    return (x >= min(ax, bx)) & (x <= max(ax, bx)) & (y >= min(ay, by)) & (y <= max(ay, by))


def enclosed(points: list[tuple[float, float]]) -> Any:
    """The pixels whose middles lie within an outline."""
    x, y = middles()
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= ((ay <= y) != (by <= y)) & (x > ax + (y - ay) / (by - ay) * (bx - ax))
    return inside


def same(one: Any, other: Any) -> bool:
    """But for a pixel or two whose middles lie on an outline."""
    return one.shape == other.shape and int((one ^ other).sum()) <= 2


def test_the_mask_that_the_engine_gets_is_what_was_painted(site: Site, studio: Page) -> None:
    (photo_id,) = open_editor(studio, site, png(photo()))
    choose_way(studio, "repaint")
    hand = Hand(studio)
    brush(studio, 20)
    painted = stroked(hand.pull((30, 30), (70, 45), (60, 70)), 10)
    tool(studio, "rectangle")
    painted |= boxed(hand.pull((90, 20), (130, 60)))
    tool(studio, "lasso")
    painted |= enclosed(hand.pull((20, 95), (61, 59), (140, 90)))
    lassoed = painted
    tool(studio, "eraser")
    brush(studio, 8)
    painted = painted & ~stroked(hand.pull((25, 35), (120, 40)), 4)
    expect(studio.locator("#paint-share")).to_have_text(f"{round(100 * painted.mean())} % marked")
    asked, after = generated(studio, site)
    assert (asked["init"], asked["strength"], asked["feather_px"]) == (photo_id, 1, 16)
    assert same(mask_of(studio, site, asked["mask"]), painted)
    assert after.shape == (ODD[1], ODD[0], 3)
    shown = studio.locator("#stage .frame").first.bounding_box()
    assert shown
    assert abs(shown["width"] / shown["height"] - ODD[0] / ODD[1]) < 0.03  # all of it, not the part that was drawn

    show, bench, stage = studio.locator("#editor-show"), studio.locator("#workbench"), studio.locator("#stage")
    for words, other, shown, away in (
        ("Show the picture", "Show the result", bench, stage),
        ("Show the result", "Show the picture", stage, bench),
        ("Show the picture", "Show the result", bench, stage),
    ):
        expect(show).to_have_text(words)
        show.click()
        expect(show).to_have_text(other)
        expect(shown).to_be_visible()
        expect(away).to_be_hidden()
    studio.locator("#paint-clear").click()
    expect(studio.locator("#paint-share")).to_have_text("Nothing is marked")
    for _ in range(3):
        studio.locator("#paint-undo").click()  # of clearing, the eraser, the lasso
    studio.locator("#paint-redo").click()
    studio.locator("#paint-invert").click()
    again, _ = generated(studio, site)
    assert same(mask_of(studio, site, again["mask"]), ~lassoed)


def test_on_a_phone_the_place_to_paint_is_in_sight(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(site.url, viewport={"width": 390, "height": 844}, has_touch=True)
    picture = sent(page, f"{site.url}/inputs", png(photo().resize((256, 256))))
    page.goto(f"{site.url}/?edit={picture}")
    page.get_by_role("radio", name="Repaint").check()
    canvas = page.locator("#bench canvas").first
    expect(canvas).to_be_visible()
    page.wait_for_timeout(300)
    box = canvas.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    bar = page.locator(".actions").bounding_box()
    assert bar is not None
    assert box["y"] + box["height"] <= bar["y"]


def test_what_is_not_marked_stays_as_it_is(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    choose_way(studio, "repaint")
    hand = Hand(studio)
    brush(studio, 30)
    painted = stroked(hand.pull((40, 50), (50, 50)), 15)
    studio.locator(".editor-more summary").click()
    studio.locator("#feather").fill("6")
    studio.locator("#only-masked").select_option("false")
    studio.locator("#strength").fill("0.8")
    asked, after = generated(studio, site)
    assert [asked[name] for name in ("feather_px", "only_masked", "strength")] == [6, False, 0.8]
    assert (asked["width"], asked["height"]) == (160, 112)
    before = np.asarray(photo()).astype(int)
    rows, columns = np.nonzero(painted)
    near = np.zeros_like(painted)
    near[max(0, rows.min() - 14) : rows.max() + 14, max(0, columns.min() - 14) : columns.max() + 14] = True
    assert np.array_equal(after[~near], before[~near])
    assert np.abs(after - before)[painted].mean() > 4


def test_a_keyboard_alone_marks_a_place(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    choose_way(studio, "repaint")
    brush(studio, 12)
    keys = studio.keyboard
    studio.locator(".easel-mask").focus()
    keys.press("b")
    keys.press("Space")
    for _ in range(5):
        keys.press("ArrowRight")  # a fiftieth of the longer side: 3 pixels
    keys.press("Space")
    painted = stroked([(75, 50.5), (90, 50.5)], 6)
    keys.press("r")
    keys.press("ArrowDown")
    keys.press("Space")
    for _ in range(4):
        keys.press("Shift+ArrowLeft")
        keys.press("ArrowDown")
    keys.press("Enter")
    painted |= boxed([(90, 53.5), (86, 65.5)])
    keys.press("l")
    keys.press("Space")
    for key in ("ArrowLeft", "ArrowDown"):
        for _ in range(8):
            keys.press(key)
        keys.press("Space")
    keys.press("Enter")
    painted |= enclosed([(86, 65.5), (62, 65.5), (62, 89.5)])
    keys.press("e")
    keys.press("Space")
    keys.press("Escape")  # that was not meant
    keys.press("i")
    keys.press("Control+z")
    for key in "[[":
        keys.press(key)
    assert int(studio.locator("#brush-size").input_value()) == 8
    expect(studio.locator("#paint-share")).to_have_text(f"{round(100 * painted.mean())} % marked")
    expect(studio.locator("#paint-status")).to_have_text(f"{round(100 * painted.mean())} % marked")
    asked, _ = generated(studio, site)
    assert same(mask_of(studio, site, asked["mask"]), painted)


def test_a_pencil_paints_as_hard_as_it_is_pressed_and_a_finger_does_not_scroll(
    site: Site, open_page: Callable[..., Page]
) -> None:
    page = open_page(site.url, has_touch=True)
    open_editor(page, site, png(photo()))
    choose_way(page, "repaint")
    brush(page, 40)
    hand = Hand(page)
    devtools = page.context.new_cdp_session(page)

    def pen(kind: str, x: float, y: float) -> None:
        place = dict(zip("xy", hand.at(x, y), strict=True))
        how = {"pointerType": "pen", "button": "left", "buttons": 1, "force": 0.25, "clickCount": 1}
        devtools.send("Input.dispatchMouseEvent", {"type": kind, **place, **how})

    def finger(kind: str, *points: tuple[float, float]) -> None:
        touches = [dict(zip("xy", hand.at(*point), strict=True)) for point in points]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    for kind, x, y in (("mousePressed", 30, 30), ("mouseMoved", 60, 30), ("mouseReleased", 60, 30)):
        pen(kind, x, y)
    painted = stroked([hand.exactly(30, 30), hand.exactly(60, 30)], 10)  # half as wide
    scrolled = page.evaluate("scrollY")
    finger("touchStart", (110, 30))
    finger("touchMove", (110, 70))
    finger("touchEnd")
    painted |= stroked([hand.exactly(110, 30), hand.exactly(110, 70)], 20)
    assert page.evaluate("scrollY") == scrolled
    with page.expect_response(re.compile(r"/inputs\?mask=true$")) as answer:
        asked, _ = generated(page, site)
    assert answer.value.json()["id"] == asked["mask"]
    assert same(mask_of(page, site, asked["mask"]), painted)


def test_a_reload_brings_back_what_was_edited_and_marked(site: Site, studio: Page) -> None:
    (photo_id,) = open_editor(studio, site, png(photo()))
    choose_way(studio, "repaint")
    tool(studio, "rectangle")
    painted = boxed(Hand(studio).pull((20, 20), (60, 70)))
    studio.reload()
    expect(studio.locator(".easel-mask")).to_be_visible()
    asked, _ = generated(studio, site)
    assert asked["init"] == photo_id
    assert same(mask_of(studio, site, asked["mask"]), painted)
    studio.reload()
    expect(studio.locator("#stage .frame img")).to_be_visible()  # the result, as it was left
    expect(studio.locator("#editor")).to_be_visible()
    studio.get_by_role("button", name="Edit", exact=True).click()
    expect(studio.locator(".easel-mask")).to_be_visible()
    expect(studio.locator("#paint-share")).to_have_text("Nothing is marked")


def test_by_keys_the_picture_is_one_step_away(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    link = studio.get_by_role("button", name="Go to the picture")
    for way in ("repaint", "extend"):
        choose_way(studio, way)
        expect(studio.locator("#bench [tabindex='0']").first).to_be_visible()
        assert (link.bounding_box() or {})["width"] == 1
        studio.locator(f"[name=way][value={way}]").focus()
        studio.keyboard.press("Tab")
        expect(link).to_be_focused()
        assert (link.bounding_box() or {})["width"] > 60
        studio.keyboard.press("Enter")
        expect(studio.locator("#bench [tabindex='0']").first).to_be_focused()
        choose_way(studio, "redraw")
        expect(link).to_be_hidden()
