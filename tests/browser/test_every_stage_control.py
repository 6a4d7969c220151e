"""Every control of the stage, the viewer, the queue and the strip is pressed, and what comes of it is looked at.

As in test_every_control.py, what is pressed is held against what the page has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from bonsai_mlx.images import metadata
from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, Site, drag_slider, make_it_last
from tests.browser.test_every_control import (
    ELSEWHERE,
    FORM,
    SIZES,
    TOOLS,
    asked_by,
    choose,
    compare,
    filled_in,
    generate,
    picture_of,
)

pytestmark = pytest.mark.browser


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page]) -> Page:
    return filled_in(large_site, open_page)


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
    "stage-foot Enlarge 2×, with finer strokes",
    "stage-foot Enlarge 4×, with finer strokes",
    "stage-foot Enlarge 2×, as it is",
    "stage-foot Enlarge 4×, as it is",
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


ENLARGINGS = (
    ("Enlarge 2×, with finer strokes", 2, "refine"),
    ("Enlarge 4×, with finer strokes", 4, "refine"),
    ("Enlarge 2×, as it is", 2, "exact"),
    ("Enlarge 4×, as it is", 4, "exact"),
)
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
    more = foot.locator("summary[aria-label=More]")
    for name, prompt in (("Download", body["prompt"]), ("Download without the prompt", None)):
        with form.expect_download() as download:
            if prompt is None:
                more.click()
            foot.get_by_role("link" if prompt else "button", name=name, exact=True).click()
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
    for choice, by, method in ENLARGINGS:
        more.click()
        with form.expect_request("**/jobs/enlarge") as asked:
            foot.get_by_role("button", name=choice).click()
        assert asked.value.post_data_json == {"source": liked, "by": by, "method": method}
        expect(stage.locator(".frame a img")).to_have_attribute("width", str(64 * by), timeout=DRAWN_WITHIN_MS)
        form.locator(f"#strip a[data-id='{liked}']").click()
        expect(stage.locator(f".frame a[data-view='{liked}']")).to_be_visible()
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

    make_it_last(form)
    with large_site.engine_held():
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

    for field, value in (("#steps", "1"), ("#width", "64"), ("#height", "64")):
        form.locator(field).fill(value)
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
