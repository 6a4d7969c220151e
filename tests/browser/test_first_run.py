"""The studio before its first picture, and what it costs to open it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Response, Route, expect

from tests.browser.driver import DRAWN_WITHIN_MS, ROOT, Site, drawn, make_picture, posted

pytestmark = pytest.mark.browser

FIRST = json.loads((ROOT / "static/first/pictures.json").read_text("utf-8"))
SHIFTS = """() => new Promise(resolve => new PerformanceObserver(list =>
    resolve(list.getEntries().reduce((sum, entry) => sum + entry.value, 0)))
    .observe({ type: "layout-shift", buffered: true }) ?? setTimeout(() => resolve(0), 300))"""


# Takes away what is last in the page again and again, and says what stands elsewhere than in the whole page.
IN_PIECES = """() => {
  const places = () => [...document.querySelectorAll("main, main > *, main > article > *")]
    .map((part) => [part, part.getBoundingClientRect()]).filter(([, at]) => at.height && at.top < innerHeight);
  const whole = new Map(places());
  const moved = new Set();
  const rest = [...document.querySelectorAll("main *:not(dialog *, svg *, option)")];
  while (rest.length) {
    rest.pop().remove();
    for (const [part, at] of places())
      if (Math.abs((whole.get(part)?.top ?? innerHeight) - at.top) > 2)
        moved.add(`${part.localName}#${part.id} at ${Math.round(at.top)}, then at ${Math.round(whole.get(part)?.top)}`);
  }
  return [...moved];
}"""


@pytest.fixture
def empty(site: Site, open_page: Callable[..., Page]) -> Page:
    """The studio of somebody who has drawn nothing yet."""
    page = open_page("about:blank")
    nothing = {"images": [], "next_cursor": None, "total": 0}
    page.route(re.compile(r"/images\?"), lambda route: route.fulfill(json=nothing))
    page.goto(site.url)
    return page


def pixels(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB").resize((48, 48)), dtype=float)


def test_six_pictures_wait_to_be_drawn(site: Site, empty: Page) -> None:
    pictures = empty.locator(".first-picture")
    expect(pictures).to_have_count(6)
    expect(empty.locator("#first-run-card .real-model")).to_contain_text("recommended")
    form, stage = empty.locator("#prompt").bounding_box(), empty.locator("#stage").bounding_box()
    assert form is not None
    assert stage is not None
    assert abs(form["x"] - (1280 - stage["x"] - stage["width"])) <= 1  # no room for a strip that is not there
    for entry in FIRST:
        expect(empty.get_by_role("button", name=entry["prompt"], exact=True).first).to_be_visible()
        assert (ROOT / "static/first" / entry["file"]).stat().st_size < 10_000
    with empty.expect_response(lambda response: response.url.endswith("/jobs")) as answer:
        pictures.first.click()
    asked = answer.value.request.post_data_json
    assert (asked["prompt"], asked["seed"]) == (FIRST[0]["prompt"], FIRST[0]["seed"])
    assert asked["model"] == "seedling-ternary"
    drawn(empty, FIRST[0]["prompt"])
    expect(empty.locator("#model-note .real-model")).to_be_visible()  # the card has moved out of the picture's way
    done = empty.request.get(f"{site.url}/jobs/{answer.value.json()['jobs'][0]['id']}").json()
    made = pixels(empty.request.get(f"{site.url}/images/{done['image_id']}.png").body())
    shown = [pixels((ROOT / "static/first" / entry["file"]).read_bytes()) for entry in FIRST]
    distances = [float(np.abs(made - other).mean()) for other in shown]
    assert distances[0] < 8  # the very picture that was pressed
    assert min(distances[1:]) > 2 * distances[0]


def test_pictures_that_come_late_move_nothing(site: Site, open_page: Callable[..., Page]) -> None:
    """On the stage, above what it was made from, to be edited, one of a pair, and among their days."""
    first = make_picture(site, "one that comes late", width=96, height=64)
    made = posted(site, "/edit", {"prompt": "changed", "init": first, "strength": 0.2, "steps": 1})["image"]["id"]
    pair = posted(site, "/generate/compare", {"prompt": "a late pair", "steps": 1, "width": 64, "height": 64})
    page = open_page("about:blank")
    held: list[Route] = []
    painted = False
    pictures = re.compile(r"/(images|inputs)/.*(png|webp|thumbnail)")
    page.route(pictures, lambda route: route.continue_() if painted else held.append(route))
    paths = (
        f"?from={first}",
        f"?from={made}",
        f"?edit={first}",
        f"?edit={first},{made}",
        f"i/{pair['left']['image']['id']}",
        "gallery",
    )
    for width, path in itertools.product((390, 1280), paths):
        page.set_viewport_size({"width": width, "height": 844 if width < 400 else 680})
        painted = False
        Page.goto(page, f"{site.url}/{path}", wait_until="commit")
        page.wait_for_function("() => performance.getEntriesByType('paint').length > 0")
        painted = True
        while held:
            held.pop().continue_()
        expect(page.locator("#engine-mark")).to_be_visible()
        page.wait_for_timeout(1500)  # a shift that comes later is not the pictures'
        assert page.evaluate(SHIFTS) <= 0.02, (path, width)
        expect(page.locator("main")).to_be_visible()


@pytest.mark.parametrize("window", [(390, 844), (768, 1024), (1280, 680)])
def test_a_page_that_arrives_in_pieces_is_never_laid_out_otherwise(
    site: Site, open_page: Callable[..., Page], window: tuple[int, int]
) -> None:
    picture = make_picture(site, "in pieces", width=96, height=64)
    page = open_page("about:blank", viewport={"width": window[0], "height": window[1]})
    page.route(re.compile(r"\.js\b"), lambda route: route.fulfill(body="", content_type="text/javascript"))
    for path in ("", f"i/{picture}", "gallery", "gallery/deleted", "connect", "models", "settings", "docs"):
        Page.goto(page, f"{site.url}/{path}")
        assert page.locator("main > *").count() > 0
        assert page.evaluate(IN_PIECES) == [], path


@pytest.mark.parametrize("width", [390, 1280])
def test_opening_it_moves_nothing_and_weighs_little(site: Site, open_page: Callable[..., Page], width: int) -> None:
    page = open_page("about:blank", viewport={"width": width, "height": 844 if width < 400 else 680})
    answers: list[Response] = []
    page.on("response", lambda response: answers.append(response))
    page.goto(site.url)
    expect(page.locator("[name=size]").first).to_be_attached(timeout=DRAWN_WITHIN_MS)
    expect(page.locator(".real-model, .first-picture").first).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate(SHIFTS) <= 0.02
    pictures = [answer for answer in answers if answer.headers.get("content-type", "").startswith("image/")]
    page_itself = [one for one in answers if one not in pictures and not re.search(r"/(events|jobs|images)\b", one.url)]
    sizes = {answer.url: answer.request.sizes()["responseBodySize"] for answer in page_itself}
    assert sum(sizes.values()) < 120_000, sizes
