"""What stands under the prompt: styles, the words that are read, prompts to come back to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from bonsai_mlx.pipelines.styles import OURS, styles_file
from tests.browser.axe import violations
from tests.browser.driver import DRAWN_WITHIN_MS, LASTING_STEPS, Site, Watch, draw
from tests.browser.grids import finished, root_of

pytestmark = pytest.mark.browser

BUILT_IN = {style.name: style.text for style in OURS}
START = {"prompt": "a {red|blue} house", "steps": "1", "size": {"width": 64, "height": 64}, "size-model": "ternary"}


@pytest.fixture
def form(large_site: Site, open_page: Callable[..., Page], watch: Watch) -> Iterator[Page]:
    watch.expected += [
        "status of 422",
        "Service Worker registration blocked",
    ]  # the first: what cannot be drawn is refused while it is typed
    page = open_page(large_site.url, kept=START)
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
    texts = dialog.get_by_label("Text; {prompt} is where your words go")
    texts.last.fill("typed and not saved yet")
    dialog.get_by_role("button", name="Add", exact=True).press("Enter")
    expect(dialog.get_by_role("button", name="Delete Twice")).to_be_visible()
    expect(dialog.get_by_role("button", name="Add", exact=True)).to_be_focused()
    expect(texts.first).to_have_value("")
    expect(texts.last).to_have_value("typed and not saved yet")
    dialog.get_by_role("button", name="Delete Comic").press("Enter")
    expect(dialog.get_by_role("button", name="Save Comic")).to_have_count(0)
    expect(dialog.locator("#style-editors")).to_be_focused()
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


def test_a_style_that_is_saved_leaves_the_others_as_they_are_typed(form: Page) -> None:
    """Its answer comes while the next one is written: the focus, the caret and the words stay."""
    held: list[Route] = []
    form.route("**/styles", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    form.locator("#edit-styles").click()
    dialog = form.locator("dialog[open]")
    comic, poster = (
        dialog.locator("li", has_text=f"Save {name}").get_by_label("Text;") for name in ("Comic", "Poster")
    )
    comic.fill("{prompt} as a comic")
    with form.expect_request(lambda request: request.method == "POST"):
        dialog.get_by_role("button", name="Save Comic").click()
    comic.fill("{prompt} as two comics")  # while it is saved
    dialog.get_by_label("Name of a new style").fill("Mine")
    poster.fill("{prompt}, a poster")
    poster.press("ArrowLeft")
    with form.expect_response(lambda response: response.request.method == "POST") as answer:
        held.pop().continue_()
    assert answer.value.json()["styles"]
    form.evaluate("() => new Promise((done) => setTimeout(done))")  # the page has taken the answer
    poster.page.keyboard.type("-")
    expect(poster).to_have_value("{prompt}, a poste-r")
    expect(comic).to_have_value("{prompt} as two comics")
    expect(dialog.get_by_label("Name of a new style")).to_have_value("Mine")
    form.unroute("**/styles")
    for name in ("Poster", "Comic"):
        with form.expect_response(lambda response: response.request.method == "POST") as answer:
            dialog.get_by_role("button", name=f"Save {name}").click()
    texts = {style["name"]: style["text"] for style in answer.value.json()["styles"]}
    assert (texts["Poster"], texts["Comic"]) == ("{prompt}, a poste-r", "{prompt} as two comics")


def test_nothing_of_a_style_is_lost_by_a_slip(form: Page) -> None:
    form.locator("#edit-styles").click()
    dialog = form.locator("dialog[open]")
    text = dialog.get_by_label("Text; {prompt} is where your words go")

    def of(name: str) -> Locator:
        return dialog.locator("li", has_text=f"Save {name}").get_by_label("Text;")

    dialog.get_by_label("Name of a new style").fill("  ink  WASH ")  # of another one, as the server reads names
    text.first.fill("mine")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert").first).to_contain_text("There is a style called Ink wash already.")
    of("Comic").fill("{prompt} as a comic")
    dialog.get_by_role("button", name="Save Comic").click()
    dialog.get_by_role("button", name="Delete Comic").click()
    expect(dialog.locator("#style-said")).to_contain_text("Comic is deleted.")
    dialog.get_by_role("button", name="Undo").click()
    expect(of("Comic")).to_have_value("{prompt} as a comic")
    dialog.get_by_role("button", name="Delete Poster").click()
    expect(of("Poster")).to_have_count(0)
    dialog.get_by_role("button", name="Restore the built-in styles").click()
    expect(of("Comic")).to_have_value(BUILT_IN["Comic"])
    expect(of("Poster")).to_have_value(BUILT_IN["Poster"])
    dialog.get_by_role("button", name="Undo").click()
    expect(of("Poster")).to_have_count(0)
    expect(of("Comic")).to_have_value("{prompt} as a comic")
    of("Clay model").fill("typed, not saved")
    form.keyboard.press("Escape")
    form.locator("#edit-styles").click()
    expect(of("Clay model")).to_have_value("typed, not saved")
    expect(dialog.get_by_label("Name of a new style")).to_have_value("  ink  WASH ")
    expect(text.first).to_have_value("mine")
    styles = {one["name"]: one["text"] for one in form.request.get(f"{form.url}styles").json()["styles"]}
    changed = BUILT_IN | {"Comic": "{prompt} as a comic"}
    assert styles == {name: text for name, text in changed.items() if name != "Poster"}


def drawn(page: Page) -> str:
    """Press Generate and wait; the id of the picture."""
    with page.expect_response(lambda response: response.url.endswith("/jobs")) as answer:
        page.get_by_role("button", name="Generate").click()
    (job,) = answer.value.json()["jobs"]
    return str(finished(page, job)["image_id"])


def test_a_recipe_in_a_style_gives_back_the_words_and_the_style(form: Page, tmp_path: Path) -> None:
    prompt, style = form.locator("#prompt"), form.locator("#styles-toggle")
    form.get_by_role("button", name="At night", exact=True).click()
    prompt.fill("stars")
    form.locator("#seed").fill("12")
    made = drawn(form)
    file = tmp_path / "stars.png"
    file.write_bytes(form.request.get(f"{root_of(form)}/images/{made}.png").body())
    root = root_of(form)

    def by_the_stage() -> None:
        form.locator("#stage-foot").get_by_role("button", name="Use settings").click()

    def by_its_page() -> None:
        form.goto(f"{root}/i/{made}")
        form.locator("#use").click()

    def by_its_file(*left_out: str) -> None:
        form.locator("#image-file").set_input_files(file)
        dialog = form.get_by_role("dialog")
        expect(dialog.get_by_role("row", name="Prompt")).to_contain_text("stars")
        for name in left_out:
            dialog.get_by_label(f"Apply {name}").uncheck()
        dialog.get_by_role("button", name="Apply").click()

    def unstyle() -> None:
        if form.locator("#styles").is_hidden():
            style.click()
        form.locator(".style-chip[aria-pressed=true]").click()
        expect(style).to_have_text("Style")

    for bring_back in (by_the_stage, by_its_page, by_its_file):
        unstyle()
        prompt.fill("something else")
        bring_back()
        expect(prompt).to_have_value("stars")
        expect(style).to_have_text("Style: At night")
    again = drawn(form)
    recipes = [form.request.get(f"{root}/images/{one}").json()["recipe"] for one in (made, again)]
    assert {(one["prompt"], one["typed"], *one["styles"], one["seed"]) for one in recipes} == {
        ("stars at night", "stars", "At night", 12)
    }
    unstyle()
    by_its_file("Style")
    expect(prompt).to_have_value("stars")
    expect(style).to_have_text("Style")
    form.request.post(f"{root}/styles", data={"name": "At night", "text": "{prompt} by day"})
    for bring_back in (by_its_page, by_its_file):  # the style says something else by now
        bring_back()
        expect(prompt).to_have_value("stars at night")
        expect(style).to_have_text("Style")
        expect(form.get_by_text("The style At night is not what it was").last).to_be_visible()


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


def test_a_style_that_makes_the_prompt_too_long_is_told_where_it_is_chosen(studio: Page) -> None:
    line = studio.locator("#prompt-length")
    studio.locator("#prompt").fill("a yellow boat")
    studio.locator("#styles-toggle").click()
    ink = studio.get_by_role("button", name="Ink wash", exact=True)
    with studio.expect_request("**/prompts/length") as asked:
        ink.click()
    assert asked.value.post_data_json["styles"] == ["Ink wash"]
    read = studio.request.post(f"{root_of(studio)}/prompts/length", data=asked.value.post_data_json).json()
    text = next(style.text for style in OURS if style.name == "Ink wash")
    styled = text.replace("{prompt}", "a yellow boat") if "{prompt}" in text else f"a yellow boat, {text}"
    expect(line).to_contain_text("Too long: the model stops reading after “…")
    expect(line).to_contain_text(f"{styled[: read['read_chars']].strip()[-10:]}”")  # of the words that are drawn
    ink.click()
    expect(line).to_be_hidden()
    ink.click()
    expect(line).to_contain_text("Too long")
    studio.reload()
    expect(line).to_contain_text("Too long")  # the style is still chosen


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


def test_one_panel_is_open_at_a_time_and_escape_closes_it_alone(studio: Page) -> None:
    draw(studio, "a fox while one looks at prompts", steps=LASTING_STEPS)
    expect(studio.locator("#cancel")).to_be_visible()
    for tool in ("styles", "axes", "prompts", "pipelines"):
        studio.locator(f"#{tool}-toggle").click()
        expect(studio.locator(f"#{tool}")).to_be_visible()
        expect(studio.locator(".tool-panel:visible")).to_have_count(1)
        expect(studio.locator(".tool[aria-expanded=true]")).to_have_id(f"{tool}-toggle")
    studio.locator("#pipelines-toggle").click()  # once more closes it
    expect(studio.locator(".tool-panel:visible")).to_have_count(0)
    studio.locator("#prompts-toggle").click()
    asked: list[str] = []
    studio.on("request", lambda request: asked.append(request.method))
    studio.locator("#save-prompt").press("Escape")
    expect(studio.locator(".tool-panel:visible")).to_have_count(0)
    expect(studio.locator("#prompts-toggle")).to_be_focused()
    expect(studio.locator("#prompts-toggle")).to_have_attribute("aria-expanded", "false")
    studio.wait_for_timeout(100)
    assert "DELETE" not in asked  # it was not cancelled
    studio.keyboard.press("Escape")  # where nothing is open it is meant for the picture
    expect(studio.locator("#cancel")).to_have_count(0)


def test_axe_finds_nothing_in_the_open_tools(site: Site, open_page: Callable[..., Page], axe: str) -> None:
    """Nor in the dialog of styles: in test_keyboard.py."""
    page = open_page(site.url, viewport={"width": 390, "height": 844})
    page.locator("#prompt").fill("bonsai")
    page.locator("#write-toggle").click()
    expect(page.locator(".proposal:enabled")).to_have_count(3, timeout=DRAWN_WITHIN_MS)
    page.locator(".proposal").first.click()
    assert violations(page, axe) == []
    page.locator("#pipelines-toggle").click()
    expect(page.locator("#pipeline-name")).to_be_visible()
    assert violations(page, axe, ".composer") == [], "pipelines"
    page.locator("#axes-toggle").click()
    page.locator("#prompt").fill("a {red|blue} house")
    expect(page.locator("#axes-summary")).to_contain_text("2 pictures")
    assert violations(page, axe, ".composer") == [], "axes"
    page.locator("#prompts-toggle").click()
    page.locator("#save-prompt").click()
    assert violations(page, axe, ".composer") == [], "prompts"
    page.locator("#styles-toggle").click()
    expect(page.locator(".style-chip")).to_have_count(len(OURS))
    page.locator(".style-chip").first.click()
    assert violations(page, axe, ".composer") == [], "styles"
