"""Every control of the studio is used, and then a picture is drawn: what the server is asked for, and what it draws.

The tables below are held against the page itself, so a control without a row fails a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from bonsai_mlx.images import metadata
from server.jobs.fits import ASPECTS
from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, Site

pytestmark = pytest.mark.browser

SMALL = {"width": 64, "height": 64}
START = {"prompt": "a red circle", "steps": "1", "size": SMALL, "size-model": "ternary"}
PLAIN = {"prompt": "a red circle", "steps": 1, "model": "ternary", **SMALL}  # what is asked for without a change
SHAPES = [f"{across}:{down}" for across, down in ASPECTS]
DRAWN = ("1:1", "16:9", "9:16")


def filled_in(site: Site, open_page: Callable[..., Page]) -> Page:
    """The studio with both large models, filled in as in START; their sizes are known."""
    page = open_page(site.url, kept=START)
    expect(page.locator("[name=aspect]")).to_have_count(len(SHAPES) + 1)
    return page


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page]) -> Page:
    return filled_in(large_site, open_page)


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
    expect(page.locator(f"#stage a[data-view='{job['id']}'] img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
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
TOGETHER = (  # what changes different fields of a request is used for the same one
    ("#prompt", "#seed", "#steps", "aspect=Other", "#width", "#height", "#count"),
    ("example", "variant=binary", "#seed-dice"),
    ("examples Other examples", "variant=ternary", "#seed-lock"),
    ("#pick-image", "#image-file"),
    ("model-note Try the seedling",),
    ("settings summary",),
    ("#generate",),
    ("#compare",),
)
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
    found: set[str] = set()
    for tool, within in (("#styles-toggle", ".style-chip"), ("#prompts-toggle", "#save-prompt")):
        form.locator(tool).click()  # one panel at a time
        expect(form.locator(within).first).to_be_visible()
        found |= controls_of(form)
    beside = ("stage", "strip", "lineage")  # the pictures that are there already, pressed further below
    of_pictures = {name for name in found if name.startswith(beside)}
    assert found - of_pictures == FORM.keys() | SIZES | ELSEWHERE | TOOLS
    assert sorted(control for controls in TOGETHER for control in controls) == sorted(FORM)


@pytest.mark.parametrize("controls", TOGETHER, ids=" ".join)
def test_what_controls_say_is_what_is_drawn(large_site: Site, form: Page, controls: tuple[str, ...]) -> None:
    shown = int(form.locator("#seed").input_value())
    expected: dict[str, Any] = {"seed": shown, **PLAIN}
    for change, says in {id(FORM[control][0]): FORM[control] for control in controls}.values():
        change(form)
        expected |= says
    if controls == ("model-note Try the seedling",):
        expect(form.locator("[name=size]:checked")).to_have_value("256x256")
    body, jobs = asked_by(form, lambda: compare(form) if controls == ("#compare",) else generate(form))
    if expected["seed"] is ROLLED:
        assert body["seed"] != shown
        del expected["seed"]
    for name, value in expected.items():
        if isinstance(value, re.Pattern):
            assert value.search(body[name])
        else:
            assert body.get(name) == value, name
    assert body.keys() <= {"prompt", "seed", "steps", "width", "height", "model", "count", "compare"}
    assert len(jobs) == (2 if expected.keys() & {"count", "compare"} else 1)
    drawn_as_asked(form, large_site, body, jobs)


def test_every_shape_and_size_is_asked_for_and_drawn(large_site: Site, form: Page) -> None:
    """The square, the widest and the highest are drawn in their smallest size. The others, and the larger sizes, are
    only asked for: Compare, once for each.
    """
    assert {*DRAWN} < {*SHAPES}
    for place, shape in enumerate(SHAPES):
        across, down = map(int, shape.split(":"))
        choose("aspect", shape)(form)
        if shape in DRAWN:
            body, jobs = asked_by(form, lambda: generate(form))
            drawn_as_asked(form, large_site, body, jobs)
        sizes = form.locator("[name=size]").evaluate_all("radios => radios.map((radio) => radio.value)")
        areas = [int(width) * int(height) for width, height in (size.split("x") for size in sizes)]
        assert [round(area**0.5 / 256) for area in areas] == [2, 3, 4, 5]
        expect(form.locator("[name=size]:checked")).to_have_value(sizes[0])
        form.request.post(f"{large_site.url}/queue/pause")
        for rank, size in enumerate(sizes):
            choose("size", size)(form)
            asks = [(generate, 1), (compare, 2)] if rank == place % len(sizes) else [(generate, 1)]
            for ask, count in asks:
                body, jobs = asked_by(form, lambda ask=ask: ask(form))  # type: ignore[misc]
                assert f"{body['width']}x{body['height']}" == size
                assert abs(body["width"] / body["height"] / (across / down) - 1) < 0.05
                assert [(job["width"], job["height"]) for job in jobs] == [(body["width"], body["height"])] * count
            form.request.delete(f"{large_site.url}/jobs")
        choose("size", sizes[0])(form)
        form.request.post(f"{large_site.url}/queue/resume")


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
    fit = {"width": 2048, "height": 2048, "peak_bytes": 9_100_000_000, "verdict": "swaps"}
    fit |= {"seconds": 95.0, "seconds_per_step": 10.0}  # with the four steps that are recommended
    form.locator("#steps").fill("4")
    form.route(re.compile(r"/fit\?"), lambda route: route.fulfill(json=fit))
    choose("aspect", "Other")(form)
    form.locator("#width").fill("2048")
    form.locator("#height").fill("2048")
    expect(form.locator("#size-verdict")).to_have_text(
        "will swap: 9.10 GB at its peak; choose a smaller size; about 1 min 35 s here"
    )
    form.locator("#steps").fill("6")
    expect(form.locator("#size-time")).to_have_text("; about 1 min 55 s here")
    expect(form.locator("#levels-field legend")).to_contain_text("about 1 min 55 s here")
