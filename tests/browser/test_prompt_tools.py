"""Styles and several values at once: chosen, changed, told before, drawn, and saved as one sheet."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.pipelines.styles import OURS, styles_file
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, violations

pytestmark = pytest.mark.browser

START_REQUEST = {"steps": 1, "width": 64, "height": 64, "model": "ternary"}
START = {"prompt": "a {red|blue} house", "steps": "1", "size": {"width": 64, "height": 64}, "size-model": "ternary"}


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page], watch: Watch) -> Iterator[Page]:
    watch.expected += [
        "status of 422",
        "Service Worker registration blocked",
    ]  # the first: what cannot be drawn is refused while it is typed
    kept = [{"name": name, "value": json.dumps(value)} for name, value in START.items()]
    page = open_page(large_site.url, storage_state={"origins": [{"origin": large_site.url, "localStorage": kept}]})
    page.locator("#styles-toggle").click()
    expect(page.locator(".style-chip")).to_have_count(len(OURS))
    yield page
    styles_file().unlink(missing_ok=True)


def test_styles_are_chosen_added_changed_deleted_and_drawn(form: Page) -> None:
    night = form.get_by_role("button", name="At night", exact=True)
    night.click()
    expect(night).to_have_attribute("aria-pressed", "true")
    form.locator("#edit-styles").click()
    dialog = form.locator("dialog[open]")
    dialog.get_by_label("Name of a new style").fill("a,b")
    dialog.get_by_label("Text; {prompt} is where your words go").first.fill("two {prompt}")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert").first).to_contain_text("leave those out")
    dialog.get_by_label("Name of a new style").fill("Twice")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.get_by_role("button", name="Delete Comic").click()
    expect(dialog.get_by_role("button", name="Save Comic")).to_have_count(0)
    dialog.get_by_role("button", name="Restore the built-in styles").click()
    expect(dialog.get_by_role("button", name="Save Comic")).to_have_count(1)
    dialog.get_by_role("button", name="Done").click()
    form.locator(".style-chip", has_text="Twice").click()
    expect(form.locator("#styles-toggle")).to_have_text("Style: At night, Twice")
    form.locator("#prompt").fill("stars")
    with form.expect_response(lambda response: response.url.endswith("/jobs")) as answer:
        form.get_by_role("button", name="Generate").click()
    [job] = answer.value.json()["jobs"]
    assert answer.value.request.post_data_json["styles"] == ["At night", "Twice"]
    assert (job["prompt"], job["request"]["typed"]) == ("two stars at night", "stars")
    form.reload()
    expect(form.locator("#styles-toggle")).to_have_text("Style: At night, Twice")  # remembered


def test_a_grid_is_told_before_drawn_and_saved_as_one_sheet(form: Page) -> None:
    summary = form.locator("#axes-summary")
    expect(summary).to_have_text(re.compile("^2 pictures"))  # and how long it takes, if that is known by now
    form.locator("#axes-toggle").click()
    form.locator("#axis-1").select_option("seed")
    form.locator("#axis-1-values").fill("1..50")
    expect(summary).to_have_text("100 pictures: too many")
    expect(form.locator("#axes-error")).to_contain_text("at most 33")
    form.locator("#axis-1-values").fill("7")
    form.locator("#axis-2").select_option("steps")
    form.locator("#axis-2-values").fill("0")
    expect(form.locator("#axes-error")).to_contain_text("from 1 to 100")
    form.locator("#axis-2-values").fill("1")
    expect(summary).to_contain_text("2 pictures")
    jobs = grid_of(form)
    assert [job["prompt"] for job in jobs] == ["a red house", "a blue house"]
    assert jobs[0]["cell"]["columns"] == ["red", "blue"]
    expect(form.locator("#stage .frame a img")).to_have_count(2, timeout=DRAWN_WITHIN_MS)
    expect(form.locator("#stage .frame-tag")).to_have_text(["red, seed 7, steps 1", "blue, seed 7, steps 1"])
    for label in form.locator("#stage .frame-tag").all():
        expect(label).to_have_css("opacity", "1")  # also where nothing points at it
    expect(form.locator("#stage .stage-prompt")).to_have_text("a … house")
    with form.expect_download() as download:
        form.locator("#contact-sheet").click()
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as sheet:
        step, top = 64 + 5, 2 * 11 + 5  # a cell and a gap; the labels above
        for column, job in enumerate(jobs):
            left = sheet.width - (2 - column) * step
            cell = sheet.convert("RGB").crop((left, top, left + 64, top + 64))
            assert cell.tobytes() == picture_of(form, job).tobytes()
        labels = sheet.convert("L").crop((0, 0, sheet.width, top))
        assert labels.getextrema()[0] < 100  # written
    form.reload()
    expect(form.locator("#stage .frame a img")).to_have_count(2)  # a grid stays one
    single = form.request.post(
        f"{form.url.rstrip('/')}/jobs", data={**START_REQUEST, "prompt": "a blue house", "seed": 7}
    )
    expect(form.locator("#strip li a").first).to_be_visible()
    drawn_alone = finished(form, single.json()["jobs"][0])
    assert picture_of(form, drawn_alone).tobytes() == picture_of(form, jobs[1]).tobytes()


def test_several_of_each_alternative_and_lists_of_strengths(form: Page) -> None:
    summary = form.locator("#axes-summary")
    form.locator("#seed").fill("5")
    form.locator("#count").select_option("2")
    expect(summary).to_contain_text("4 pictures, 2 × 2")
    jobs = grid_of(form)
    assert [(job["prompt"], job["seed"]) for job in jobs] == [
        (f"a {colour} house", seed) for seed in (5, 6) for colour in ("red", "blue")
    ]
    expect(form.locator("#stage .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    boxes = [box for one in form.locator("#stage .frame").all() if (box := one.bounding_box())]
    assert boxes[0]["y"] == boxes[1]["y"] < boxes[2]["y"]  # a column for each colour
    assert boxes[0]["x"] == boxes[2]["x"] < boxes[1]["x"]
    form.get_by_role("button", name="Compare").click()
    expect(form.locator("#submit-note")).to_contain_text("Compare draws one pair")
    form.locator("#prompt").fill("a house")
    form.locator("#count").select_option("1")
    form.locator("#axes-toggle").click()
    form.locator("#axis-1").select_option("strength")
    form.locator("#axis-1-values").fill("0.4, 0.8")
    expect(form.locator("#axes-error")).to_contain_text("a picture that is changed")
    form.goto(f"{root_of(form)}/?edit={finished(form, jobs[0])['image_id']}")
    expect(form.locator("#axes-summary")).to_contain_text("2 pictures")
    edited = grid_of(form)
    assert [job["request"]["strength"] for job in edited] == [0.4, 0.8]
    [init] = {job["request"]["init"] for job in edited}
    changed = Image.open(io.BytesIO(form.request.get(f"{root_of(form)}/inputs/{init}").body()))
    assert changed.convert("RGB").tobytes() == picture_of(form, jobs[0]).tobytes()
    pictures = {picture_of(form, finished(form, job)).tobytes() for job in edited}
    assert len(pictures) == 2


def test_a_prompt_near_the_end_of_what_is_read_is_counted(studio: Page) -> None:
    line, words = studio.locator("#prompt-length"), "a fox in the snow "

    def tokens(times: int) -> dict[str, int]:
        found: dict[str, int] = studio.request.post(
            f"{root_of(studio)}/prompts/length", data={"prompt": words * times, "model": "seedling-ternary"}
        ).json()
        return found

    near = next(times for times in range(1, 100) if (found := tokens(times))["tokens"] > 0.8 * found["limit"])
    assert tokens(near)["tokens"] < found["limit"]
    expect(line).to_be_hidden()
    studio.locator("#prompt").fill(words * near)
    expect(line).to_have_text(re.compile(r"^Room for about \d+ more words?\.$"))
    studio.locator("#prompt").fill(words * 3 * near)
    last = (words * 3 * near)[: tokens(3 * near)["read_chars"]].strip()[-10:]
    expect(line).to_contain_text("Too long: the model stops reading after “…")
    expect(line).to_contain_text(f"{last}”")
    studio.locator("#prompt").fill("a fox")
    expect(line).to_be_hidden()


def test_prompts_are_saved_used_and_removed(form: Page) -> None:
    form.locator("#prompts-toggle").click()
    expect(form.locator("#prompts")).to_contain_text("wait here")
    form.locator("#prompt").fill("a fox to keep")
    form.locator("#save-prompt").click()
    form.locator("#prompt").fill("a bear that is drawn")
    form.get_by_role("button", name="Generate").click()
    form.wait_for_function("() => localStorage.getItem('prompts')?.includes('a bear that is drawn')")
    form.reload()
    form.locator("#prompts-toggle").click()
    expect(form.get_by_role("list", name="Saved").locator(".kept")).to_have_text(["a fox to keep"])
    expect(form.get_by_role("list", name="Drawn before").locator(".kept")).to_have_text(["a bear that is drawn"])
    form.get_by_role("button", name="a fox to keep", exact=True).click()
    expect(form.locator("#prompt")).to_have_value("a fox to keep")
    form.get_by_role("button", name="Remove “a fox to keep”").click()
    expect(form.get_by_role("list", name="Saved")).to_have_count(0)
    expect(form.locator("#save-prompt")).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_open_tools(site: Site, open_page: Callable[..., Page], axe: str, theme: str) -> None:
    page = open_page(site.url, color_scheme=theme, viewport={"width": 390, "height": 844})
    page.locator("#prompt").fill("bonsai")
    for tool in ("write", "styles", "axes", "prompts", "pipelines"):
        page.locator(f"#{tool}-toggle").click()
    expect(page.locator(".proposal:enabled")).to_have_count(3, timeout=DRAWN_WITHIN_MS)
    page.locator(".proposal").first.click()
    expect(page.locator("#pipeline-name")).to_be_visible()
    expect(page.locator(".style-chip")).to_have_count(len(OURS))
    page.locator(".style-chip").first.click()
    page.locator("#prompt").fill("a {red|blue} house")
    expect(page.locator("#axes-summary")).to_contain_text("2 pictures")
    page.locator("#save-prompt").click()
    assert violations(page, axe) == []
    page.locator("#edit-styles").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    assert violations(page, axe) == []


def grid_of(page: Page) -> list[dict[str, Any]]:
    """Press Generate, and wait until every cell is drawn."""
    with page.expect_response(lambda response: response.url.endswith("/grids")) as answer:
        page.get_by_role("button", name="Generate").click()
    return [finished(page, job) for job in answer.value.json()["jobs"]]


def root_of(page: Page) -> str:
    return "/".join(page.url.split("/")[:3])


def finished(page: Page, job: dict[str, Any]) -> dict[str, Any]:
    """The job as it has ended."""
    deadline = time.monotonic() + DRAWN_WITHIN_MS / 1000
    while time.monotonic() < deadline:
        now: dict[str, Any] = page.request.get(f"{root_of(page)}/jobs/{job['id']}").json()
        if now["status"] not in ("queued", "running"):
            assert now["status"] == "done", now
            return now
        page.wait_for_timeout(50)
    raise AssertionError(job)


def picture_of(page: Page, job: dict[str, Any]) -> Image.Image:
    data = page.request.get(f"{root_of(page)}/images/{job['image_id']}.png").body()
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_braces_that_are_no_alternatives_are_drawn_as_they_stand(form: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=202, json={"jobs": [], "group": None})

    form.locator("#prompt").fill("a \\{red|blue\\} house")
    form.route("**/jobs", refuse)
    with form.expect_request("**/jobs") as sent:
        form.get_by_role("button", name="Generate").click()
    assert sent.value.post_data_json["prompt"] == "a {red|blue} house"
    assert "axes" not in sent.value.post_data_json
