"""Pictures that go in, on the page: what the engine is given is what was done here."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, SMALL, Site, Watch
from tests.browser.edited import ODD, choose_way, generated, open_editor, photo, pixels, png, sent

pytestmark = pytest.mark.browser

SPOT = (60, 40, 90, 70)  # left, top, right, bottom of what is repainted


@pytest.fixture
def studio(open_page: Callable[..., Page]) -> Page:
    """It draws small pictures, and is opened with the picture that is to be edited."""
    return open_page("about:blank", kept=SMALL)


def mask() -> Image.Image:
    made = Image.new("L", ODD, 0)
    ImageDraw.Draw(made).rectangle((SPOT[0], SPOT[1], SPOT[2] - 1, SPOT[3] - 1), fill=255)
    return made


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


def test_nothing_is_asked_for_before_a_place_is_marked(site: Site, studio: Page) -> None:
    open_editor(studio, site, png(photo()))
    asked: list[str] = []
    studio.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    for way, words, place in (
        ("repaint", "Mark what is to be drawn anew", ".easel-mask"),
        ("extend", "drag an edge, or choose a shape", ".edge-left"),
    ):
        choose_way(studio, way)
        expect(studio.locator(place)).to_be_visible()
        studio.get_by_role("button", name="Generate").click()
        expect(studio.locator("#submit-note")).to_contain_text(words)
        expect(studio.locator(place)).to_be_focused()
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
    assert (asked["width"], asked["height"], after.shape) == (64, 64, (64, 64, 3))


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
    colours[1] = png(Image.new("I;16", (80, 64), 30_000))  # what it loses is said, wherever it is moved
    red, green, blue = open_editor(studio, site, *colours)
    lost = studio.locator("#slot-notes")
    expect(lost).to_have_text("image 2: Of its 16 bits a channel the upper eight are used.")
    choose_way(studio, "change")
    expect(studio.locator("#editor-fields .notice")).to_contain_text("done better by klein")
    thumbs = studio.locator(".slot-thumb")
    studio.locator("#prompt").fill("put")
    studio.get_by_role("button", name="image 2", exact=True).click()
    expect(studio.locator("#prompt")).to_have_value("put image 2")
    thumbs.nth(2).drag_to(thumbs.nth(0))
    expect(thumbs.nth(0).locator("img")).to_have_attribute("src", f"/inputs/{blue}")
    expect(lost).to_have_text(re.compile("^image 3: Of its"))
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
    studio.reload()
    expect(lost).to_have_text(re.compile("^image 2: Of its"))
    choose_way(studio, "redraw")
    asked, after = generated(studio, site)
    assert (asked["references"], asked["init"]) == ([green], blue)
    assert after.shape == (64, 96, 3)
    studio.locator("#editor-close").click()
    asked, after = generated(studio, site)
    assert (asked.get("init"), asked.get("references")) == (None, None)
    assert after.shape == (64, 64, 3)


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
    assert violations(studio, axe, "dialog[open]") == []
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
    for size in ((1280, 860), (390, 844)):
        studio.set_viewport_size({"width": size[0], "height": size[1]})
        for way in ("change", "redraw", "repaint", "extend"):
            choose_way(studio, way)
            assert studio.evaluate("document.documentElement.scrollWidth") == size[0]
            whole = "html" if way == "extend" else "#workbench, #editor, #editor-fields"
            assert violations(studio, axe, whole) == [], (size, way)


# Every one of them is used in a test above; the pictures' edges and the surface that is painted on are no fields.
CONTROLS = {
    "#editor-show", "#editor-close", "#to-picture", "slots picture", "slots Remove image 1", "slots image 1",
    "#slot-add", "#slot-file", "way=change", "way=redraw", "way=repaint", "way=extend", "#strength",
    "editor-fields summary", "#feather", "#only-masked", "#detail", "#own-size", "example", "#extend-left",
    "#extend-top", "#extend-right", "#extend-bottom",
    "way=blend", "#share",  # shown for models of bits alone: test_bits.py
    "tool=brush", "tool=eraser", "tool=rectangle", "tool=lasso", "#brush-size", "#paint-undo", "#paint-redo",
    "#paint-invert", "#paint-alpha", "#bench-in", "#bench-out", "#bench-zoom", "#paint-clear",
}  # fmt: skip


def test_every_control_of_the_editor_is_known_here_and_what_cannot_be_undone_is_no_box(
    site: Site, studio: Page
) -> None:
    open_editor(studio, site, png(photo()))
    assert controls_of(studio, editor=True) == CONTROLS
    with studio.expect_file_chooser():
        studio.locator("#slot-add").click()
    choose_way(studio, "repaint")
    undo = studio.locator("#paint-undo")
    expect(undo).to_be_disabled()
    expect(undo).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(undo).to_have_css("opacity", "0.45")


def test_what_was_said_of_a_picture_goes_with_it(site: Site, studio: Page, watch: Watch) -> None:
    watch.expected += ["status of 422"]
    refusal = {"error": {"code": "bad_field", "message": "This picture will not do.", "field": "init", "remedy": None}}
    studio.route(re.compile("/jobs$"), lambda route: route.fulfill(status=422, json=refusal))
    open_editor(studio, site, png(photo()))
    choose_way(studio, "redraw")
    studio.get_by_role("button", name="Generate").click()
    said = studio.locator("#submit-note")
    expect(said).to_contain_text("will not do")
    choose_way(studio, "change")
    expect(said).to_be_hidden()
    choose_way(studio, "redraw")
    studio.get_by_role("button", name="Generate").click()
    expect(said).to_contain_text("will not do")
    studio.locator("#editor-close").click()
    expect(said).to_be_hidden()


def test_a_picture_that_cannot_be_edited_is_told_at_once(site: Site, studio: Page) -> None:
    studio.goto(site.url)
    for size, words in (((1, 1), "64 a side"), ((3000, 8), "64 a side"), ((64, 640), "8 times")):
        file = {"name": "one.png", "mimeType": "image/png", "buffer": png(Image.new("RGB", size))}
        for _ in range(2):
            with studio.expect_response(re.compile("/inputs$")):
                studio.locator("#image-file").set_input_files(file)  # type: ignore[arg-type]
            expect(studio.locator(".toast")).to_contain_text(words)  # one, however often
        expect(studio.locator("#editor")).to_be_hidden()
        expect(studio.locator("#stage")).to_be_visible()
        studio.locator(".toast").get_by_role("button").click()
        expect(studio.locator(".toast")).to_have_count(0)


def test_an_upright_tablet_has_the_picture_and_what_is_done_with_it_in_sight(
    site: Site, open_page: Callable[..., Page]
) -> None:
    page = open_page("about:blank", viewport={"width": 768, "height": 1024})
    page.goto(f"{site.url}/?edit={sent(page, f'{site.url}/inputs', png(photo()))}")
    expect(page.locator("#bench .easel").first).to_be_visible()
    for way in ("redraw", "repaint", "extend"):
        choose_way(page, way)
        bench, ways = page.locator("#workbench").bounding_box(), page.locator("#ways").bounding_box()
        assert bench is not None
        assert ways is not None
        assert 0.55 * 1024 <= bench["height"] <= 0.57 * 1024
        assert ways["y"] + ways["height"] < page.locator(".actions").evaluate("one => one.getBoundingClientRect().top")
