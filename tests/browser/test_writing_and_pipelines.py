"""The writer and kept pipelines on the page, with the seedling's own writer: every control, every state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.pipelines import saved
from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, make_picture

pytestmark = pytest.mark.browser

SMALL = {"width": 64, "height": 64}
START = {"prompt": "bonsai", "steps": "1", "size": SMALL, "size-model": "seedling-ternary"}


@pytest.fixture
def form(site: Site, open_page: Callable[..., Page], watch: Watch) -> Iterator[Page]:
    watch.expected += ["status of 409", "status of 422", "Failed to load resource"]
    yield open_page(site.url, kept=START)
    for name in saved.names():
        saved.delete(name)


def drawn_by(page: Page, press: Callable[[], None]) -> dict[str, Any]:
    with page.expect_response(lambda one: one.url.endswith("/jobs") and one.request.method == "POST") as answer:
        press()
    body: dict[str, Any] = answer.value.request.post_data_json
    return body


def test_a_few_words_become_a_scene_that_is_changed_and_drawn(form: Page, site: Site) -> None:
    prompt, status = form.locator("#prompt"), form.locator("#write-status")
    form.get_by_role("button", name="Help me write").click()
    scenes = form.locator(".proposal")
    expect(form.locator("#write-go")).to_have_text("Stop")
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    expect(scenes).to_have_count(3)
    text = scenes.nth(1).inner_text()
    assert len(text.split()) > 3
    assert "bonsai" in text
    scenes.nth(1).click()
    expect(prompt).to_have_value(text)
    expect(scenes.nth(1)).to_be_focused()
    expect(scenes.nth(1)).to_have_attribute("aria-pressed", "true")
    prompt.press("End")
    prompt.type(" today")
    body = drawn_by(form, lambda: form.get_by_role("button", name="Generate").click())
    assert (body["prompt"], body["typed"]) == (f"{text} today", "bonsai")
    picture = form.locator("#stage .frame a").get_by_role("img", name=f"{text} today")
    expect(picture).to_be_visible(timeout=DRAWN_WITHIN_MS)
    made = form.locator("#stage .frame a").get_attribute("data-view")
    recipe = form.request.get(f"{site.url}/images/{made}").json()["recipe"]
    assert (recipe["typed"], recipe["prompt"]) == ("bonsai", f"{text} today")

    form.reload()  # the words behind the prompt are still known
    form.get_by_role("button", name="Help me write").click()
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    form.get_by_role("button", name="Back to my words").click()
    expect(prompt).to_have_value("bonsai")
    expect(form.locator("#write-go")).to_be_focused()
    body = drawn_by(form, lambda: form.get_by_role("button", name="Generate").click())
    assert (body["prompt"], body.get("typed")) == ("bonsai", None)
    form.get_by_role("button", name="Write three others").click()
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    scenes.nth(0).click()
    prompt.fill("")
    prompt.fill("a red cup")  # other words: nothing was written of them
    body = drawn_by(form, lambda: form.get_by_role("button", name="Generate").click())
    assert (body["prompt"], body.get("typed")) == ("a red cup", None)


def test_writing_is_stopped_fails_and_is_tried_again(form: Page) -> None:
    status, go = form.locator("#write-status"), form.locator("#write-go")
    form.locator("#prompt").fill("")
    form.locator("#write-toggle").click()
    expect(form.locator(".proposal")).to_have_count(0)
    go.click()
    expect(status).to_have_text("Type a few words above first.")
    expect(form.locator("#prompt")).to_be_focused()
    form.locator("#prompt").fill("two foxes")
    go.click()
    expect(go).to_have_text("Stop")
    go.click()
    expect(status).to_have_text(re.compile("^Stopped"))
    expect(go).not_to_have_text("Stop")

    def refuse(status: int, code: str, message: str) -> None:
        error = {"code": code, "message": message, "remedy": "Do this."}
        form.route("**/write", lambda route: route.fulfill(status=status, json={"error": error}))

    problem = form.locator("#write-problem")
    refuse(409, "model_missing", "it was never taught to write.")
    go.click()
    expect(problem).to_contain_text("There is no writer for this model: it was never taught to write. Do this.")
    expect(problem.get_by_role("link", name="Open models")).to_be_visible()
    form.unroute("**/write")
    refuse(501, "not_installed", "writing needs the library mlx-lm.")
    go.click()
    expect(problem).to_have_text("writing needs the library mlx-lm. Do this.")  # no model would help
    form.unroute("**/write")
    partly = 'event: word\ndata: {"proposal":0,"text":"two red foxes"}\n\nevent: error\ndata: {"error":'
    partly += '{"code":"failed","message":"The engine ended."}}\n\n'
    form.route("**/write", lambda route: route.fulfill(body=partly, content_type="text/event-stream"))
    go.click()
    expect(problem).to_have_text("The engine ended.")
    expect(form.get_by_role("button", name="two red foxes")).to_be_enabled()  # what there is can be used
    form.unroute("**/write")

    def cut(route: Route) -> None:
        route.abort("connectionreset")

    form.route("**/write", cut)
    expect(go).to_have_text("Try again")
    go.click()
    expect(problem).to_contain_text("The server does not answer")
    form.unroute("**/write")
    go.click()
    expect(status).to_have_text("Press a scene to use it.", timeout=60_000)
    expect(problem).to_be_hidden()


def redrawn(site: Site, form: Page) -> str:
    """A picture that has come about in two steps; its id."""
    first = make_picture(site, "a red house", seed=3, model="seedling-ternary")
    body = {
        "prompt": "a red house at night",
        "init": first,
        "strength": 0.5,
        "seed": 4,
        "steps": 1,
        "model": "seedling-ternary",
    }
    return str(form.request.post(f"{site.url}/edit", data=body, timeout=DRAWN_WITHIN_MS).headers["x-image-id"])


def test_steps_of_a_picture_are_kept_run_on_other_words_and_deleted(form: Page, site: Site) -> None:
    made = redrawn(site, form)
    form.goto(f"{site.url}/?from={made}")
    expect(form.locator(f"#stage a[data-view='{made}']")).to_be_visible()
    form.get_by_role("button", name="Pipelines", exact=True).click()
    expect(form.locator("#pipelines-status")).to_contain_text("None is kept yet")
    name, keep = form.get_by_label("Keep the steps of this picture as"), form.locator("#keep-pipeline")
    keep.click()
    expect(form.locator("#pipelines-error")).to_have_text("Give it a name.")
    name.fill("at night")
    name.press("Enter")
    expect(form.locator("#pipelines-status")).to_have_text("Kept: Draw, then redraw.")
    expect(name).to_have_value("")
    name.fill("At Night")
    keep.click()
    expect(form.locator("#pipelines-error")).to_contain_text("There is a pipeline called At Night already")
    form.locator("#prompt").fill("")
    run = form.get_by_role("button", name="Run at night on the words above")
    run.click()
    expect(form.locator("#prompt-error")).to_have_text("Say in a few words what the pipeline is to draw.")
    form.locator("#prompt").fill("three green stars")
    form.locator("#seed").fill("8")
    with form.expect_response("**/pipelines/run") as answer:
        run.click()
    assert answer.value.request.post_data_json == {"name": "at night", "prompt": "three green stars", "seed": 8}
    words = form.locator("#run-words")
    expect(words).to_have_text("at night. All 2 steps are done.", timeout=DRAWN_WITHIN_MS)
    steps = form.locator("#run-steps li")
    expect(steps).to_have_text(["DrawDone", "RedrawDone"])
    expect(form.locator("#stage .frame a img")).to_have_attribute("alt", "three green stars at night")
    ended = form.request.get(f"{site.url}/pipelines/runs/{answer.value.json()['group']}").json()
    for place, image in enumerate(ended["image_ids"]):
        steps.nth(place).get_by_role("button").click()
        expect(form.locator(f"#stage a[data-view='{image}']")).to_be_visible()
        assert form.request.get(f"{site.url}/images/{image}").json()["seed"] == 8
    form.locator(f"#strip a[data-id='{made}']").click()
    expect(form.locator("#run")).to_be_hidden()  # it belongs to its own pictures
    form.get_by_role("button", name="Delete at night").click()
    expect(form.locator(".pipeline")).to_have_count(0)
    expect(name).to_be_focused()
    form.get_by_role("button", name="Undo").click()
    expect(run).to_be_visible()
    saved.pipelines_folder().joinpath("broken.json").write_text("{")
    form.locator("#pipelines-toggle").click()
    form.locator("#pipelines-toggle").click()
    expect(form.locator(".pipeline")).to_have_count(2)
    form.get_by_role("button", name="Delete broken").click()
    expect(form.locator(".pipeline")).to_have_count(1)


def test_a_run_is_followed_over_a_reload_and_cancelled(form: Page, site: Site) -> None:
    """Its first step writes; then two draw, the second of which takes long."""
    draw = {"operation": "draw", "prompt": "{prompt}", "model": "seedling-ternary", **SMALL}
    steps = [
        {"operation": "write", "prompt": "{prompt}", "seed": 7, "model": "seedling-ternary"},
        draw | {"steps": 1, "id": "one"},
        draw | {"steps": 100, "id": "two", "init": "one", "strength": 0.5},
    ]
    for step in steps[2:]:
        del step["width"], step["height"]
    form.request.put(f"{site.url}/pipelines/long", data={"steps": steps})
    form.locator("#pipelines-toggle").click()
    form.get_by_role("button", name="Run long on the words above").click()
    words = form.locator("#run-words")
    expect(words).to_contain_text("long. Step 3 of 3: redraw…", timeout=DRAWN_WITHIN_MS)
    expect(form.locator("#run-steps [aria-current=step]")).to_have_text("3RedrawNow")
    expect(form.locator("#run-steps img")).to_have_count(1)
    expect(form.locator("#stage #cancel")).to_be_visible()
    form.reload()
    expect(words).to_contain_text("Step 3 of 3")
    expect(form.locator("#stage #cancel")).to_be_visible()
    form.get_by_role("button", name="Cancel all steps").click()
    expect(words).to_have_text("long. Cancelled at step 3 of 3. What was drawn is kept.", timeout=DRAWN_WITHIN_MS)
    expect(form.get_by_role("button", name="Cancel all steps")).to_have_count(0)


def test_a_pipeline_with_words_of_its_own_runs_beside_others_that_are_typed(form: Page, site: Site) -> None:
    steps = [{"operation": "draw", "prompt": "a red star", "steps": 1, **SMALL}]
    form.request.put(f"{site.url}/pipelines/own", data={"steps": steps})
    form.locator("#prompt").fill("a blue star")
    form.locator("#pipelines-toggle").click()
    with form.expect_response(re.compile("/pipelines/run$")) as answer:
        form.get_by_role("button", name="Run own", exact=True).click()
    assert answer.value.ok, answer.value.text()
    expect(form.locator("#stage-foot")).to_contain_text("a red star", timeout=DRAWN_WITHIN_MS)
