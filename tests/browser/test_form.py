"""The form: seeds, sizes, what is wrong with them, and what the server refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.hub.catalog import lookup
from tests.browser.driver import Site, Watch, draw, drawn, wait_until_ready

pytestmark = pytest.mark.browser


def refuse(page: Page, status: int, **detail: Any) -> None:
    """Let the server refuse the next requests for pictures like this."""
    error = {"field": None, "remedy": None, "retry_after_s": None} | detail
    page.route("**/jobs", lambda route: route.fulfill(status=status, json={"error": error}))


def test_a_locked_seed_stays_and_an_unlocked_one_changes(studio: Page) -> None:
    seed = studio.get_by_label("Seed", exact=True)
    studio.get_by_role("button", name="Lock the seed").click()
    first = seed.input_value()
    draw(studio, "a star")
    drawn(studio, "a star")
    draw(studio, "a moon")
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a moon")
    assert seed.input_value() == first
    studio.get_by_role("button", name="Lock the seed").click()
    draw(studio, "a sun")
    expect(seed).not_to_have_value(first)
    studio.keyboard.press("Escape")


def test_a_typed_seed_waits_until_a_picture_is_drawn_with_it(studio: Page, watch: Watch) -> None:
    watch.expected = ["status of 400"]
    seed, prompt = studio.get_by_label("Seed", exact=True), studio.get_by_label("Describe the picture")
    seed.fill("42")
    studio.get_by_role("button", name="Generate").click()
    expect(studio.locator("#prompt-error")).to_be_visible()
    refuse(studio, 400, code="invalid", message="Not now.")
    prompt.fill("a green cup")
    for _ in range(2):
        studio.get_by_role("button", name="Generate").click()
        expect(studio.locator("#submit-note")).to_contain_text("Not now.")
    studio.unroute("**/jobs")
    studio.get_by_label("Steps").fill("1")
    twice = "button => (button.click(), button.click())"  # the second certainly before the first is answered
    studio.get_by_role("button", name="Generate").evaluate(twice)
    drawn(studio, "a green cup")
    expect(studio.locator("#stage .facts")).to_contain_text("Seed 42")
    expect(seed).to_have_value("42")


def test_text_from_an_office_program_is_pasted_as_text(studio: Page, watch: Watch) -> None:
    """It brings a picture of itself along."""
    watch.expected = ["status of 422"]  # the picture at the end is none
    paste = """types => {
        const data = new DataTransfer();
        for (const type of types) data.setData(type, "<b>a fox</b>");
        data.items.add(new File([new Uint8Array(8)], "fox.png", {type: "image/png"}));
        const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
        return !document.getElementById("prompt").dispatchEvent(event);
    }"""
    assert not studio.evaluate(paste, ["text/plain", "text/html"])
    with studio.expect_response("**/metadata") as answer:
        assert studio.evaluate(paste, ["text/html"])  # a picture copied in a browser
    assert answer.value.status == 422


def test_wrong_input_is_named_where_it_is_and_wrong_numbers_before_anything_is_drawn(studio: Page) -> None:
    studio.get_by_role("button", name="Generate").click()
    expect(studio.locator("#prompt-error")).to_have_text("Describe the picture in a few words.")
    expect(studio.get_by_label("Describe the picture")).to_be_focused()
    studio.get_by_label("Describe the picture").fill("a cup")
    studio.get_by_label("Steps").fill("0")
    studio.get_by_role("button", name="Generate").click()
    expect(studio.locator("#steps-error")).to_be_visible()
    expect(studio.get_by_label("Steps")).to_be_focused()
    studio.get_by_label("Steps").fill("4")
    studio.get_by_label("Steps").press("Tab")
    expect(studio.locator("#steps-error")).to_be_hidden()
    for field, wrong, right in (("steps", "0", "4"), ("seed", "-1", "7")):
        studio.locator(f"#{field}").fill(wrong)
        studio.locator(f"#{field}").press("Tab")
        expect(studio.locator(f"#{field}-error")).to_be_visible()
        studio.locator(f"#{field}").fill(right)
        studio.locator(f"#{field}").press("Tab")
        expect(studio.locator(f"#{field}-error")).to_be_hidden()


def test_one_need_not_wait_for_the_sizes(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    page.route(re.compile(r"/sizes\?"), lambda _route: None)  # they never come
    page.goto(site.url)
    draw(page, "a pink cup on a table")
    drawn(page, "a pink cup on a table")


@pytest.mark.parametrize("typed", ["384", "3"])  # half of a size that is among them, and a number half typed
def test_sizes_that_arrive_late_leave_what_is_typed(site: Site, open_page: Callable[..., Page], typed: str) -> None:
    studio = open_page(site.url)
    wait_until_ready(studio)
    held: list[Route] = []
    studio.route(re.compile(r"/sizes\?"), lambda route: held.append(route))
    with studio.expect_request(re.compile(r"/sizes\?")):
        studio.get_by_role("radio", name=re.compile("Binary")).check()
    studio.get_by_role("radio", name="Other").check()
    studio.get_by_label("Height, px").fill("512")
    studio.get_by_label("Width, px").fill(typed)
    sizes = [
        {"width": width, "height": 512, "peak_bytes": 1, "verdict": "fits", "seconds": None} for width in (512, 384)
    ]
    held.pop().fulfill(json={"sizes": sizes})
    expect(studio.locator("[name=aspect]")).to_have_count(3)  # they have arrived
    expect(studio.get_by_role("radio", name="Other")).to_be_checked()
    expect(studio.get_by_label("Width, px")).to_have_value(typed)


def test_an_odd_size_can_be_typed(site: Site, open_page: Callable[..., Page]) -> None:
    studio = open_page(site.url)
    wait_until_ready(studio)
    studio.get_by_role("radio", name="Other").check()
    expect(studio.locator("#size-note")).to_be_hidden()
    studio.get_by_label("Width, px").fill("100")
    draw(studio, "a cloud")
    expect(studio.locator("#size-error")).to_be_visible()
    studio.get_by_label("Width, px").fill("96")
    studio.get_by_label("Height, px").fill("64")
    expect(studio.locator("#size-note")).to_contain_text(
        "was taught {} × {} only".format(*lookup("seedling").recommended_size)
    )
    studio.get_by_role("button", name="Generate").click()
    drawn(studio, "a cloud")
    expect(studio.locator("#stage .facts")).to_contain_text("96 × 64")


def test_a_full_queue_counts_down_and_lets_one_send_again(studio: Page, watch: Watch) -> None:
    watch.expected = ["status of 429"]
    studio.clock.install()
    studio.clock.pause_at("2100-01-01")  # the two seconds are ours to let pass
    refuse(studio, 429, code="queue_full", message="The queue is full.", retry_after_s=2)
    draw(studio, "a cup")
    expect(studio.locator("#submit-note")).to_contain_text(re.compile("The queue is full. .* in 2 seconds"))
    expect(studio.get_by_role("button", name="Generate")).to_be_disabled()
    studio.clock.run_for(2_000)
    expect(studio.locator("#submit-note")).to_be_hidden()
    expect(studio.get_by_role("button", name="Generate")).to_be_enabled()
    expect(studio.get_by_label("Describe the picture")).to_have_value("a cup")


def test_a_refused_field_is_named_and_what_does_not_fit_can_be_tried_anyway(studio: Page, watch: Watch) -> None:
    watch.expected = ["status of 422"]
    refuse(studio, 422, code="bad_field", message="is too long", field="prompt")
    draw(studio, "a valley")
    expect(studio.locator("#prompt-error")).to_have_text("The prompt is too long.")
    expect(studio.get_by_label("Describe the picture")).to_have_attribute("aria-invalid", "true")
    studio.unroute("**/jobs")
    refuse(studio, 422, code="does_not_fit", message="It needs more memory than there is.")
    draw(studio, "a mountain")
    anyway = studio.get_by_role("button", name="Try anyway")
    expect(anyway).to_be_visible()  # the first request is over
    with studio.expect_request("**/jobs") as request:
        anyway.click()
    assert request.value.post_data_json["force"] is True


def test_a_locked_seed_survives_a_reload(studio: Page) -> None:
    seed = studio.get_by_label("Seed", exact=True)
    before = seed.input_value()
    studio.get_by_role("button", name="Lock the seed").click()
    studio.reload()
    expect(seed).to_have_value(before)
    expect(studio.get_by_text("The seed is locked")).to_be_visible()


def test_drawn_prompts_come_back_with_the_arrow_keys(studio: Page) -> None:
    for prompt in ("the first of two", "the second of two"):
        draw(studio, prompt)
        drawn(studio, prompt)
    studio.reload()
    prompt = studio.locator("#prompt")
    studio.locator("#stage").press("/")
    expect(prompt).to_be_focused()
    prompt.fill("half a")
    prompt.press("Home")
    for expected in ("the second of two", "the first of two"):
        prompt.press("ArrowUp")
        expect(prompt).to_have_value(expected)
    prompt.press("End")
    for expected in ("the second of two", "half a"):
        prompt.press("ArrowDown")
        expect(prompt).to_have_value(expected)
    prompt.press("ArrowUp")  # from the end of the text it moves the caret, as everywhere
    expect(prompt).to_have_value("half a")
    studio.locator("#stage").press("?")
    expect(studio.locator("#help-dialog")).to_be_visible()


def test_settings_of_a_picture_bring_their_seed_once(studio: Page) -> None:
    draw(studio, "a seed to use once")
    drawn(studio, "a seed to use once")
    seed = studio.locator("#seed")
    first = seed.input_value()
    seed.fill("5")
    studio.get_by_role("button", name="Use settings").click()
    expect(seed).to_have_value(first)
    expect(studio.locator("#seed-lock")).to_have_attribute("aria-pressed", "false")
    studio.locator("#generate").click()
    expect(studio.locator("#cancel")).to_have_count(0)
    with studio.expect_request("**/jobs") as request:
        studio.locator("#generate").click()
    assert request.value.post_data_json["seed"] != int(first)
