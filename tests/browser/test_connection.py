"""What a page knows of the server: told late, twice, or not at all, and what a lost connection leaves on it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.driver import (
    DRAWN_WITHIN_MS,
    LASTING_STEPS,
    Site,
    Watch,
    draw,
    make_picture,
    wait_until_ready,
)
from tests.server.conftest import eventually

pytestmark = pytest.mark.browser

IDLE = {"running": 0, "waiting": 0, "limit": 32, "paused": False}


def test_what_was_deleted_while_nobody_listened_leaves_the_stage(site: Site, studio: Page, watch: Watch) -> None:
    watch.expected = ["status of 404"]
    made = make_picture(site, "soon gone")
    studio.locator("#strip").get_by_role("img", name="soon gone").click()
    shown = studio.locator("#stage").get_by_role("img", name="soon gone")
    expect(shown).to_be_visible()
    studio.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    studio.request.delete(f"{site.url}/images/{made}")
    studio.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(shown).to_have_count(0)
    expect(studio.locator("#strip").get_by_role("img", name="soon gone")).to_have_count(0)


def test_a_lost_server_is_announced_and_found_again(
    tmp_path_factory: pytest.TempPathFactory, open_page: Callable[..., Page], watch: Watch
) -> None:
    watch.expected = ["net::ERR_", "status of 503"]
    site = Site(tmp_path_factory.mktemp("restart"))
    page = open_page(site.url)
    wait_until_ready(page)
    draw(page, "half a star", steps=LASTING_STEPS)
    expect(page.locator("#stage .frame-wait")).to_contain_text(re.compile(r"\w"))
    site.process.kill()
    site.process.communicate()
    expect(page.locator("#connection-banner")).to_be_visible()
    expect(page.locator("#engine-text")).to_have_text("Offline")
    expect(page.locator("#stage-words")).to_have_text("The server does not answer")
    expect(page.locator("#stage .frame-wait")).to_have_text("")  # nobody knows what it does: one place says so
    page.get_by_label("Describe the picture").fill("a star")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#submit-note")).to_contain_text("does not answer")
    site.start(site.port)
    expect(page.locator("#connection-banner")).to_be_hidden(timeout=30_000)
    expect(page.locator("#engine-text")).not_to_have_text("Offline")
    site.stop()


def test_try_now_does_not_wait_for_the_next_attempt(studio: Page, watch: Watch) -> None:
    """On a clock that stands still, so that the page cannot find the server again by itself."""
    watch.expected = ["status of 503"]
    banner = studio.locator("#connection-banner")
    studio.clock.install()
    studio.route("**/events*", lambda route: route.fulfill(status=503))
    with studio.expect_response("**/events*"):
        studio.reload()
    studio.clock.pause_at("2100-01-01")
    for _ in range(40):  # the answer reaches the page's code when it will
        if banner.is_visible():
            break
        studio.clock.run_for(500)
    studio.unroute("**/events*")
    expect(banner).to_be_visible()
    studio.get_by_role("button", name="Try now").click()
    expect(banner).to_be_hidden()


def test_that_nobody_answers_is_not_said_any_more_once_somebody_does(studio: Page, watch: Watch) -> None:
    watch.expected = ["ERR_FAILED"]
    note = studio.locator("#submit-note")
    for path in ("**/jobs", "**/events*"):
        studio.route(path, lambda route: route.abort())
    draw(studio, "asked for in vain")
    expect(note).to_contain_text("The server does not answer")
    studio.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # nothing new: it stays
    expect(note).to_be_visible()
    for path in ("**/jobs", "**/events*"):
        studio.unroute(path)
    with studio.expect_response("**/events*", timeout=DRAWN_WITHIN_MS):
        studio.evaluate(  # as a tab that comes back
            """() => {
                Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
                window.away = true;
                document.dispatchEvent(new Event("visibilitychange"));
                const now = Date.now();
                Date.now = () => now + 60_000;
                window.away = false;
                document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )
    expect(note).to_be_hidden()


def test_a_tab_in_the_background_takes_no_connection(site: Site, open_page: Callable[..., Page]) -> None:
    """A browser has six for a server: as many forgotten tabs would stop every page of it."""
    page = open_page("about:blank")
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => !window.looked, configurable: true })")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.url}/gallery")
    expect(page.locator("#theme-button")).to_be_visible()
    made = make_picture(site, "made while the tab was in the background")
    assert not any("/events" in url for url in asked)
    page.evaluate("() => { window.looked = true; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#engine-mark")).to_be_visible()
    assert any("/events" in url for url in asked)
    expect(page.locator(f"[data-id='{made}']")).to_be_visible()


def test_a_picture_that_ends_while_the_page_is_opened_is_there(site: Site, studio: Page, watch: Watch) -> None:
    """What is asked for before changes are told, and answered after it, is never told of again."""
    watch.expected += ["ERR_FAILED"]  # nobody tells of anything for a while
    made = make_picture(site, "what others come from", width=64, height=64)
    studio.goto(f"{site.url}/i/{made}")
    expect(studio.locator("#engine-mark")).to_be_visible()
    studio.route("**/events*", lambda route: route.abort())
    held: list[tuple[Route, APIResponse]] = []
    studio.route(re.compile("/jobs/[0-9a-f]{32}$"), lambda route: held.append((route, route.fetch())))
    studio.request.post(f"{site.url}/queue/pause")
    studio.locator("#variations summary").click()
    studio.locator("#variations").get_by_role("button", name="Subtle changes").click()
    eventually(lambda: (studio.wait_for_timeout(50), len(held) == 4)[1])
    studio.request.post(f"{site.url}/queue/resume")
    eventually(lambda: studio.request.get(f"{site.url}/jobs").json()["queue"] == IDLE)
    with studio.expect_response("**/events*", timeout=DRAWN_WITHIN_MS):
        studio.unroute("**/events*")
    studio.wait_for_timeout(300)  # what is told first is told at once
    for route, answer in held:
        route.fulfill(response=answer)
    studio.unroute(re.compile("/jobs/[0-9a-f]{32}$"))
    expect(studio.locator(".batch .frame a img")).to_have_count(4)


def test_a_picture_that_events_tell_of_first_waits_for_nothing(studio: Page) -> None:
    """The answer to the request may come after the news of its job."""

    def late(route: Route) -> None:
        answer = route.fetch()
        time.sleep(1)
        route.fulfill(response=answer)

    studio.route(re.compile("/jobs$"), late)
    with studio.expect_response(re.compile("/jobs$")):
        draw(studio, "told early", steps=LASTING_STEPS)
    studio.wait_for_timeout(300)
    assert studio.get_by_text("in the queue: what is being drawn goes first").count() == 0
    studio.get_by_role("button", name="Cancel", exact=True).click()
