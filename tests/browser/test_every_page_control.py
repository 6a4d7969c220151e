"""Every control of the gallery, a picture's page, Models, Connect and the frame of all pages is pressed.

As in test_every_control.py, what is pressed is held against what the page has.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.controls import controls_of
from tests.browser.driver import DRAWN_WITHIN_MS, SMALL, Site, make_picture, posted
from tests.browser.test_models import DOWNLOAD, GB, with_state

pytestmark = pytest.mark.browser

TRIALS = {
    "Test OpenAI images": ("POST", "/v1/images/generations"),
    "Test Lemonade": ("POST", "/api/v1/images/generations"),
    "Test A1111 web UI": ("POST", "/sdapi/v1/txt2img"),
    "Test Ollama": ("POST", "/api/generate"),
    "Test Bonsai demo": ("POST", "/generate"),
}


def opened(open_page: Callable[..., Page], address: str) -> Page:
    page = open_page(address)
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    return page


def test_the_gallery(site: Site, open_page: Callable[..., Page]) -> None:
    made = [make_picture(site, f"pressed on a page {number}") for number in range(2)]
    page = opened(open_page, f"{site.url}/gallery")
    assert controls_of(page) == {
        "#q", "search-form Search", "#favourites", "sheet picture", "sheet Select", "sheet Delete", "sheet Favourite",
        "#empty-link", "#more",
        # pressed in test_gallery_selection.py and test_gallery.py:
        "#deleted-link",
        "collection", "#new-collection", "#sort", "#select", "sheet Select this day", "#select-all", "#end-selection",
        "#download-selected", "#favourite-selected", "#move-selected", "#delete-selected",
    }  # fmt: skip
    page.locator("#q").fill("pressed on a page")
    prints = page.locator(".print")
    expect(prints).to_have_count(2)
    page.locator("#q").press("Enter")  # presses "Search"
    expect(page).to_have_url(re.compile(r"\?q=pressed"))
    prints.first.get_by_role("button", name="Favourite").click()
    page.locator("#favourites").click()
    expect(prints).to_have_count(1)
    prints.first.get_by_role("button", name="Delete").click()
    expect(prints).to_have_count(0)
    assert page.request.get(f"{site.url}/images/{made[1]}").status == 404
    page.locator("#empty-link").click()
    expect(page).to_have_url(f"{site.url}/gallery")
    page.locator(f"[data-id='{made[0]}'] .print-link").click()
    expect(page.locator("h1")).to_have_text("pressed on a page 0")
    cursor = page.request.get(f"{site.url}/images?limit=1").json()["next_cursor"]
    page.goto(f"{site.url}/gallery?q=pressed")
    page.locator("#more").evaluate(  # the server would need sixty pictures to show it
        "(link, cursor) => { link.href = `/gallery?cursor=${encodeURIComponent(cursor)}`; link.hidden = false; }",
        cursor,
    )
    page.locator("#more").click()
    expect(page.locator(f"[data-id='{made[0]}']")).to_be_visible()


def test_the_page_of_a_picture(site: Site, open_page: Callable[..., Page]) -> None:
    studio = open_page("about:blank", kept=SMALL)
    make_picture(site, "an older one")
    pair = posted(site, "/generate/compare", {"prompt": "pressed on its page", "steps": 1, "width": 64, "height": 64})
    make_picture(site, "a newer one")
    here = f"{site.url}/i/{pair['left']['image']['id']}"
    studio.goto(here)
    expect(studio.locator("#engine-mark")).to_be_visible()
    assert controls_of(studio) == {
        "#back", "#before", "#after", "#use", "#edit", "#larger", "#enlarge",
        *("variations summary", "variations Subtle changes", "variations Strong changes", "variations Other seeds"),
        "#favourite", "#copy-prompt", "Download", "Without the prompt", "siblings picture", "#open-compare",
        "#delete", "#whole-prompt", "#copy-picture", "#move",  # pressed in test_gallery_selection.py
    } | ({"#reveal"} if shutil.which("xdg-open") else set())  # fmt: skip
    assert studio.locator("#edit use").get_attribute("href") == "#i-edit"  # the pencil, as in the studio
    expect(studio.locator("symbol#i-edit path")).not_to_have_count(0)
    studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
    studio.locator("#copy-prompt").click()
    expect(studio.get_by_text("Prompt copied.")).to_be_visible()
    assert studio.evaluate("navigator.clipboard.readText()") == "pressed on its page"
    studio.locator("#favourite").click()
    expect(studio.locator("#favourite")).to_have_attribute("aria-pressed", "true")
    for name in ("Download", "Without the prompt"):
        with studio.expect_download():
            studio.get_by_role("link", name=name, exact=True).click()
    studio.locator("#open-compare").click()
    expect(studio.locator("dialog .compare-side img")).to_have_count(2)
    studio.get_by_role("button", name="Close", exact=True).click()
    studio.locator("#siblings a:not([aria-current])").click()
    expect(studio).not_to_have_url(here)
    for control, words in (("#before", None), ("#after", None), ("#back", "Gallery")):
        studio.goto(here)
        target = studio.locator(control).get_attribute("href")
        studio.locator(control).click()
        assert target
        expect(studio).to_have_url(f"{site.url}{target.partition('#')[0]}")  # what follows says where in the gallery
        if words:
            expect(studio.locator("h1")).to_have_text(words)
    studio.goto(here)
    studio.locator("#edit").click()
    expect(studio).to_have_url(re.compile(r"/\?edit=|/$"))
    studio.goto(here)
    studio.locator("#use").click()
    expect(studio.locator("#prompt")).to_have_value("pressed on its page")
    studio.goto(here)
    expect(studio.locator("#engine-mark")).to_be_visible()
    with studio.expect_request("**/jobs") as request:
        studio.locator("#variations summary").click()
        studio.locator("#variations").get_by_role("button", name="Subtle changes").click()
    asked_for = request.value.post_data_json
    assert (asked_for["count"], asked_for["variation_amount"]) == (4, 0.2)
    expect(studio.locator(".batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    studio.goto(here)
    expect(studio.locator("#engine-mark")).to_be_visible()
    studio.locator("#larger").select_option("2 exact")
    with studio.expect_request("**/jobs/enlarge") as asked:
        studio.locator("#enlarge").click()
    sent = asked.value.post_data_json
    assert (sent["by"], sent["method"], sent["source"]) == (2, "exact", here.rsplit("/", 1)[-1])
    response = asked.value.response()
    assert response is not None
    assert response.status == 202
    expect(studio).to_have_url(f"{site.url}/")
    studio.goto(here)
    expect(studio.locator("#engine-mark")).to_be_visible()
    studio.locator("#delete").click()
    expect(studio.locator("#gone-note")).to_be_visible()
    assert studio.request.get(here.replace("/i/", "/images/")).status == 404


MODEL_BUTTONS = {  # state: what stands on the card, and what each asks the server for
    "absent": {"Download": "POST /models/ternary/download"},
    "downloading": {"Pause": "POST /models/ternary/pause", "Cancel": "POST /models/ternary/cancel"},
    "paused": {"Resume": "POST /models/ternary/resume", "Cancel": "POST /models/ternary/cancel", "Delete": ""},
    "failed": {"Resume": "POST /models/ternary/resume", "Cancel": "POST /models/ternary/cancel", "Delete": ""},
    "damaged": {"Download": "POST /models/ternary/download", "Verify": "POST /models/ternary/verify", "Delete": ""},
    "partial": {"Resume": "POST /models/ternary/resume", "Delete": ""},
    "ready": {"Verify": "POST /models/ternary/verify", "Delete": ""},
    "verifying": {},
}


@pytest.mark.parametrize("state", MODEL_BUTTONS)
def test_a_model_in_every_state(site: Site, open_page: Callable[..., Page], state: str) -> None:
    page = open_page("about:blank")
    for name, request in MODEL_BUTTONS[state].items() or [("", "")]:
        calls = with_state(page, site, state=state, bytes_present=4 * GB, download=DOWNLOAD)
        card = page.locator(".model").first
        expect(card.locator(".button-row")).to_be_attached()
        shown = [text.split()[0] for text in card.get_by_role("button").all_inner_texts()]
        assert sorted(shown) == sorted(MODEL_BUTTONS[state])
        assert controls_of(page) >= {"Keep it", "#delete-confirm"}
        if not name:
            continue
        with page.expect_response(re.compile("/models/ternary")):
            card.get_by_role("button", name=re.compile(f"^{name}")).click()
            if name == "Delete":
                page.get_by_role("button", name="Keep it").click()
                card.get_by_role("button", name="Delete").click()
                page.locator("#delete-confirm").click()
                request = "DELETE /models/ternary"
        page.wait_for_function("() => !document.querySelector('dialog[open]')")
        assert calls == [request]
        page.unroute_all(behavior="ignoreErrors")


def test_connect(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(open_page, f"{site.url}/connect")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert controls_of(page) == {"copy", "guide", "#show-own", "Get one"} | TRIALS.keys()
    for name, (method, path) in TRIALS.items():
        with page.expect_response(lambda answer, path=path: answer.url == site.url + path) as answer:
            page.get_by_role("button", name=name, exact=True).click()
        assert (answer.value.request.method, answer.value.status) == (method, 200), name
        card = page.locator(".trial", has=page.get_by_role("button", name=name, exact=True))
        expect(card.locator("img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    page.wait_for_function(  # the pictures of trials are not kept
        "async () => (await (await fetch('/images?q=bonsai+tree+test')).json()).total === 0"
    )
    page.wait_for_function(
        "async () => !(await (await fetch('/images/deleted')).text()).includes('a small bonsai tree, test')"
    )
    for guide in page.locator(".guide").all():
        guide.locator("summary").click()
        for button in guide.locator("[data-copy]").all():
            text = button.locator("xpath=..").locator("code").inner_text()
            button.click()
            expect(page.get_by_text("Copied").first).to_be_visible()
            assert page.evaluate("navigator.clipboard.readText()").strip() == text.strip()
    page.locator(".address [data-copy]").click()
    page.evaluate("fetch('/styles')")  # as the studio does
    page.request.get(f"{site.url}/api/version", headers={"User-Agent": "another-program/1.0"})
    expect(page.locator("#requests")).to_contain_text("another-program")
    expect(page.locator("#requests")).to_contain_text("POST /sdapi/v1/txt2img")
    for path in ("GET /models", "GET /styles"):
        expect(page.locator("#requests")).not_to_contain_text(path)
    page.locator("#show-own").check()
    expect(page.locator("#requests")).to_contain_text("GET /styles")
    expect(page.locator("#requests")).to_contain_text("GET /connect")
    page.get_by_role("link", name="Get one").click()
    expect(page).to_have_url(f"{site.url}/model-manager")


def test_the_frame_of_every_page(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(open_page, site.url)
    assert controls_of(page, frame=True) == {
        "Skip to the content", "bonsai-mlx, studio", "Studio", "Gallery", "Models", "Connect", "#engine-mark",
        "#help-button", "#settings-link", "Model, memory, previews, folder, phone",
        "#theme-button", "#reconnect-button", "Close", "#machine-close", "#unload", "#preview",
    }  # fmt: skip
    for name, path in (("Gallery", "gallery"), ("Models", "model-manager"), ("Connect", "connect"), ("Studio", "")):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page).to_have_url(f"{site.url}/{path}")
    page.goto(f"{site.url}/gallery")
    page.get_by_role("link", name="bonsai-mlx, studio").click()
    expect(page).to_have_url(f"{site.url}/")
    page.goto(f"{site.url}/gallery")
    page.locator("#engine-mark").click()
    [held] = re.findall(r"(\S+ \S+) at most", page.locator("#engine-mark").inner_text())
    expect(page.locator("#figures div", has_text="MLX at most")).to_contain_text(held)  # one figure, said twice
    page.locator("#engine-mark").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#machine")).to_be_hidden()
    page.locator("#engine-mark").click()
    page.locator("#machine-close").click()
    expect(page.locator("#machine")).to_be_hidden()
    expect(page.locator("#engine-mark")).to_be_focused()
    page.locator("#help-button").click()
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator("#help-dialog")).to_be_hidden()
    page.keyboard.press("Tab")
    page.locator("#theme-button").click()
    expect(page.locator("#theme-button")).to_have_attribute("aria-label", "Theme: light")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_help_begins_at_its_title_on_a_phone(site: Site, open_page: Callable[..., Page]) -> None:
    page = opened(open_page, f"{site.url}/gallery")
    page.set_viewport_size({"width": 390, "height": 844})
    for way in (page.locator("#help-button").click, lambda: page.keyboard.press("?")):
        way()
        expect(page.locator("#help-title")).to_be_in_viewport()
        expect(page.locator("#help-dialog")).to_have_js_property("scrollTop", 0)
        page.keyboard.press("Escape")


def test_the_rest_of_the_studio(site: Site, studio: Page) -> None:
    """What asks for no picture."""
    make_picture(site, "so that the engine is loaded")
    studio.locator("#engine-mark").click()
    unload = studio.locator("#unload")
    expect(unload).to_be_enabled()
    unload.click()
    expect(studio.get_by_text(re.compile("^Engine unloaded"))).to_be_visible()
    expect(studio.locator("#memory-mark")).to_have_text("Asleep")
    expect(studio.locator("#unload-hint")).to_contain_text("Nothing is loaded")
    studio.get_by_role("link", name="All pictures").click()
    expect(studio).to_have_url(f"{site.url}/gallery")
