"""Pictures that go in, on the page: what the engine is given is what was done here."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, Site

pytestmark = pytest.mark.browser

ODD = (150, 101)  # a size that no picture can be drawn at
SPOT = (60, 40, 90, 70)  # left, top, right, bottom of what is repainted


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def photo() -> Image.Image:
    rows, columns = np.mgrid[: ODD[1], : ODD[0]]
    return Image.fromarray(np.dstack([columns % 256, rows * 2, (rows + columns) % 256]).astype(np.uint8))


def mask() -> Image.Image:
    made = Image.new("L", ODD, 0)
    ImageDraw.Draw(made).rectangle((SPOT[0], SPOT[1], SPOT[2] - 1, SPOT[3] - 1), fill=255)
    return made


def sent(page: Page, url: str, data: bytes) -> Any:
    answer = page.request.post(url, data=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status == 201, answer.text()
    return answer.json()["id"]


def repainted(page: Page, site: Site, prompt: str) -> str:
    """The id of a photo of an odd size in which one place was drawn anew."""
    asked = {
        "prompt": prompt,
        "init": sent(page, f"{site.url}/inputs", png(photo())),
        "mask": sent(page, f"{site.url}/inputs?mask=true", png(mask())),
        "feather_px": 4,
        "steps": 1,
        "seed": 3,
    }
    answer = page.request.post(f"{site.url}/edit", data=asked, timeout=DRAWN_WITHIN_MS)
    assert answer.status == 200, answer.text()
    return answer.headers["x-image-id"]


def pixels(page: Page, site: Site, image_id: str) -> Any:
    with Image.open(io.BytesIO(page.request.get(f"{site.url}/images/{image_id}.png").body())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_variations_of_an_edited_photo_change_the_same_place_of_it(site: Site, studio: Page) -> None:
    made = repainted(studio, site, "a spot in a photo")
    studio.goto(f"{site.url}/?from={made}")
    studio.get_by_text("More like this").click()
    with studio.expect_response(re.compile("/jobs$")) as answer:
        studio.get_by_role("button", name="Other seeds").click()
    assert answer.value.status == 202, answer.value.text()
    assert (answer.value.request.post_data_json["seed"], len(answer.value.json()["jobs"])) == (4, 4)
    expect(studio.locator("#stage .batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    before, after = np.asarray(photo()).astype(int), pixels(studio, site, made)
    for job in answer.value.json()["jobs"]:
        image_id = studio.request.get(f"{site.url}/jobs/{job['id']}").json()["image_id"]
        varied = pixels(studio, site, image_id)
        assert varied.shape == before.shape
        assert np.array_equal(varied[:30], before[:30])
        assert np.abs(varied - after)[45:65, 65:85].max() > 8


def test_generate_draws_with_the_settings_of_an_edited_photo(site: Site, studio: Page) -> None:
    made = repainted(studio, site, "a spot whose settings are used")
    studio.goto(f"{site.url}/?from={made}")
    expect(studio.locator("#prompt")).to_have_value("a spot whose settings are used")
    with studio.expect_response(re.compile("/jobs$")) as answer:
        studio.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    recipe = studio.request.get(f"{site.url}/images/{made}").json()["recipe"]
    asked = answer.value.request.post_data_json
    assert [asked[name] for name in ("seed", "steps", "width", "height")] == [
        recipe[name] for name in ("seed", "steps", "width", "height")
    ]


def open_editor(page: Page, site: Site, *pictures: bytes) -> list[str]:
    """Bring a picture to the studio to be edited; the ids of all of them, further ones added by the "+"."""
    page.goto(f"{site.url}/?edit={sent(page, f'{site.url}/inputs', pictures[0])}")
    expect(page.locator("#bench .easel").first).to_be_visible()
    page.locator("#prompt").fill("a red star")
    page.locator("#steps").fill("1")
    page.locator("#seed").fill("3")
    if pictures[1:]:
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": data} for i, data in enumerate(pictures[1:])]
        page.locator("#slot-file").set_input_files(files)  # type: ignore[arg-type]
        expect(page.locator(".slot-thumb")).to_have_count(len(pictures))
    names = page.locator(".slot-thumb img").evaluate_all("all => all.map((one) => one.getAttribute('src'))")
    return [name.rsplit("/", 1)[1] for name in names]


def choose_way(page: Page, way: str) -> None:
    page.locator(f"[name=way][value={way}]").check()


def generated(page: Page, site: Site) -> tuple[dict[str, Any], Any]:
    """Press Generate; what the engine was given, and the pixels of the finished picture."""
    with page.expect_response(re.compile("/jobs$")) as answer:
        page.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    (job,) = answer.value.json()["jobs"]
    expect(page.locator("#stage .frame a img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    done = page.request.get(f"{site.url}/jobs/{job['id']}").json()
    assert done["status"] == "done", done
    return job["request"], pixels(page, site, done["image_id"])


def mask_of(page: Page, site: Site, mask_id: str) -> Any:
    with Image.open(io.BytesIO(page.request.get(f"{site.url}/inputs/{mask_id}").body())) as image:
        return np.asarray(image.convert("L")) > 127


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
    painted |= enclosed(hand.pull((20, 95), (60, 60), (140, 90)))
    lassoed = painted
    tool(studio, "eraser")
    brush(studio, 8)
    painted = painted & ~stroked(hand.pull((25, 35), (120, 40)), 4)
    expect(studio.locator("#paint-share")).to_have_text(f"{round(100 * painted.mean())} % marked")
    asked, after = generated(studio, site)
    assert (asked["init"], asked["strength"], asked["feather_px"]) == (photo_id, 1, 16)
    assert same(mask_of(studio, site, asked["mask"]), painted)
    assert after.shape == (ODD[1], ODD[0], 3)

    studio.locator("#editor-show").click()
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


def test_nothing_is_asked_for_before_a_place_is_marked(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    asked: list[str] = []
    studio.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    for way, words in (("repaint", "Mark what is to be drawn anew"), ("extend", "drag an edge, or choose a shape")):
        choose_way(studio, way)
        studio.get_by_role("button", name="Generate").click()
        expect(studio.locator("#editor-error")).to_contain_text(words)
    assert asked == []


def test_redraw_keeps_less_the_stronger_it_is(site: Site, studio: Page) -> None:
    (photo_id,) = open_editor(studio, site, png(photo()))
    choose_way(studio, "redraw")
    changes = []
    before = np.asarray(photo().resize((144, 96))).astype(int)
    for strength, words in ((0.1, "Barely, 10 %"), (0.9, "Nearly all, 90 %")):
        studio.locator("#strength").fill(str(strength))
        expect(studio.locator("#strength-value")).to_have_text(words)
        asked, after = generated(studio, site)
        assert (asked["init"], asked["strength"], asked["mask"]) == (photo_id, strength, None)
        assert after.shape == before.shape
        changes.append(np.abs(after - before).mean())
    assert changes[1] > 1.5 * changes[0]
    studio.locator(".editor-more summary").click()
    studio.locator("#own-size").check()
    asked, after = generated(studio, site)
    assert (asked["width"], asked["height"], after.shape) == (256, 256, (256, 256, 3))


def test_extend_adds_what_the_edges_the_fields_and_the_shapes_say(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    choose_way(studio, "extend")
    edge, frame = studio.locator(".edge-right"), studio.locator(".extending")
    width = (frame.bounding_box() or {})["width"]
    box = edge.bounding_box()
    assert box is not None
    x, y = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
    studio.mouse.move(x, y)
    studio.mouse.down()
    studio.mouse.move(x + 90, y, steps=3)
    expect(studio.locator("#extend-right")).not_to_have_value("0")
    pulled = int(studio.locator("#extend-right").input_value())
    assert abs(pulled - 90 / (width / ODD[0])) <= 1
    moved = edge.bounding_box()
    assert moved is not None
    assert abs(moved["x"] - box["x"] - 90) <= 3  # it stays under the pointer
    studio.mouse.up()
    studio.locator("#extend-top").fill("20")
    edge.focus()
    studio.keyboard.press("ArrowLeft")
    studio.keyboard.press("Shift+ArrowRight")
    studio.locator(".edge-left").focus()
    studio.keyboard.press("ArrowLeft")
    right = pulled - 15
    expect(edge).to_have_attribute("aria-valuenow", str(right))
    expect(studio.locator("#extend-size")).to_have_text(f"becomes {ODD[0] + 16 + right} × {ODD[1] + 20}")
    asked, after = generated(studio, site)
    assert (asked["extend"], asked["strength"]) == ([16, 20, right, 0], 0.9)
    assert after.shape == (ODD[1] + 20, ODD[0] + 16 + right, 3)
    kept = np.asarray(photo()).astype(int)[40:, 40:-40]
    assert np.array_equal(after[60:, 56 : 56 + kept.shape[1]], kept)
    studio.get_by_role("button", name="To 16:9").click()
    assert [studio.locator(f"#extend-{side}").input_value() for side in ("left", "top", "right", "bottom")] == [
        "15", "0", "15", "0",
    ]  # fmt: skip
    studio.get_by_role("button", name="Reset").click()
    expect(studio.locator("#extend-left")).to_have_value("0")
    studio.locator("#extend-left").fill("-3")
    expect(studio.locator("#extend-error")).to_contain_text("Whole numbers")


def test_pictures_to_look_at_are_put_in_order_named_and_removed(site: Site, studio: Page) -> None:
    colours = [png(Image.new("RGB", (64 + 16 * i, 64), colour)) for i, colour in enumerate(("red", "green", "blue"))]
    red, green, blue = open_editor(studio, site, *colours)
    choose_way(studio, "change")
    expect(studio.locator("#editor-fields .notice")).to_contain_text("done better by klein")
    thumbs = studio.locator(".slot-thumb")
    studio.locator("#prompt").fill("put")
    studio.get_by_role("button", name="image 2", exact=True).click()
    expect(studio.locator("#prompt")).to_have_value("put image 2")
    thumbs.nth(2).drag_to(thumbs.nth(0))
    expect(thumbs.nth(0).locator("img")).to_have_attribute("src", f"/inputs/{blue}")
    thumbs.nth(0).focus()
    studio.keyboard.press("ArrowRight")
    expect(thumbs.nth(1)).to_be_focused()
    expect(thumbs.nth(1).locator("img")).to_have_attribute("src", f"/inputs/{blue}")
    studio.locator(".editor-more summary").click()
    studio.locator("#detail").select_option("256")
    asked, after = generated(studio, site)
    assert (asked["references"], asked["reference_detail"], asked["init"]) == ([red, blue, green], 256, None)
    assert after.shape == (64, 64, 3)
    studio.get_by_role("button", name="Remove image 1").click()
    expect(thumbs).to_have_count(2)
    choose_way(studio, "redraw")
    asked, after = generated(studio, site)
    assert (asked["references"], asked["init"]) == ([green], blue)
    assert after.shape == (64, 96, 3)
    studio.locator("#editor-close").click()
    asked, after = generated(studio, site)
    assert (asked.get("init"), asked.get("references")) == (None, None)
    assert after.shape == (256, 256, 3)


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


def test_one_goes_back_along_what_a_picture_was_made_from(site: Site, studio: Page, axe: str) -> None:
    (photo_id,) = open_editor(studio, site, png(photo()))
    choose_way(studio, "extend")
    studio.locator("#extend-left").fill("50")
    generated(studio, site)
    steps = studio.locator(".lineage-step")
    expect(steps).to_have_count(2)
    studio.get_by_role("button", name="Before and after").click()
    dialog = studio.get_by_role("dialog")
    old, new = dialog.locator(".before img").bounding_box(), dialog.locator(".frame").bounding_box()
    assert old is not None
    assert new is not None
    assert abs((old["x"] - new["x"]) / new["width"] - 50 / 200) < 0.01
    slider = dialog.get_by_role("slider")
    slider.fill("30")
    cut = "document.querySelector('.before-after .frame').style.getPropertyValue('--cut')"
    assert studio.evaluate(cut) == "30%"
    hold = dialog.get_by_role("button", name="Hold to see before")
    hold.focus()
    for press, shown in ((studio.keyboard.down, "100%"), (studio.keyboard.up, "30%")):
        press("Space")
        assert studio.evaluate(cut) == shown
    hold.hover()
    studio.mouse.down()
    assert studio.evaluate(cut) == "100%"
    studio.mouse.up()
    assert studio.evaluate(cut) == "30%"
    studio.evaluate(axe)
    found = studio.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    dialog.get_by_role("button", name="Close").click()
    studio.get_by_role("button", name="Edit", exact=True).click()
    expect(studio.locator(".slot-thumb img")).not_to_have_attribute("src", f"/inputs/{photo_id}")
    choose_way(studio, "redraw")
    generated(studio, site)
    expect(steps).to_have_count(3)
    steps.nth(1).click()
    expect(steps).to_have_count(2)
    expect(studio.locator("#stage .frame img")).to_have_attribute("width", "200")
    steps.nth(0).click()
    expect(studio.locator(".slot-thumb img")).to_have_attribute("src", f"/inputs/{photo_id}")


def test_the_editor_is_accessible_in_every_way(site: Site, studio: Page, axe: str) -> None:
    open_editor(studio, site, png(photo()), png(Image.new("RGB", (64, 64), "red")))
    studio.locator(".editor-more summary").click()
    studio.evaluate(axe)
    for size in ((1280, 860), (390, 844)):
        studio.set_viewport_size({"width": size[0], "height": size[1]})
        for way in ("change", "redraw", "repaint", "extend"):
            choose_way(studio, way)
            assert studio.evaluate("document.documentElement.scrollWidth") == size[0]
            found = studio.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            assert not found, (size, way, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found])


# Every one of them is used in a test above; the pictures' edges and the surface that is painted on are no fields.
CONTROLS = {
    "#editor-show", "#editor-close", "slots picture", "slots Remove image 1", "slots image 1", "#slot-add",
    "#slot-file", "way=change", "way=redraw", "way=repaint", "way=extend", "#strength", "editor-fields summary",
    "#feather", "#only-masked", "#detail", "#own-size", "example", "#extend-left", "#extend-top",
    "#extend-right", "#extend-bottom",
    "tool=brush", "tool=eraser", "tool=rectangle", "tool=lasso", "#brush-size", "#paint-undo", "#paint-redo",
    "#paint-invert", "#paint-alpha", "#bench-in", "#bench-out", "#bench-zoom", "#paint-clear",
}  # fmt: skip


def test_every_control_of_the_editor_is_known_here(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    assert controls_of(studio, editor=True) == CONTROLS
    with studio.expect_file_chooser():
        studio.locator("#slot-add").click()
