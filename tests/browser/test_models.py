"""The models page in states that a test cannot download its way into: the server's words are put into its mouth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import violations
from tests.browser.driver import Site, with_modules

pytestmark = pytest.mark.browser

GB = 1_000_000_000


def with_state(page: Page, site: Site, name: str = "ternary", **changes: Any) -> list[str]:
    """Let the server say this of a model or a part; returns the requests that the page then makes."""
    answer = page.request.get(f"{site.url}/models").json()
    answer["disk_free_bytes"] = changes.pop("disk_free_bytes", 100 * GB)
    model = next(one for one in (*answer["models"], *answer["parts"]) if one["name"] == name)
    model.update(changes)
    calls: list[str] = []

    def on_action(route: Route) -> None:
        calls.append(f"{route.request.method} {route.request.url.removeprefix(site.url)}")
        state = {"pause": "paused", "resume": "downloading", "cancel": "absent"}.get(route.request.url.split("/")[-1])
        model["state"] = state or "absent"
        route.fulfill(json=model)

    memory = page.request.get(f"{site.url}/memory").json()
    hello = json.dumps({"server_version": "0", "jobs": [], "memory": memory, "models": answer["models"]})
    page.route(
        re.compile(r"/events(\?|$)"),
        lambda route: route.fulfill(content_type="text/event-stream", body=f"event: hello\ndata: {hello}\n\n"),
    )
    page.route(re.compile("/models$"), lambda route: route.fulfill(json=answer))
    page.route(re.compile("/models/"), on_action)
    page.goto(f"{site.url}/model-manager")
    return calls


DOWNLOAD = {"bytes_done": GB, "bytes_total": 4 * GB, "speed_bps": 4e7, "eta_s": 75.0, "file": "vae/x", "error": None}


def test_a_download_shows_bytes_speed_and_time_and_can_be_paused(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    calls = with_state(page, site, state="downloading", download=DOWNLOAD)
    card = page.locator(".model").first
    expect(card).to_contain_text("1.00 GB of 4.00 GB")
    expect(card).to_contain_text("40 MB/s, 1 min 15 s left")
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("Paused")
    card.get_by_role("button", name="Resume").click()
    expect(card).to_contain_text("Downloading")
    assert calls == ["POST /models/ternary/pause", "POST /models/ternary/resume"]


def test_a_button_can_be_pressed_while_a_download_goes_on(site: Site, open_page: Callable[..., Page]) -> None:
    """Progress comes many times during one press of a mouse button."""
    page = open_page("about:blank")
    with_modules(page)
    calls = with_state(page, site, state="downloading", download=DOWNLOAD)
    pause = page.locator(".model").first.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    page.evaluate(
        """async () => {
            const { putModel, state } = await import("/static/js/lib/store.js");
            const next = ({ download, ...model }) =>  // in whatever state it is by now
                putModel({ ...model, download: { ...download, bytes_done: Date.now() % 1e9 } });
            setInterval(() => next(state.models.get("ternary")), 20);
        }"""
    )
    pause.click(delay=200)
    expect(page.locator(".model").first.get_by_role("button", name="Resume")).to_be_visible()
    assert calls == ["POST /models/ternary/pause"]


def test_deleting_asks_first(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    calls = with_state(page, site, state="ready", bytes_present=4 * GB)
    card = page.locator(".model").first
    card.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("4.00 GB are freed")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    assert calls == []
    card.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete the files").click()
    expect(card).to_contain_text("Not downloaded")
    assert calls == ["DELETE /models/ternary"]


def test_a_full_disk_and_damaged_files_are_said(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    with_state(page, site, state="damaged", problems=["vae/x has the wrong digest"], disk_free_bytes=GB)
    card = page.locator(".model").first
    expect(card.locator(".notice")).to_contain_text("vae/x has the wrong digest")
    expect(card.locator(".notice")).to_contain_text("only 1.00 GB are free")


@pytest.mark.parametrize(
    ("said", "words", "verb"),
    [
        ({"state": "failed", "download": DOWNLOAD | {"error": "No Hub is reached."}}, "No Hub is reached", "Try again"),
        ({"state": "damaged", "problems": ["vae/x has the wrong digest"]}, "vae/x has the wrong digest", "Repair"),
    ],
)  # fmt: skip
def test_the_studio_says_why_a_model_is_not_here(
    site: Site, open_page: Callable[..., Page], said: dict[str, Any], words: str, verb: str
) -> None:
    """A button that was pressed and stands there again would be all there is to see."""
    page = open_page("about:blank")
    with_state(page, site, **said)
    page.goto(site.url)
    expect(page.locator(".real-model").get_by_role("alert")).to_contain_text(words)
    expect(page.get_by_role("button", name=re.compile(f"{verb}.* ternary, "))).to_be_visible()


def test_the_studio_uses_a_model_that_is_here(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    with_state(page, site, state="ready")
    sizes = [
        {"width": side, "height": side, "peak_bytes": side * 4_000_000, "verdict": verdict, "seconds": None}
        for side, verdict in ((512, "fits"), (1024, "tight"), (1216, "swaps"))
    ]
    page.route(re.compile(r"/sizes\?"), lambda route: route.fulfill(json={"sizes": sizes}))
    page.goto(site.url)
    expect(page.locator(".level")).to_have_text([re.compile("fits"), re.compile("tight"), re.compile("will swap")])
    expect(page.locator("[name=size]:checked")).to_have_value("512x512")
    page.get_by_role("button", name="Try the seedling").click()
    expect(page.locator("#model-note")).to_contain_text("Drawing with the seedling")
    page.get_by_role("button", name="Use ternary 4B").click()
    page.get_by_role("radio", name=re.compile("Binary")).check()
    expect(page.locator(".real-model")).to_contain_text("the seedling draws")


def test_the_studio_shows_a_download_and_uses_what_has_come(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    with_modules(page)
    calls = with_state(page, site, state="downloading", download=DOWNLOAD)
    page.goto(site.url)
    card = page.locator(".real-model")
    expect(card).to_contain_text("25 % of 4.00 GB, 40 MB/s, 1 min 15 s left")
    assert card.get_by_role("progressbar").evaluate("({value, max}) => value / max") == 0.25
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("The download is paused")
    card.get_by_role("button", name=re.compile("^Resume ternary")).click()
    expect(card).to_contain_text("on its way")
    assert calls == ["POST /models/ternary/pause", "POST /models/ternary/resume"]
    arrive = """async name => {
        const { putModel, state } = await import("/static/js/lib/store.js");
        putModel({ ...state.models.get(name), state: "ready" });
    }"""
    size = {"width": 512, "height": 512, "peak_bytes": 1_000_000_000, "verdict": "fits", "seconds": None}
    page.route(re.compile(r"/sizes\?"), lambda route: route.fulfill(json={"sizes": [size]}))
    page.evaluate(arrive, "ternary")
    expect(page.locator(".toast")).to_contain_text("is here and draws from now on.")
    expect(card).to_have_count(0)
    page.locator("#prompt").fill("with what has come")
    page.route(re.compile("/jobs$"), lambda route: route.fulfill(json={"jobs": [], "group": None}))
    with page.expect_request(re.compile("/jobs$")) as request:
        page.locator("#generate").click()
    assert request.value.post_data_json["model"] == "ternary"


def test_a_model_can_be_made_from_the_original(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    calls = with_state(page, site, original="bf16", original_bytes=16 * GB, passing_bytes=8 * GB, packed_from=None)
    card = page.locator(".model").first
    expect(card).to_contain_text("its 16.00 GB come one file after the other")
    expect(card).to_contain_text("at most 8.00 GB of them lie on the disk at a time.")
    expect(card.get_by_role("button", name="Download")).to_be_visible()
    with page.expect_response(re.compile("/download")):
        card.get_by_role("button", name="Make from the original 16.00 GB").click()
    expect(card).to_contain_text("Not downloaded")
    assert calls == ["POST /models/ternary/download?from=bf16"]


def test_what_is_made_from_the_original_alone_has_one_button(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    calls = with_state(page, site, "klein-base-4bit")
    card = page.locator("[data-name=klein-base-4bit]")
    expect(card.get_by_role("button")).to_have_text([re.compile("Make from the original 15.98 GB")])
    expect(card).not_to_contain_text("Download takes the finished files")
    expect(card).to_contain_text("Made from the original, its 15.98 GB")
    with page.expect_response(re.compile("/download")):
        card.get_by_role("button").click()
    expect(card).to_contain_text("Not downloaded")
    assert calls == ["POST /models/klein-base-4bit/download?from=bf16"]


def test_a_part_is_got_as_a_model_is(site: Site, open_page: Callable[..., Page], axe: str) -> None:
    page = open_page("about:blank")
    calls = with_state(page, site, "taef2", state="downloading", download=DOWNLOAD)
    parts = page.locator("#parts")
    expect(parts.get_by_role("heading", level=3)).to_have_count(4)
    expect(page.locator("#models [data-name=taef2]")).to_have_count(0)
    card = parts.locator("[data-name=taef2]")
    expect(card).to_contain_text("1.00 GB of 4.00 GB")
    expect(card).not_to_contain_text("Draws best at")
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("Paused")
    card.get_by_role("button", name="Resume").click()
    expect(card).to_contain_text("Downloading")
    assert calls == ["POST /models/taef2/pause", "POST /models/taef2/resume"]
    assert violations(page, axe) == []
    page.goto(f"{site.url}/")
    expect(page.locator("#engine-mark")).to_be_visible()
    expect(page.get_by_role("radio", name=re.compile("TAEF2"))).to_have_count(0)
