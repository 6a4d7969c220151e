"""Styles and several values at once: chosen, changed, told before, drawn, and saved as one sheet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.pipelines.styles import OURS, styles_file
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch

pytestmark = pytest.mark.browser

START = {"prompt": "a {red|blue} house", "steps": "1", "size": {"width": 64, "height": 64}, "size-model": "ternary"}


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page], watch: Watch) -> Iterator[Page]:
    watch.expected += [
        "status of 422",
        "Service Worker registration blocked",
    ]  # the first: what cannot be drawn is refused while it is typed
    kept = [{"name": name, "value": json.dumps(value)} for name, value in START.items()]
    page = open_page(large_site.url, storage_state={"origins": [{"origin": large_site.url, "localStorage": kept}]})
    page.locator("#styles summary").click()
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
    expect(form.locator("#styles-summary")).to_have_text("At night, Twice")
    form.locator("#prompt").fill("stars")
    with form.expect_response(lambda response: response.url.endswith("/jobs")) as answer:
        form.get_by_role("button", name="Generate").click()
    [job] = answer.value.json()["jobs"]
    assert answer.value.request.post_data_json["styles"] == ["At night", "Twice"]
    assert (job["prompt"], job["request"]["typed"]) == ("two stars at night", "stars")
    form.reload()
    expect(form.locator("#styles-summary")).to_have_text("At night, Twice")  # remembered


def test_a_grid_is_told_before_drawn_and_saved_as_one_sheet(form: Page) -> None:
    summary = form.locator("#axes-summary")
    expect(summary).to_have_text("2 pictures")
    form.locator("#axes summary").click()
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
    with form.expect_response(lambda response: response.url.endswith("/grids")) as answer:
        form.get_by_role("button", name="Generate").click()
    jobs = answer.value.json()["jobs"]
    assert [job["prompt"] for job in jobs] == ["a red house", "a blue house"]
    assert jobs[0]["cell"]["columns"] == ["red", "blue"]
    with form.expect_download(timeout=DRAWN_WITHIN_MS) as download:
        form.locator("#contact-sheet").click(timeout=DRAWN_WITHIN_MS)
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as sheet:
        assert sheet.width > 128


def test_braces_that_are_no_alternatives_are_drawn_as_they_stand(form: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=202, json={"jobs": [], "group": None})

    form.locator("#prompt").fill("a \\{red|blue\\} house")
    form.route("**/jobs", refuse)
    with form.expect_request("**/jobs") as sent:
        form.get_by_role("button", name="Generate").click()
    assert sent.value.post_data_json["prompt"] == "a {red|blue} house"
    assert "axes" not in sent.value.post_data_json
