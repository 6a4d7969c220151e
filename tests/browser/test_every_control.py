"""Every control of the studio is used, and then a picture is drawn: what the server is asked for, and what it draws.

The tables below are held against the page itself, so a control without a row fails a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from bonsai_mlx.images import metadata
from server.jobs.fits import ASPECTS
from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, LASTING_STEPS, Site, drag_slider

pytestmark = pytest.mark.browser

SMALL = {"width": 64, "height": 64}
START = {"prompt": "a red circle", "steps": "1", "size": SMALL, "size-model": "ternary"}
PLAIN = {"prompt": "a red circle", "steps": 1, "model": "ternary", **SMALL}  # what is asked for without a change
SHAPES = [f"{across}:{down}" for across, down in ASPECTS]


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page]) -> Page:
    """The studio with both large models, filled in as in START."""
    kept = [{"name": name, "value": json.dumps(value)} for name, value in START.items()]
    page = open_page(large_site.url, storage_state={"origins": [{"origin": large_site.url, "localStorage": kept}]})
    wait_until_known(page)
    return page


def wait_until_known(page: Page) -> None:
    expect(page.locator("[name=aspect]")).to_have_count(len(SHAPES) + 1)


def asked_by(page: Page, press: Callable[[], None]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The request for pictures that follows from `press`, and the jobs that the server made of it."""
    with page.expect_response(
        lambda response: response.request.method == "POST" and response.url.endswith("/jobs")
    ) as (answer):
        press()
    assert answer.value.status == 202, answer.value.text()
    body: dict[str, Any] = answer.value.request.post_data_json
    jobs: list[dict[str, Any]] = answer.value.json()["jobs"]
    return body, jobs


def generate(page: Page) -> None:
    page.get_by_role("button", name="Generate").click()


def compare(page: Page) -> None:
    page.get_by_role("button", name="Compare both", exact=True).click()


def picture_of(page: Page, site: Site, job: dict[str, Any]) -> tuple[tuple[int, int], metadata.Found]:
    """Size of the finished picture of a job, and what is written into its file; waits for it on the page."""
    expect(page.locator("#stage .frame a img, #stage .compare-side img").first).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(page.locator("#cancel")).to_have_count(0, timeout=DRAWN_WITHIN_MS)
    done = page.request.get(f"{site.url}/jobs/{job['id']}").json()
    assert done["status"] == "done", done
    data = page.request.get(f"{site.url}/images/{done['image_id']}.png").body()
    found = metadata.read(data)
    assert found is not None
    with Image.open(BytesIO(data)) as picture:
        return picture.size, found


def drawn_as_asked(page: Page, site: Site, body: dict[str, Any], jobs: list[dict[str, Any]]) -> None:
    for place, job in enumerate(jobs):
        size, found = picture_of(page, site, job)
        assert size == (body["width"], body["height"])
        assert (found.prompt, found.steps) == (body["prompt"], body["steps"])
        assert found.seed == (body["seed"] if body.get("compare") else body["seed"] + place)


def type_into(field: str, text: str) -> Callable[[Page], None]:
    return lambda page: page.locator(field).fill(text)


def press(selector: str) -> Callable[[Page], None]:
    return lambda page: page.locator(selector).click()


def choose(name: str, value: str) -> Callable[[Page], None]:
    return lambda page: page.locator(f"[name='{name}'][value='{value}']").check()


def fill_size(field: str) -> Callable[[Page], None]:
    return type_into(field, "96")


def take_settings_of_a_file(page: Page) -> None:
    """A picture of this program, given to the field behind "From an image..."."""
    made = page.request.post(
        re.sub("/[^/]*$", "/generate", page.url),
        data={"prompt": "a blue cup", "seed": 77, "steps": 2, "model": "ternary", **SMALL},
        timeout=DRAWN_WITHIN_MS,
    )
    file = {"name": "cup.png", "mimeType": "image/png", "buffer": made.body()}
    with page.expect_file_chooser() as chooser:
        page.locator("#pick-image").click()
    chooser.value.set_files([file])  # type: ignore[list-item]
    page.get_by_role("button", name="Apply").click()


def open_settings_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#steps")).to_be_hidden()
    page.locator("#settings summary").click()
    page.locator("#steps").fill("2")


def one_after_the_other(*changes: Callable[[Page], None]) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        for step in changes:
            step(page)

    return change


EXAMPLE = press("#examples .chip >> nth=0")
ROLLED = object()  # a seed that is not the one before

# control: what is done with it, and what the request then says instead of PLAIN
FORM: dict[str, tuple[Callable[[Page], None], dict[str, Any]]] = {
    "#prompt": (type_into("#prompt", "a green star"), {"prompt": "a green star"}),
    "example": (one_after_the_other(type_into("#prompt", ""), EXAMPLE), {"prompt": re.compile("on a windowsill")}),
    "examples Other examples": (
        one_after_the_other(type_into("#prompt", ""), press("#examples [aria-label]"), EXAMPLE),
        {"prompt": re.compile("lighthouse")},
    ),
    "#pick-image": (take_settings_of_a_file, {"prompt": "a blue cup", "seed": 77, "steps": 2}),
    "#image-file": (take_settings_of_a_file, {"prompt": "a blue cup", "seed": 77, "steps": 2}),
    "variant=binary": (choose("variant", "binary"), {"model": "binary"}),
    "variant=ternary": (
        one_after_the_other(choose("variant", "binary"), choose("variant", "ternary")),
        {"model": "ternary"},
    ),
    "model-note Try the seedling": (
        press("#model-note button"),
        {"model": "seedling-ternary", "width": 256, "height": 256},
    ),
    "settings summary": (open_settings_on_a_phone, {"steps": 2}),
    "aspect=Other": (choose("aspect", "Other"), {}),
    "#width": (fill_size("#width"), {"width": 96}),
    "#height": (fill_size("#height"), {"height": 96}),
    "#seed": (type_into("#seed", "42"), {"seed": 42}),
    "#seed-dice": (press("#seed-dice"), {"seed": ROLLED}),
    "#seed-lock": (press("#seed-lock"), {}),
    "#steps": (type_into("#steps", "3"), {"steps": 3}),
    "#count": (lambda page: page.locator("#count").select_option("2") and None, {"count": 2}),
    "#generate": (lambda _page: None, {}),
    "#compare": (lambda _page: None, {"compare": True, "model": None}),
}
SIZES = {f"aspect={shape}" for shape in SHAPES} | {"size=512x512", "size=768x768", "size=1024x1024", "size=1280x1280"}
ELSEWHERE = {"recent All pictures", "#queue-pause", "#queue-cancel", "#notify"}  # ask for no picture: see below
TOOLS = {  # used in test_prompt_tools.py
    *("#styles-toggle", "style", "#edit-styles", "#axes-toggle", "#prompts-toggle", "#save-prompt"),
    *("#guidance", "#negative-prompt", "#temperature", "#unconditional"),
    *("#write-toggle", "#pipelines-toggle"),  # and what they open: in test_writing_and_pipelines.py
    *("#axis-1", "#axis-1-values", "#axis-2", "#axis-2-values"),
}


def test_every_control_of_the_form_has_a_row(form: Page) -> None:
    choose("aspect", "1:1")(form)
    for tool in ("#styles-toggle", "#prompts-toggle"):
        form.locator(tool).click()
    expect(form.locator(".style-chip").first).to_be_visible()
    expect(form.locator("#save-prompt")).to_be_visible()
    of_pictures = {name for name in controls_of(form) if name.startswith("stage")}  # pressed further below
    assert controls_of(form) - of_pictures == FORM.keys() | SIZES | ELSEWHERE | TOOLS


@pytest.mark.parametrize("control", FORM)
def test_what_a_control_says_is_what_is_drawn(large_site: Site, form: Page, control: str) -> None:
    change, says = FORM[control]
    shown = int(form.locator("#seed").input_value())
    change(form)
    if control == "model-note Try the seedling":
        expect(form.locator("[name=size]:checked")).to_have_value("256x256")
    body, jobs = asked_by(form, lambda: compare(form) if control == "#compare" else generate(form))
    expected = {"seed": shown, **PLAIN} | says
    if says.get("seed") is ROLLED:
        assert body["seed"] != shown
        del expected["seed"]
    for name, value in expected.items():
        if isinstance(value, re.Pattern):
            assert value.search(body[name])
        else:
            assert body.get(name) == value, name
    assert body.keys() <= {"prompt", "seed", "steps", "width", "height", "model", "count", "compare"}
    assert len(jobs) == (2 if says.keys() & {"count", "compare"} else 1)
    drawn_as_asked(form, large_site, body, jobs)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_size_is_asked_for_and_drawn(large_site: Site, form: Page, shape: str) -> None:
    across, down = map(int, shape.split(":"))
    choose("aspect", shape)(form)
    body, jobs = asked_by(form, lambda: generate(form))
    assert abs(body["width"] / body["height"] / (across / down) - 1) < 0.05
    drawn_as_asked(form, large_site, body, jobs)
    sizes = form.locator("[name=size]").evaluate_all("radios => radios.map((radio) => radio.value)")
    areas = [int(width) * int(height) for width, height in (size.split("x") for size in sizes)]
    assert [round(area**0.5 / 256) for area in areas] == [2, 3, 4, 5]
    for size in sizes:
        choose("size", size)(form)
        for ask, count in ((generate, 1), (compare, 2)):
            body, jobs = asked_by(form, lambda ask=ask: ask(form))  # type: ignore[misc]
            assert f"{body['width']}x{body['height']}" == size
            assert [(job["width"], job["height"]) for job in jobs] == [(body["width"], body["height"])] * count
            for job in jobs:
                form.request.delete(f"{large_site.url}/jobs/{job['id']}")


def test_a_typed_size_is_judged_while_it_is_typed(form: Page) -> None:
    choose("aspect", "1:1")(form)
    choose("aspect", "Other")(form)
    verdict = form.locator("#size-verdict")
    form.locator("#width").fill("1008")
    form.locator("#height").fill("1008")
    expect(verdict).to_have_text(re.compile(r"^fits: \d+ MB at its peak"))
    form.locator("#height").fill("1009")
    expect(verdict).to_contain_text("Sides are multiples of 16, from 64 to 2048.")  # before anything is drawn
    verdict.get_by_role("button", name="Use 1008 × 1008").click()
    expect(form.locator("#height")).to_have_value("1008")
    expect(verdict).to_have_text(re.compile(r"^fits: \d+ MB at its peak"))


def test_a_typed_size_that_does_not_fit_is_told(form: Page) -> None:
    fit = {"width": 2048, "height": 2048, "peak_bytes": 9_100_000_000, "verdict": "swaps", "seconds": 95.0}
    form.route(re.compile(r"/fit\?"), lambda route: route.fulfill(json=fit))
    choose("aspect", "Other")(form)
    form.locator("#width").fill("2048")
    form.locator("#height").fill("2048")
    expect(form.locator("#size-verdict")).to_have_text(
        "will swap: 9.10 GB at its peak; choose a smaller size; about 1 min 35 s here"
    )


# What stands on the stage and beside it once something is drawn, and where each is pressed.
STAGE = {
    "stage picture",
    "stage-foot Edit",
    "stage-foot Use settings",
    "stage-foot summary",
    "stage-foot Subtle changes",
    "stage-foot Strong changes",
    "stage-foot Other seeds",
    "stage-foot Favourite",
    "stage-foot Download",
    "stage-foot Download without the prompt",
    "stage-foot Delete",
    "strip picture",
    "#cancel",
    "queue prompt",
    "queue cancel",
    "queue earlier",
    "queue later",
    "compare-mode=side",
    "compare-mode=wipe",
    "stage How much of Ternary is shown over Binary",
    "tile Favourite",
    "tile Download",
    "tile Delete",
}


def use_the_queue(page: Page, waiting: str, last: str, look: Callable[[], None]) -> None:
    """One picture is drawn, two wait; in the end the first is on the stage and the last one waits."""
    rows = page.locator("#queue li")
    expect(rows).to_have_count(3)
    look()
    for name, order in (("Earlier", [last, waiting]), ("Later", [waiting, last])):
        row = page.locator(f"#queue li[data-id='{last}']")
        row.get_by_role("button", name=re.compile(f"^{name}: ")).click()
        for place, job in enumerate(order):
            expect(rows.nth(place + 1)).to_have_attribute("data-id", job)
    page.context.grant_permissions(["notifications"])
    page.locator("#notify").check()
    for words in ("Go on with the queue", "Pause the queue"):
        page.locator("#queue-pause").click()
        expect(page.locator("#queue-pause")).to_have_attribute("aria-label", words)
    page.locator(f"#queue li[data-id='{waiting}']").get_by_role("button", name=re.compile("^Cancel")).click()
    expect(rows).to_have_count(2)
    page.locator("#queue .queue-prompt").first.click()
    expect(page.locator("#cancel")).to_be_visible()


def use_the_viewer(page: Page, tile: Locator) -> None:
    tile.locator("a[data-view]").click()
    viewer = page.locator("#viewer")

    def press(name: str) -> None:
        viewer.get_by_role("button", name=name).click()

    picture = viewer.locator(".viewer-picture")
    press("Zoom in")
    expect(picture).to_have_attribute("style", re.compile(r"scale\(1\.5\)"))
    press("Zoom out")
    expect(picture).to_have_attribute("style", re.compile(r"scale\(1\)"))
    first = picture.get_attribute("src")
    press("Next picture")
    expect(picture).not_to_have_attribute("src", str(first))
    press("Previous picture")
    expect(picture).to_have_attribute("src", str(first))
    press("Favourite")
    expect(viewer.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "false")
    with page.expect_download():
        viewer.get_by_role("link", name="Download").click()
    press("Full screen")
    page.wait_for_function("() => document.fullscreenElement !== null")
    press("Full screen")
    press("Close")
    expect(viewer).to_be_hidden()


VIEWER = {"Previous picture", "Next picture", "Favourite", "Download", "Details", "Zoom in", "Zoom out", "Full screen",
          "Close"}  # fmt: skip


def test_every_control_of_the_stage_is_pressed(large_site: Site, form: Page) -> None:
    others = FORM.keys() | SIZES | ELSEWHERE | TOOLS | {"lineage-steps picture"}  # the last: in test_editing
    seen: set[str] = set()

    def look() -> None:
        seen.update(controls_of(form) - others)

    stage, foot = form.locator("#stage"), form.locator("#stage-foot")
    form.locator("#seed").fill("5")
    body, jobs = asked_by(form, lambda: generate(form))
    picture_of(form, large_site, jobs[0])
    look()
    heart = foot.get_by_role("button", name="Favourite")
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "true")
    for name, prompt in (("Download", body["prompt"]), ("Download without the prompt", None)):
        with form.expect_download() as download:
            foot.get_by_role("link", name=name, exact=True).click()
        found = metadata.read(Path(download.value.path()))
        assert (found.prompt if found else None) == prompt
    foot.get_by_role("button", name="Edit").click()
    expect(form.locator("#bench .easel")).to_be_visible()
    form.locator("#editor-close").click()
    expect(stage.locator(".frame a img")).to_be_visible()
    form.locator("#prompt").fill("something else")
    foot.get_by_role("button", name="Use settings").click()
    expect(form.locator("#prompt")).to_have_value(body["prompt"])
    liked = form.locator("#stage .frame a").get_attribute("data-view")
    for choice, amount in (("Subtle changes", 0.2), ("Strong changes", 0.5), ("Other seeds", None)):
        foot.get_by_text("More like this").click()
        body, jobs = asked_by(form, foot.get_by_role("button", name=choice).click)
        said = (body["seed"], body["count"], body.get("variation_amount"), len(jobs))
        assert said == (5 if amount else 6, 4, amount, 4)
        expect(stage.locator(".batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
        if amount:
            form.locator(f"#strip a[data-id='{liked}']").click()  # the picture that all of these are like
            expect(stage.locator(f".frame a[data-view='{liked}']")).to_be_visible()
    expect(form.locator("#cancel")).to_have_count(0)
    tiles = stage.locator(".batch .frame")
    tile = tiles.first
    tile.hover()
    tile.get_by_role("button", name=re.compile("^Favourite, ")).click()
    expect(tile.get_by_role("button", name=re.compile("^Favourite, "))).to_have_attribute("aria-pressed", "true")
    with form.expect_download():
        tile.get_by_role("link", name=re.compile("^Download, ")).click()
    tiles.nth(3).hover()
    tiles.nth(3).get_by_role("button", name=re.compile("^Delete, ")).click()
    use_the_viewer(form, tile)
    seen.update(controls_of(form) - others)
    form.locator("#strip a").nth(1).click()
    expect(foot.get_by_role("button", name="Delete")).to_be_visible()
    gone = form.locator("#strip a[aria-current]").get_attribute("data-id")
    foot.get_by_role("button", name="Delete").click()
    expect(form.locator(f"#strip a[data-id='{gone}']")).to_have_count(0)
    assert form.request.get(f"{large_site.url}/images/{gone}").status == 404

    form.locator("#steps").fill(str(LASTING_STEPS))
    asked_by(form, lambda: generate(form))
    _, (waiting,) = asked_by(form, lambda: generate(form))
    _, (last,) = asked_by(form, lambda: generate(form))
    form.locator("#strip a").first.click()  # so that the queue has all of them
    use_the_queue(form, waiting["id"], last["id"], look)
    look()
    form.locator("#cancel").click()
    expect(form.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(form.locator("#queue .queue-prompt")).to_have_count(1)
    form.locator("#queue-cancel").click()
    expect(form.locator("#queue-panel")).to_be_hidden(timeout=DRAWN_WITHIN_MS)

    form.locator("#steps").fill("1")
    asked_by(form, lambda: compare(form))
    expect(form.locator(".compare-side img")).to_have_count(2, timeout=DRAWN_WITHIN_MS)
    look()
    choose("compare-mode", "wipe")(form)
    expect(form.get_by_role("slider")).to_be_visible()
    look()
    drag_slider(form)
    choose("compare-mode", "side")(form)
    expect(form.locator(".compare-side")).to_have_count(2)
    form.locator("#stage .compare-side a").first.click()
    form.locator("#viewer").get_by_role("link", name="Details").click()
    expect(form.locator("h1")).to_have_text("a red circle")
    assert seen == STAGE | VIEWER
