"""Drawing from the page: generate, cancel, batch, compare, and what survives a reload or a dead engine."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from bonsai_mlx.hub.catalog import lookup
from tests.browser.driver import (
    DRAWN_WITHIN_MS,
    LASTING_STEPS,
    Site,
    Watch,
    drag_slider,
    draw,
    drawn,
    make_picture,
    wait_until_ready,
)
from tests.server.conftest import eventually

pytestmark = pytest.mark.browser


def test_a_first_visit_offers_the_seedling_and_the_downloads(studio: Page) -> None:
    expect(studio.locator(".real-model")).to_contain_text("tiny demonstration model")
    expect(studio.get_by_role("button", name=re.compile("Download ternary, .* GB"))).to_be_visible()
    studio.get_by_role("radio", name=re.compile("Binary")).check()
    expect(studio.get_by_role("button", name=re.compile("Download binary, .* GB"))).to_be_visible()
    studio.get_by_role("list", name="Example prompts").get_by_role("button", name="three green stars").click()
    expect(studio.get_by_label("Describe the picture")).to_have_value("three green stars")


def test_generate_with_the_keyboard_shows_the_picture_and_its_recipe(
    site: Site, open_page: Callable[..., Page]
) -> None:
    studio = open_page(site.url)
    wait_until_ready(studio)
    studio.get_by_label("Describe the picture").fill("a red circle")
    studio.get_by_label("Steps").fill("1")
    seed = studio.get_by_label("Seed", exact=True).input_value()
    studio.keyboard.press("Control+Enter")
    drawn(studio, "a red circle")
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a red circle")
    expect(studio.locator("#stage .facts")).to_contain_text(f"Seed {seed}")
    expect(studio.locator("#stage .facts")).to_contain_text("{} × {}".format(*lookup("seedling").recommended_size))
    expect(studio.locator("#strip a").first).to_have_attribute("aria-current", "true")
    expect(studio.locator("#announcer")).to_have_text("The picture is done.")
    expect(studio.locator("#engine-memory")).to_contain_text("at most")


def test_a_prompt_that_is_longer_than_the_model_reads_is_told(studio: Page) -> None:
    words = "a red circle beside a small blue house " * 60
    draw(studio, words)
    drawn(studio, words.strip())
    expect(studio.locator("#stage")).to_contain_text("its end was left out")
    draw(studio, "a red circle and nothing else")
    drawn(studio, "a red circle and nothing else")
    expect(studio.locator("#stage")).not_to_contain_text("its end was left out")


def test_previews_and_phases_arrive_while_drawing_and_escape_in_a_field_cancels_nothing(studio: Page) -> None:
    """In a field, Escape closes what the browser suggests."""
    draw(studio, "a blue boat on the sea", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(
        re.compile(rf"Step \d+ of {LASTING_STEPS}"), timeout=DRAWN_WITHIN_MS
    )
    expect(studio.locator(".frame-preview")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(studio).to_have_title(re.compile(r"^\d+ % · "))
    for field in ("#prompt", "#steps", "#count"):
        studio.locator(field).press("Escape")
    studio.wait_for_timeout(300)
    expect(studio.locator("#cancel")).to_be_visible()
    studio.locator("#generate").press("Escape")
    expect(studio.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(studio).to_have_title("bonsai-mlx")


def cancel(page: Page) -> None:
    """And wait for it: closing the page at once may take the request back, and the next test finds a busy engine."""
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_cancelling_what_ends_by_itself_meanwhile_is_no_fault(studio: Page, watch: Watch) -> None:
    watch.expected += ["status of 409"]

    def late(route: Route) -> None:
        eventually(lambda: studio.request.get(route.request.url).json()["status"] not in ("queued", "running"))
        route.continue_()

    studio.route("**/jobs/*", late)
    draw(studio, "a house that is nearly done", steps=10)
    with studio.expect_response("**/jobs/*") as answer:
        studio.locator("#cancel").click()
    assert answer.value.status == 409
    drawn(studio, "a house that is nearly done")
    expect(studio.locator(".toast")).to_have_count(0)


def test_a_running_picture_can_be_found_again(site: Site, studio: Page) -> None:
    make_picture(site, "an older picture")
    draw(studio, "a slow boat", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    expect(studio.locator("#queue-panel")).to_be_hidden()
    studio.locator("#strip").get_by_role("img", name="an older picture").click()
    studio.locator("#queue").get_by_role("button", name="a slow boat", exact=True).click()
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a slow boat")
    expect(studio.locator("#queue-panel")).to_be_hidden()
    cancel(studio)
    expect(studio.get_by_label("Describe the picture")).to_have_value("a slow boat")


def test_an_older_picture_comes_back_to_its_place(site: Site, studio: Page) -> None:
    for prompt in ("the older one", "the newer one"):
        make_picture(site, prompt)
    newest = studio.locator("#strip img")
    expect(newest.first).to_have_attribute("alt", "the newer one")
    newest.nth(1).click()
    studio.locator("#stage").get_by_role("button", name="Delete").click()
    expect(studio.locator("#strip").get_by_role("img", name="the older one")).to_have_count(0)
    expect(studio.get_by_text("Picture deleted.")).to_be_visible()
    studio.keyboard.press("Control+z")
    expect(newest.nth(1)).to_have_attribute("alt", "the older one")
    expect(newest.first).to_have_attribute("alt", "the newer one")


def test_compare_shows_both_variants_and_a_slider_for_keyboard_and_pointer(studio: Page) -> None:
    studio.get_by_label("Describe the picture").fill("a yellow moon over a house at night")
    studio.get_by_label("Steps").fill("1")
    studio.get_by_role("button", name="Compare").click()
    expect(studio.locator(".compare-caption b")).to_have_text(
        ["Seedling ternary", "Seedling binary"], timeout=DRAWN_WITHIN_MS
    )
    expect(studio.locator(".compare-caption").first).to_contain_text("peak")
    studio.get_by_role("radio", name="Slider").check()
    slider = studio.get_by_role("slider")
    slider.focus()
    studio.keyboard.press("ArrowRight")
    expect(slider).to_have_value("51")
    assert studio.locator(".wipe").evaluate("frame => frame.style.getPropertyValue('--cut')") == "51%"
    drag_slider(studio)


def test_a_reload_and_a_second_page_find_the_running_job(
    site: Site, studio: Page, open_page: Callable[..., Page]
) -> None:
    draw(studio, "an orange fish", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    studio.reload()
    expect(studio.locator("#stage-words")).to_have_text(
        re.compile(rf"Step \d+ of {LASTING_STEPS}"), timeout=DRAWN_WITHIN_MS
    )
    expect(studio.locator("#stage .stage-prompt")).to_have_text("an orange fish")
    phone = open_page(site.url, viewport={"width": 390, "height": 844})
    expect(phone.locator("#stage-words")).to_have_text(re.compile(f"of {LASTING_STEPS}"), timeout=DRAWN_WITHIN_MS)
    phone.get_by_role("button", name="Cancel", exact=True).click()
    for page in (studio, phone):
        expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_a_killed_engine_fails_one_job_and_the_next_one_works(site: Site, studio: Page) -> None:
    draw(studio, "a white cloud", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    site.kill_engine()
    expect(studio.get_by_role("heading", name="This picture could not be drawn")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(studio.locator("#stage")).to_contain_text("ended from outside")
    studio.get_by_label("Steps").fill("1")
    draw(studio, "a white cloud")
    drawn(studio, "a white cloud")


def test_what_memory_has_become_too_small_for_is_told_and_a_smaller_size_is_chosen(site: Site, studio: Page) -> None:
    draw(studio, "a slow plain", steps=LASTING_STEPS)
    studio.get_by_label("Steps").fill("1")
    studio.locator("[name=aspect][value='Other']").check()
    for side in ("#width", "#height"):
        studio.locator(side).fill("1024")
    draw(studio, "a wide plain")
    expect(studio.locator("#queue").get_by_role("button", name="a wide plain", exact=True)).to_be_visible()
    studio.request.patch(f"{site.url}/settings", data={"memory_limit_bytes": 100_000_000})
    try:
        studio.get_by_role("button", name="Cancel", exact=True).click()
        expect(studio.get_by_role("heading", name="Out of memory")).to_be_visible(timeout=DRAWN_WITHIN_MS)
        expect(studio.locator("#stage")).to_contain_text("It was 1024 × 1024.")
        studio.get_by_role("button", name="Use a smaller size").click()
        expect(studio.get_by_text("A smaller size is chosen.")).to_be_visible()
        draw(studio, "a small plain")
        drawn(studio, "a small plain")
    finally:
        studio.request.patch(f"{site.url}/settings", data={"memory_limit_bytes": None})


def test_a_failure_behind_the_stage_is_told_and_can_be_tried_again(site: Site, studio: Page) -> None:
    draw(studio, "a grey <b>stone</b>", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    draw(studio, "a grey cloud")
    studio.locator("#queue").get_by_role("button", name="a grey cloud", exact=True).click()
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a grey cloud")  # until then the stone is looked at
    site.kill_engine()
    note = studio.locator(".toast", has_text="“a grey <b>stone</b>” could not be drawn.")
    expect(note).to_be_visible(timeout=DRAWN_WITHIN_MS)
    note.hover()  # it stays while it is pointed at, however long the next picture takes
    drawn(studio, "a grey cloud")
    note.get_by_role("button", name="Try again").click()
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a grey <b>stone</b>")
    cancel(studio)


def test_a_failure_is_told_while_the_next_picture_takes_the_stage(site: Site, studio: Page) -> None:
    draw(studio, "a grey heart", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    held: list[Route] = []
    studio.route("**/jobs", lambda route: held.append(route))
    draw(studio, "a grey moon")
    site.kill_engine()
    note = studio.locator(".toast", has_text="“a grey heart” could not be drawn.")
    expect(note).to_be_visible(timeout=DRAWN_WITHIN_MS)
    note.hover()  # it stays while it is pointed at, however long the next picture takes
    held.pop().continue_()
    drawn(studio, "a grey moon")
    expect(note).to_be_visible()


def test_what_is_being_drawn_keeps_the_stage_and_the_next_ones_follow(studio: Page) -> None:
    draw(studio, "a slow tower", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    for prompt in ("the second one", "the third one"):
        draw(studio, prompt)
        expect(studio.locator("#queue").get_by_role("button", name=prompt, exact=True)).to_be_visible()
    expect(studio.get_by_text("It waits in the queue").first).to_be_visible()
    expect(studio.locator("#stage .stage-prompt")).to_have_text("a slow tower")
    studio.get_by_role("button", name="Cancel", exact=True).click()
    drawn(studio, "the third one")


def test_a_picture_that_is_looked_at_meanwhile_stays(site: Site, studio: Page) -> None:
    make_picture(site, "one to look at")
    draw(studio, "a slow mill", steps=LASTING_STEPS)
    expect(studio.locator("#stage-words")).to_have_text(re.compile("Step"), timeout=DRAWN_WITHIN_MS)
    draw(studio, "one that is not waited for")
    expect(
        studio.locator("#queue").get_by_role("button", name="one that is not waited for", exact=True)
    ).to_be_visible()
    shown = studio.locator("#strip").get_by_role("img", name="one to look at").first
    shown.click()
    studio.locator("#queue").get_by_role("button", name="Cancel a slow mill").click()
    expect(studio.locator("#strip").get_by_role("img", name="one that is not waited for")).to_be_visible(
        timeout=DRAWN_WITHIN_MS
    )
    expect(studio.locator("#stage .stage-prompt")).to_have_text("one to look at")


def test_previews_can_be_turned_off(site: Site, studio: Page) -> None:
    studio.locator("#engine-mark").click()
    studio.get_by_label("Previews while drawing").uncheck()
    expect(studio.locator("#preview")).to_be_enabled()
    studio.reload()
    wait_until_ready(studio)
    studio.locator("#engine-mark").click()
    expect(studio.get_by_label("Previews while drawing")).not_to_be_checked()
    draw(studio, "a red square", steps=4)
    drawn(studio, "a red square")
    studio.get_by_label("Previews while drawing").check()
    expect(studio.locator("#preview")).to_be_enabled()
    assert studio.request.get(f"{site.url}/jobs?limit=1").json()["jobs"][0]["preview_seq"] == 0


def test_a_picture_that_is_restored_is_on_the_stage_again(site: Site, studio: Page) -> None:
    make_picture(site, "what is shown instead")
    gone = make_picture(site, "deleted by mistake")
    studio.locator(f"#strip a[data-id='{gone}']").click()
    drawn(studio, "deleted by mistake")
    studio.locator("#stage-foot").get_by_role("button", name="Delete").click()
    drawn(studio, "what is shown instead")
    studio.get_by_role("button", name="Undo").click()
    drawn(studio, "deleted by mistake")


def test_the_picture_keeps_a_size_in_a_low_window(site: Site, open_page: Callable[..., Page]) -> None:
    make_picture(site, "seen in a low window", width=256, height=256)
    page = open_page(site.url, viewport={"width": 844, "height": 340})
    expect(page.locator("#stage .frame img")).to_be_visible()
    box = page.locator("#stage .frame").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 150


def test_the_focus_stays_on_the_stage(site: Site, studio: Page) -> None:
    newer = make_picture(site, "to be favoured and deleted")
    studio.locator(f"#strip a[data-id='{newer}']").click()
    drawn(studio, "to be favoured and deleted")
    heart = studio.locator("#stage").get_by_role("button", name="Favourite")
    heart.press("Enter")
    expect(heart).to_have_attribute("aria-pressed", "true")
    expect(heart).to_be_focused()
    make_picture(site, "by another program")
    expect(studio.locator("#strip a img").first).to_have_attribute("alt", "by another program")
    expect(heart).to_be_focused()
    studio.locator("#stage").get_by_role("button", name="Delete").press("Enter")
    expect(studio.locator(f"#strip a[data-id='{newer}']")).to_have_count(0)
    drawn(studio, "by another program")
    expect(studio.locator("#stage")).to_be_focused()  # not the next picture's Delete
