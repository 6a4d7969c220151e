"""Every control of the panels under the prompt, of the dialogs of styles and collections and of the interface's page.

As in test_every_control.py, what is pressed is held against what the page has, and what comes of it is looked at.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.pipelines import saved
from bonsai_mlx.pipelines.styles import OURS, styles_file
from tests.browser.controls import expect_controls
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, make_picture, posted

pytestmark = pytest.mark.browser

SMALL = {"width": 64, "height": 64}
START = {"prompt": "bonsai", "steps": "1", "size": SMALL, "size-model": "seedling-ternary"}
DIALOG = "dialog[open]"


@pytest.fixture
def form(site: Site, open_page: Callable[..., Page], watch: Watch) -> Iterator[Page]:
    watch.expected += ["status of 409", "status of 422"]
    yield open_page(site.url, kept=START)
    styles_file().unlink(missing_ok=True)
    for name in saved.names():
        saved.delete(name)


def drawn_with(page: Page, site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
    """Press Generate and wait: the request, and the recipe of the picture."""
    with page.expect_response(lambda one: one.url.endswith("/jobs") and one.request.method == "POST") as answer:
        page.locator("#generate").click()
    (job,) = answer.value.json()["jobs"]
    expect(page.locator("#stage .frame a img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(page.locator("#cancel")).to_have_count(0)
    done = page.request.get(f"{site.url}/jobs/{job['id']}").json()
    recipe: dict[str, Any] = page.request.get(f"{site.url}/images/{done['image_id']}").json()["recipe"]
    body: dict[str, Any] = answer.value.request.post_data_json
    return body, recipe


def test_the_dialog_of_styles(form: Page, site: Site) -> None:
    form.locator("#styles-toggle").click()
    expect(form.locator(".style-chip")).to_have_count(len(OURS))
    expect_controls(form, "#styles", {"style", "#edit-styles"})
    form.locator("#edit-styles").click()
    dialog = form.locator(DIALOG)
    whose = {style.name: form.locator("li.style-editor", has_text=f"Save {style.name}") for style in OURS}
    expect(dialog.locator(".style-editor")).to_have_count(len(OURS) + 1)
    place = "style-editors "
    expect_controls(
        form,
        DIALOG,
        {
            *(
                f"{place}{part}"
                for part in ("Name", "Name of a new style", "Text; {prompt} is where your words go", "Add")
            ),
            *(f"{place}{verb} {style.name}" for style in OURS for verb in ("Save", "Delete")),
            *("Restore the built-in styles", "Done"),
        },
    )
    for name, editor in whose.items():  # each is saved as another text, and then deleted
        expect(editor.get_by_label("Name", exact=True)).not_to_be_editable()
        editor.get_by_label("Text;").fill(f"{{prompt}} in the style of {name}")
        with form.expect_response(lambda one: "/styles" in one.url and one.request.method != "GET") as answer:
            editor.get_by_role("button", name=f"Save {name}", exact=True).click()
        assert answer.value.ok
    styles = form.request.get(f"{site.url}/styles").json()["styles"]
    assert [one["text"] for one in styles] == [f"{{prompt}} in the style of {name}" for name in whose]
    changed, *others = whose
    for name in others:
        dialog.get_by_role("button", name=f"Delete {name}", exact=True).click()
        expect(whose[name]).to_have_count(0)
    dialog.get_by_label("Name of a new style").fill("Mine")
    dialog.get_by_label("Text;").first.fill("{prompt}, as I like it")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("button", name="Save Mine", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(form.locator(".style-chip")).to_have_text([changed, "Mine"])
    for chip in form.locator(".style-chip").all():
        chip.click()
    _, recipe = drawn_with(form, site)
    assert recipe["prompt"] == f"bonsai in the style of {changed}, as I like it"
    form.locator("#edit-styles").click()
    form.locator(DIALOG).get_by_role("button", name="Restore the built-in styles").click()
    expect(form.locator(f"{DIALOG} .style-editor")).to_have_count(len(OURS) + 2)
    form.keyboard.press("Escape")
    texts = {one["name"]: one["text"] for one in form.request.get(f"{site.url}/styles").json()["styles"]}
    assert texts == {style.name: style.text for style in OURS} | {"Mine": "{prompt}, as I like it"}


def test_the_panel_of_prompts(form: Page, site: Site) -> None:
    form.locator("#prompts-toggle").click()
    expect_controls(form, "#prompts", {"#save-prompt"})
    form.locator("#save-prompt").click()
    form.locator("#prompt").fill("a red star")
    drawn_with(form, site)
    form.locator("#prompts-toggle").click()
    form.locator("#prompts-toggle").click()
    expect_controls(form, "#prompts", {"#save-prompt", "kept prompt", "prompts Remove"})
    form.locator("#prompt").fill("")
    for kept in ("bonsai", "a red star"):
        form.locator(".kept", has_text=kept).click()
        body, recipe = drawn_with(form, site)
        assert body["prompt"] == recipe["prompt"] == kept
    form.get_by_role("button", name="Remove “bonsai”").click()
    expect(form.get_by_role("list", name="Saved")).to_have_count(0)


def test_the_writers_panel(form: Page, site: Site) -> None:
    status, go = form.locator("#write-status"), form.locator("#write-go")
    form.locator("#write-toggle").click()
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    expect_controls(form, "#write", {"#write-go", "#write-undo", "proposal"})
    for place in range(3):
        scene = form.locator(".proposal").nth(place)
        words = scene.inner_text()
        scene.click()
        body, recipe = drawn_with(form, site)
        assert (body["prompt"], body["typed"], recipe["prompt"], recipe["typed"]) == (words, "bonsai", words, "bonsai")
    form.locator("#write-undo").click()
    body, recipe = drawn_with(form, site)
    assert (body["prompt"], body.get("typed"), recipe["prompt"]) == ("bonsai", None, "bonsai")
    before = form.locator(".proposal").all_inner_texts()
    go.click()
    expect(go).to_have_text("Stop")
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    assert form.locator(".proposal").all_inner_texts() != before
    error = {"code": "model_missing", "message": "It is not here.", "remedy": None}
    form.route("**/write", lambda route: route.fulfill(status=409, json={"error": error}))
    go.click()
    form.get_by_role("link", name="Open models").click()
    expect(form.locator("h1")).to_have_text("Models")


def answered_late(route: Route) -> None:
    """The run's end is told before the answer that began it, as on a busy machine."""
    answer = route.fetch()
    address = f"{route.request.url}s/{answer.json()['group']}"
    for _ in range(600):
        with urllib.request.urlopen(address, timeout=60) as found:  # noqa: S310  (our own server)
            if json.load(found)["status"] == "done":
                break
        time.sleep(0.1)
    route.fulfill(response=answer)


def test_the_panel_of_pipelines_and_its_run(form: Page, site: Site) -> None:
    made = make_picture(site, "a red house", seed=3, model="seedling-ternary")
    form.goto(f"{site.url}/?from={made}")
    expect(form.locator(f"#stage a[data-view='{made}']")).to_be_visible()
    form.locator("#pipelines-toggle").click()
    expect(form.locator("#keep-pipeline")).to_be_enabled()
    form.locator("#pipeline-name").fill("one")
    form.locator("#keep-pipeline").click()
    expect(form.locator("#pipelines-status")).to_have_text("Kept: Draw.")
    expect_controls(
        form,
        "#pipelines",
        {
            *("pipeline-list Run one on the words above", "pipeline-list Delete one"),
            *("#pipeline-name", "#keep-pipeline"),
        },
    )
    form.locator("#prompt").fill("a blue house")
    form.locator("#seed").fill("9")
    form.route("**/pipelines/run", answered_late)
    form.get_by_role("button", name="Run one on the words above").click()
    expect(form.locator("#run-words")).to_have_text("one. Its step is done.", timeout=DRAWN_WITHIN_MS)
    expect_controls(form, "#run", {"run-steps picture"})
    form.locator("#run-steps button").click()
    shown = form.locator("#stage .frame a").get_attribute("data-view")
    recipe = form.request.get(f"{site.url}/images/{shown}").json()["recipe"]
    assert (recipe["prompt"], recipe["seed"], recipe["width"]) == ("a blue house", 9, 64)
    form.get_by_role("button", name="Delete one").click()
    expect(form.locator(".pipeline")).to_have_count(0)
    assert form.request.get(f"{site.url}/pipelines").json()["pipelines"] == []


COLLECTION_DIALOGS = {  # what opens it, its controls, the one that changes nothing, and the one that acts
    "new": ("#new-collection", {"#collection-name", "Create", "Cancel"}, "Cancel", "Create"),
    "move": (
        "#move-selected",
        {"choice", "#collection-name", "Create and move", "Cancel"},
        "Cancel",
        "Create and move",
    ),
    "rename": ("#rename-collection", {"#collection-name", "Rename", "Cancel"}, "Cancel", "Rename"),
    "delete": ("#delete-collection", {"Keep it", "Delete the collection"}, "Keep it", "Delete the collection"),
}


@pytest.mark.parametrize("name", COLLECTION_DIALOGS)
def test_the_dialogs_of_collections(site: Site, open_page: Callable[..., Page], name: str) -> None:
    opener, controls, leave, act = COLLECTION_DIALOGS[name]
    picture = make_picture(site, f"moved by a dialog: {name}")
    kept = posted(site, "/collections", {"name": f"Kept by {name}"})["id"]
    posted(site, "/images/move", {"ids": [picture], "into": kept})
    page = open_page(f"{site.url}/gallery?collection={kept}")
    expect(page.locator("#engine-mark")).to_be_visible()

    def known() -> dict[str, int]:
        found = page.request.get(f"{site.url}/collections").json()["collections"]
        return {one["name"]: one["total"] for one in found if one["name"].endswith(f"by {name}")}

    before = known()
    if name == "move":
        posted(site, "/collections", {"name": "Another"})
        page.locator("#select").click()
        page.locator(".print").click()
    page.locator(opener).click()
    expect(page.locator(DIALOG).get_by_role("button", name=leave)).to_be_visible()
    expect_controls(page, DIALOG, controls)
    field = page.locator("#collection-name")
    if "#collection-name" in controls:
        field.fill(f"Made by {name}")
    page.locator(DIALOG).get_by_role("button", name=leave).click()
    expect(page.locator(DIALOG)).to_have_count(0)
    assert known() == before
    page.locator(opener).click()
    if "#collection-name" in controls:
        field.fill(f"Made by {name}")
    page.locator(DIALOG).get_by_role("button", name=act, exact=True).click()
    expect(page.locator(DIALOG)).to_have_count(0)
    ours = {f"Kept by {name}": 1}
    wanted = {
        "new": ours | {"Made by new": 0},
        "move": {"Kept by move": 0, "Made by move": 1},
        "rename": {"Made by rename": 1},
        "delete": {},
    }
    expect(page.locator("#collections")).to_contain_text(re.compile("All pictures"))
    assert known() == wanted[name]
    assert page.request.get(f"{site.url}/images/{picture}").status == 200  # wherever it lies, it is kept


def test_a_choice_of_the_dialog_that_moves(site: Site, open_page: Callable[..., Page]) -> None:
    picture = make_picture(site, "moved by a choice")
    chosen = posted(site, "/collections", {"name": "Chosen"})["id"]
    page = open_page(f"{site.url}/i/{picture}")
    expect(page.locator("#engine-mark")).to_be_visible()
    page.locator("#move").click()
    page.locator(DIALOG).get_by_role("button", name="Chosen (0)").click()
    expect(page.get_by_text("Moved to “Chosen”.")).to_be_visible()
    found = page.request.get(f"{site.url}/images?collection={chosen}").json()["images"]
    assert [one["id"] for one in found] == [picture]


# The summaries that are closed are pressed, one after the other; method, path and names of what each then shows.
UNFOLDED = """() => [...document.querySelectorAll("details.operation")].map((fold) => {
    const summary = fold.querySelector("summary");
    if (!fold.open) summary.click();
    const seen = [...fold.querySelectorAll("th code")].filter((one) => one.checkVisibility());
    const [method, path] = [".method", "code"].map((one) => summary.querySelector(one).innerText);
    return [method, path, seen.map((one) => one.innerText)];
})"""


def test_the_page_of_the_interface(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/docs")
    expect(page.locator("#engine-mark")).to_be_visible()
    folds = page.locator("details.operation")
    document = page.request.get(f"{site.url}/openapi.json").json()
    told = {
        (method.upper(), path): one for path, methods in document["paths"].items() for method, one in methods.items()
    }
    expect_controls(page, "main", {"openapi.json", "summary"})
    folds.first.locator("summary").click()
    expect(folds.first).to_have_attribute("open", "")
    shown = {(method, path): set(names) for method, path, names in page.evaluate(UNFOLDED)}
    expect(page.locator("details.operation:not([open])")).to_have_count(0)
    assert shown.keys() == told.keys()
    for key, names in shown.items():
        assert {one["name"] for one in told[key].get("parameters", ())} <= names, key
    page.locator("main").get_by_role("link", name="openapi.json").click()
    expect(page).to_have_url(f"{site.url}/openapi.json")
    assert json.loads(page.locator("pre").inner_text())["paths"].keys() == document["paths"].keys()
