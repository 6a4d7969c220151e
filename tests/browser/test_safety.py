"""Prompts are text wherever they appear: no dialog, no broken policy, no markup, not a character changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import (
    DRAWN_WITHIN_MS,
    LASTING_STEPS,
    ROOT,
    Site,
    draw,
    make_picture,
    wait_until_ready,
    with_modules,
)
from tests.browser.payloads import PAYLOADS
from tests.server.conftest import PLAIN
from tests.server.fake_engine import GATE

pytestmark = pytest.mark.browser

FAKE_ENGINE = "tests.server.fake_engine:backend"
MARKUP = (
    "iframe, object, embed, main script, main style, main base, main svg script, [onload], [onerror], [onmouseover]"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that draws plain squares, at once; what is asked for stays text all the same."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "gate").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BONSAI_ENGINE", FAKE_ENGINE)
        patch.setenv("BONSAI_BLAS", "none")
        patch.setenv(GATE, str(folder / "gate"))
        running = Site(folder)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def pictures(plain: Site) -> dict[str, str]:
    """Every payload as the prompt of a picture: id -> prompt."""
    return {make_picture(plain, payload): payload for payload in PAYLOADS}


def test_prompts_arrive_as_text_while_pages_are_open(plain: Site, open_page: Callable[..., Page]) -> None:
    """Through the events: into the strip under the stage and into the gallery."""
    home, gallery = open_page(plain.url), open_page(f"{plain.url}/gallery")
    wait_until_ready(home)
    expect(gallery.locator("#engine-mark")).to_be_visible()  # it listens
    made = {make_picture(plain, payload): payload for payload in PAYLOADS[::6]}
    for page, within in ((home, "#strip"), (gallery, "#sheet")):
        for picture in made:
            expect(page.locator(f'{within} [data-id="{picture}"] img')).to_have_count(1)
        shown = page.locator(f"{within} img").evaluate_all("all => all.map((one) => one.alt)")
        assert shown[: len(made)] == [*made.values()][::-1]
    assert home.locator(MARKUP).count() == gallery.locator(MARKUP).count() == 0


def test_the_gallery_shows_prompts_verbatim(
    plain: Site, open_page: Callable[..., Page], pictures: dict[str, str]
) -> None:
    page = open_page(f"{plain.url}/gallery")
    expect(page.locator(".print[data-id]").first).to_be_visible()
    oldest = next(iter(pictures))  # behind those of the page's HTML come those that its script adds
    page.wait_for_function(
        "(id) => { scrollTo(0, 1e9); return document.querySelector(`[data-id='${id}'] img`); }", arg=oldest
    )
    shown = page.evaluate(
        """(ids) => ids.map((id) => {
            const item = document.querySelector(`[data-id="${id}"]`);
            return [item.querySelector("img").alt, item.querySelector(".print-caption").textContent];
        })""",
        [*pictures],
    )
    assert shown == [[payload, payload] for payload in pictures.values()]
    assert page.locator(MARKUP).count() == 0


# Pages as the browser reads them, without running them: title and the picture's words, or what is searched for, and
# what should not be there.
_READ = """([paths, markup]) => Promise.all(paths.map((path) => new Promise((resolve) => {
    const asked = new XMLHttpRequest();
    asked.open("GET", path);
    asked.responseType = "document";
    asked.addEventListener("load", () => {
        const [title, picture, search] = ["h1", "#figure img", "#q"].map((one) => asked.response.querySelector(one));
        const words = search ? [search.value] : [title.textContent, picture.alt];
        resolve([...words, asked.response.querySelectorAll(markup).length]);
    });
    asked.send();
})))"""


def test_image_pages_show_prompts_verbatim(
    plain: Site, open_page: Callable[..., Page], pictures: dict[str, str]
) -> None:
    page = open_page(f"{plain.url}/gallery")
    shown = page.evaluate(_READ, [[f"/i/{picture}" for picture in pictures], MARKUP])
    assert shown == [[payload, payload, 0] for payload in pictures.values()]
    for picture, payload in [*pictures.items()][::10] + [*pictures.items()][-2:]:  # nor do scripts change any of it
        page.goto(f"{plain.url}/i/{picture}")
        assert page.locator("h1").text_content() == payload
        assert page.locator("#figure img").get_attribute("alt") == payload
        assert page.locator(MARKUP).count() == 0
    *_, previous, last = pictures.values()
    page.go_back()
    assert page.locator("h1").text_content() == previous
    page.go_forward()
    assert page.locator("h1").text_content() == last


def test_the_stage_and_the_form_take_prompts_verbatim(
    plain: Site, open_page: Callable[..., Page], pictures: dict[str, str]
) -> None:
    newest = [*pictures.items()][-8:]
    page = open_page(f"{plain.url}/?from={newest[-2][0]}")
    expect(page.locator("#stage .stage-prompt")).to_have_js_property("textContent", newest[-2][1])
    assert page.get_by_label("Describe the picture").input_value() == newest[-2][1]
    page = open_page("about:blank", anew=True)
    with_modules(page)
    page.goto(plain.url)
    expect(page.locator("#stage .stage-prompt")).to_have_js_property("textContent", newest[-1][1])  # the strip is known
    for picture, payload in newest:
        page.locator(f'#strip [data-id="{picture}"]').click()
        expect(page.locator("#stage .stage-prompt")).to_have_js_property("textContent", payload)
        page.get_by_role("button", name="Use settings").click()
        assert page.get_by_label("Describe the picture").input_value() == payload
    some = [*pictures.items()][::3]
    staged = page.evaluate(_STAGED, [f"/images/{picture}" for picture, _ in some])  # as links from their pages do it
    assert staged == [[payload, payload, payload] for _, payload in some]
    assert page.locator(MARKUP).count() == 0


# Each picture on the stage and in both forms of a comparison, by the page's own modules.
_STAGED = """async (paths) => {
    const { showImage } = await import("/static/js/stage/stage.js");
    const { compareView } = await import("/static/js/stage/compare.js");
    const shown = [];
    for (const path of paths) {
        const image = await (await fetch(path)).json();
        showImage(image);
        const view = compareView(image, image);
        const title = view.querySelector("img").alt;
        document.querySelector("#toasts").replaceChildren(view);
        view.querySelector("input[value=wipe]").click();
        const over = view.querySelector(".wipe-over").alt;
        const start = title.indexOf(": ") + 2;
        shown.push([document.querySelector("#stage .stage-prompt").textContent, title.slice(start), over.slice(start)]);
    }
    return shown;
}"""


def test_waiting_prompts_are_shown_verbatim(plain: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(plain.url)
    wait_until_ready(page)
    client = httpx.Client(base_url=plain.url, verify=PLAIN)
    held = client.post("/jobs", json={"prompt": "hold"}).json()["jobs"][0]["id"]
    for some in (PAYLOADS[:30], PAYLOADS[30:]):
        small = {"steps": 1, "width": 64, "height": 64}
        made = [client.post("/jobs", json={"prompt": prompt, **small}).json() for prompt in some]
        waiting = [answer["jobs"][0]["id"] for answer in made]
        expect(page.locator("#queue li")).to_have_count(31)
        assert page.locator("#queue .queue-prompt").all_text_contents() == ["hold", *some]
        assert page.locator(MARKUP).count() == 0
        for job in waiting:
            client.delete(f"/jobs/{job}")
        expect(page.locator("#queue li")).to_have_count(1)  # else the next 31 may be these, on a page that lags behind
    client.delete(f"/jobs/{held}")
    client.close()
    expect(page.locator("#queue li")).to_have_count(0)


def test_what_is_searched_and_what_is_not_found_is_text(plain: Site, open_page: Callable[..., Page]) -> None:
    searched = {f"/gallery?q={quote(text)}": re.sub("[\r\n]", "", text) for text in PAYLOADS if len(text) <= 200}
    page = open_page(f"{plain.url}/gallery")
    assert page.evaluate(_READ, [[*searched], MARKUP]) == [[words, 0] for words in searched.values()]
    for address, words in [*searched.items()][::10]:  # nor do scripts change any of it
        page.goto(plain.url + address)
        assert page.get_by_role("searchbox").input_value() == words
        assert page.locator(MARKUP).count() == 0
    with httpx.Client(headers={"Accept": "text/html"}, verify=PLAIN) as client:
        for payload in PAYLOADS:
            for path in (
                f"/{quote(payload, safe='')}",
                f"/gallery?cursor={quote(payload)}",
                f"/i/{quote(payload, safe='')}",
            ):
                answer = client.get(plain.url + path)
                assert answer.status_code in (404, 422)
                assert payload not in answer.text or "<" not in payload


def test_a_hostile_prompt_passes_through_every_state(studio: Page) -> None:
    """Typed, refused, queued, drawn, cancelled: each shows the prompt."""
    payload = "<img src=x onerror=alert(2)><b>bold</b>"
    draw(studio, payload, steps=LASTING_STEPS)
    expect(studio.locator("#stage .stage-prompt")).to_have_text(payload)
    draw(studio, payload)
    expect(studio.locator("#queue .queue-prompt")).to_have_text([payload, payload])
    studio.locator("#queue button").last.click()
    expect(studio.locator("#queue .queue-prompt")).not_to_have_count(2)  # what is drawn keeps the stage
    expect(studio.locator("#stage .stage-prompt")).to_have_text(payload)
    studio.reload()
    studio.get_by_role("button", name="Cancel", exact=True).click()
    expect(studio.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=DRAWN_WITHIN_MS)


def test_the_sources_hold_no_way_to_parse_markup() -> None:
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
        "|safe",
        "| safe",
        "Markup(",
        " style=",
    )
    for file in (*(ROOT / "static/js").rglob("*.js"), *(ROOT / "templates").glob("*.html")):
        source = Path(file).read_text()
        assert [word for word in forbidden if word in source] == [], file
        addresses = source.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xhtml", "")
        assert "http://" not in addresses, file
        assert "https://" not in addresses, file
