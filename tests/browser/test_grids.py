"""Several values at once: told before they are drawn, drawn as a grid, saved as one sheet, stopped and gone on with."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.flux2.checkpoint import Checkpoint
from tests.adapters.files import lora_tensors, saved
from tests.browser.driver import DRAWN_WITHIN_MS, LASTING_STEPS, Site, Watch
from tests.browser.grids import asked_for, drawn_alone, finished, grid_of, picture_of, root_of

pytestmark = pytest.mark.browser

START_REQUEST = {"steps": 1, "width": 64, "height": 64, "model": "ternary"}
START = {"prompt": "a {red|blue} house", "steps": "1", "size": {"width": 64, "height": 64}, "size-model": "ternary"}


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page], watch: Watch) -> Page:
    watch.expected += ["status of 422"]  # what cannot be drawn is refused while it is typed
    return open_page(large_site.url, kept=START)


@pytest.fixture
def ink(large_site: Site) -> Iterator[Path]:
    tensors = lora_tensors(
        Checkpoint.open(large_site.folder / "models" / "ternary").transformer.linears(), only=["x_embedder"]
    )
    yield saved(large_site.folder / "loras" / "ink.safetensors", tensors)
    (large_site.folder / "loras" / "ink.safetensors").unlink()


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
    alone = drawn_alone(form, {**START_REQUEST, "prompt": "a blue house", "seed": 7})
    assert alone.tobytes() == picture_of(form, jobs[1]).tobytes()


def test_a_grid_that_is_being_drawn_says_what_all_of_it_is(form: Page) -> None:
    form.locator("#steps").fill(str(LASTING_STEPS))
    form.get_by_role("button", name="Generate").click()
    expect(form.locator("#cancel")).to_be_visible()
    expect(form.locator("#stage .stage-prompt")).to_have_text("a … house")
    form.locator("#cancel").click()


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


def test_a_grid_over_the_strengths_of_an_adapter(ink: Path, form: Page) -> None:
    """What the list says counts, not the slider; each cell is the very picture that is drawn alone."""
    form.locator("#prompt").fill("a boat")
    form.locator("#seed").fill("9")
    form.get_by_role("slider", name="Strength of ink").fill("0.3")
    form.locator("#axes-toggle").click()
    form.locator("#axis-1").select_option("strengths of ink")
    form.locator("#axis-1-values").fill("0, 0.5, 1")
    expect(form.locator("#axes-summary")).to_contain_text("3 pictures")
    with form.expect_request("**/grids") as sent:
        jobs = grid_of(form)
    asked = sent.value.post_data_json
    assert asked["axes"] == [{"name": "lora", "values": ["", "ink=0.5", "ink=1"]}]
    assert "loras" not in asked
    assert [[one["strength"] for one in job["request"].get("loras", [])] for job in jobs] == [[], [0.5], [1]]
    tiles = form.locator("#stage .frame")
    expect(tiles.locator("a img")).to_have_count(3, timeout=DRAWN_WITHIN_MS)
    expect(form.locator("#stage .frame-tag")).to_have_text(jobs[0]["cell"]["columns"])
    cells = [picture_of(form, job).tobytes() for job in jobs]
    assert len(set(cells)) == 3
    shown = tiles.locator("a[data-view]").evaluate_all("all => all.map((one) => one.dataset.view)")
    assert shown == [job["image_id"] for job in jobs]
    for cell, strength in zip(cells, (0, 0.5, 1), strict=True):
        loras = {"loras": [{"name": "ink", "strength": strength}]} if strength else {}
        alone = drawn_alone(form, {**START_REQUEST, "prompt": "a boat", "seed": 9, **loras})
        assert alone.tobytes() == cell


def test_a_grid_that_is_stopped_half_way_is_drawn_to_its_end(form: Page) -> None:
    form.locator("#prompt").fill("a {cup|tree}")
    form.locator("#seed").fill("4")
    form.locator("#axes-toggle").click()
    form.locator("#axis-1").select_option("steps")
    form.locator("#axis-1-values").fill("1, 10")
    expect(form.locator("#axes-summary")).to_contain_text("4 pictures")
    jobs = asked_for(form)
    quick = [job for job in jobs if job["steps"] == 1]
    first = next(job for job in jobs if job in quick)
    finished(form, first)
    form.request.post(f"{root_of(form)}/queue/pause")  # so that no others are drawn before they are cancelled
    with form.expect_request(lambda request: request.method == "DELETE") as asked:
        form.locator("#cancel").click()
    assert asked.value.url.endswith(f"/jobs?group={first['group']}")  # in one, whatever has ended meanwhile
    expect(form.locator("#cancel")).to_have_count(0, timeout=DRAWN_WITHIN_MS)
    foot = form.locator("#stage-foot")
    expect(foot).to_contain_text(re.compile("[1-3] of 4 drawn"))
    drawn = int(foot.inner_text().split(" of 4 drawn")[0].split()[-1])
    expect(form.locator("#stage .frame a img")).to_have_count(drawn)  # each takes its place once it can be painted
    before = form.locator("#stage .frame a[data-view]").evaluate_all("all => all.map((one) => one.dataset.view)")
    assert first["id"] in before
    with form.expect_response("**/jobs/again") as answer:
        foot.get_by_role("button", name="Draw the rest").click()
    again = answer.value.json()["jobs"]
    form.request.post(f"{root_of(form)}/queue/resume")
    assert len(again) == 4 - drawn
    assert {job["group"] for job in again} == {jobs[0]["group"]}
    done = {job["id"]: finished(form, job) for job in again}
    expect(form.locator("#stage .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    expect(foot.get_by_role("button", name="Draw the rest")).to_have_count(0)
    expect(foot.get_by_role("link", name="Contact sheet")).to_be_visible()
    shown = form.locator("#stage .frame a[data-view]").evaluate_all("all => all.map((one) => one.dataset.view)")
    assert [one for one in shown if one in before] == before  # what was drawn has stayed, in its place
    for job, image in zip(jobs, shown, strict=True):
        request = {**START_REQUEST, "prompt": job["prompt"], "seed": 4, "steps": job["steps"]}
        assert picture_of(form, {"image_id": image}).tobytes() == drawn_alone(form, request).tobytes()
    assert set(done) == set(shown) - set(before)
    form.reload()
    expect(form.locator("#stage .frame a img")).to_have_count(4)


def test_braces_that_are_no_alternatives_are_drawn_as_they_stand(form: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=202, json={"jobs": [], "group": None})

    form.locator("#prompt").fill("a \\{red|blue\\} house")
    form.route("**/jobs", refuse)
    with form.expect_request("**/jobs") as sent:
        form.get_by_role("button", name="Generate").click()
    assert sent.value.post_data_json["prompt"] == "a {red|blue} house"
    assert "axes" not in sent.value.post_data_json


def test_a_list_that_cannot_be_read_says_how_to_write_it(form: Page) -> None:
    asked: list[str] = []
    form.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    form.locator("#prompt").fill("a house")
    form.locator("#axes-toggle").click()
    for axis, typed, told in (
        ("seed", "x..y", "Write seeds like 1..4 or 7, 21, 99."),
        ("steps", "few", "Write steps like 1, 2, 4."),
        ("seed", "5..1", "Write seeds like 1..4 or 7, 21, 99."),
        ("strength", "0.3; 0.6", "Write strengths like 0.3, 0.6, 0.9."),
    ):
        form.locator("#axis-1").select_option(axis)
        form.locator("#axis-1-values").fill(typed)
        expect(form.locator("#axes-error")).to_have_text(told)
        form.get_by_role("button", name="Generate").click()
        expect(form.locator("#axes-error")).to_have_text(told)
    assert not [url for url in asked if re.search("/(grids|jobs)$", url)]


def test_a_brace_that_is_never_closed_is_told_before_drawing(form: Page) -> None:
    form.locator("#prompt").fill("a {red|blue house")
    words = "The brace before 'red|blue house' is never closed; close it, or write \\{ for a brace that is drawn."
    expect(form.locator("#prompt-error")).to_have_text(words)
    with form.expect_response(re.compile("/grids$")):
        form.get_by_role("button", name="Generate").click()
    expect(form.locator("#prompt")).to_be_focused()
    expect(form.locator("#prompt-error")).to_have_text(words)
    expect(form.locator("#axes-error")).to_be_hidden()  # said once
    form.locator("#prompt").fill("a {red|blue} house")
    expect(form.locator("#axes-summary")).to_contain_text("2 pictures")
    expect(form.locator("#prompt-error")).to_be_hidden()


def test_more_alternatives_than_a_grid_holds_are_told_and_not_drawn_as_they_stand(form: Page) -> None:
    posts: list[str] = []
    form.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    many = "|".join(f"w{place}" for place in range(35))
    form.locator("#prompt").fill(f"{{{many}}} {{{many}}} star")
    words = "The prompt stands for 1225 pictures; at most 1000 are made at a time; leave some values out."
    expect(form.locator("#prompt-error")).to_have_text(words)
    with form.expect_response(re.compile("/grids$")):
        form.get_by_role("button", name="Generate").click()
    expect(form.locator("#prompt-error")).to_have_text(words)
    assert not [url for url in posts if url.endswith("/jobs")]
