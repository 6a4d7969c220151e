"""A keyboard alone reaches every control of every page and dialog, sees where it is, and comes back out of each dialog.

That it then does everything: drawing in test_access.py, marking in test_painting.py, choosing many in
test_gallery_selection.py, zooming in test_viewer.py and test_bench_zoom.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.driver import Site, Watch, make_picture, posted, wait_until_ready
from tests.browser.keyboard import reaches_everything
from tests.browser.test_models import GB, with_state

pytestmark = pytest.mark.browser

PAGES = {  # and how many controls it has at least
    "/": 30,
    "/gallery?q=by+keys": 15,
    "/gallery?q=there+is+no+such+picture": 12,
    "/gallery/deleted": 12,
    "/i/{picture}": 25,
    "/model-manager": 12,
    "/connect": 15,
    "/preferences": 15,
    "/docs": 10,
    "/there-is-nothing": 10,
}
SIZES = ((1280, 680), (390, 844))


class Made(NamedTuple):
    """Pictures that the dialogs are about."""

    picture: str
    edited: str
    compared: str
    deleted: str
    collection: str


@pytest.fixture(scope="module")
def made(site: Site) -> Made:
    small = {"steps": 1, "width": 64, "height": 64}
    picture = make_picture(site, "reached by keys")
    deleted = make_picture(site, "deleted, reached by keys")
    posted(site, "/images/delete", {"ids": [deleted]})
    edited = posted(site, "/edit", {"prompt": "changed", "init": picture, "strength": 0.5, "steps": 1})["image"]["id"]
    compared = posted(site, "/generate/compare", {"prompt": "a pair", **small})["left"]["image"]["id"]
    collection = posted(site, "/collections", {"name": "Keys"})["id"]
    posted(site, "/images/move", {"ids": [picture], "into": collection})
    return Made(picture, edited, compared, deleted, collection)


@pytest.mark.parametrize("path", PAGES)
def test_tab_reaches_every_control_of_a_page(
    site: Site, made: Made, open_page: Callable[..., Page], watch: Watch, path: str
) -> None:
    watch.expected = ["status of 404"]
    page = open_page(site.url + path.format(picture=made.picture))
    expect(page.locator("#engine-mark")).to_be_visible()  # the scripts have started
    if path == "/":
        wait_until_ready(page)
        for tool, control in (("axes", "#axis-1"), ("prompts", "#save-prompt"), ("styles", ".style-chip")):
            page.locator(f"#{tool}-toggle").press("Enter")
            expect(page.locator(control).first).to_be_visible()
            page.locator(f"#{tool}-toggle").focus()
            assert reaches_everything(page, f"#{tool}") >= 1
        page.locator(".brand").focus()
    assert reaches_everything(page) >= PAGES[path]


def test_tab_reaches_every_control_of_the_editor(site: Site, made: Made, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{site.url}/?edit={made.picture}")
    expect(page.locator("#bench .easel").first).to_be_visible()
    page.locator(".editor-more summary").press("Enter")
    for way in ("change", "redraw", "repaint", "extend"):
        page.locator(f"[name=way][value={way}]").check()
        expect(
            page.locator({"repaint": ".easel-mask", "extend": ".edge-left"}.get(way, ".easel")).first
        ).to_be_visible()
        page.locator(".brand").focus()
        assert reaches_everything(page) >= 40


def from_(selector: str) -> Callable[[Page], Locator]:
    """Opens a dialog by a key on this control."""

    def opened(page: Page) -> Locator:
        opener = page.locator(selector).first
        opener.press("Enter")
        return opener

    return opened


def help_by_its_key(page: Page) -> Locator:
    page.locator("#help-button").focus()
    page.keyboard.press("?")
    return page.locator("#help-button")


def styles(page: Page) -> Locator:
    page.locator("#styles-toggle").press("Enter")
    return from_("#edit-styles")(page)


def chosen_file(page: Page) -> Locator:
    picture = page.locator("#stage .frame a").get_attribute("data-view")
    data = page.request.get(f"{page.url.split('?')[0]}images/{picture}.png").body()
    page.locator("#pick-image").focus()
    page.locator("#image-file").set_input_files({"name": "one.png", "mimeType": "image/png", "buffer": data})
    return page.locator("#pick-image")


DIALOGS: dict[str, tuple[str, Callable[[Page], Locator]]] = {
    "help": ("/connect", help_by_its_key),
    "styles": ("/", styles),
    "settings of a file": ("/?from={picture}", chosen_file),
    "viewer": ("/?from={picture}", from_("#stage .frame a")),
    "before and after": ("/?from={edited}", from_("#lineage-compare button")),
    "compared": ("/i/{compared}", from_("#open-compare")),
    "move one": ("/i/{picture}", from_("#move")),
    "new collection": ("/gallery", from_("#new-collection")),
    "rename": ("/gallery?collection={collection}", from_("#rename-collection")),
    "delete a collection": ("/gallery?collection={collection}", from_("#delete-collection")),
    "delete for good": ("/gallery/deleted", from_("[data-action=end]")),
    "delete a model": ("models", from_(".model >> text=Delete")),
}
OPEN = "dialog[open]"
DIALOG = f"document.querySelector('{OPEN}')"


@pytest.mark.parametrize("path", dict.fromkeys(path for path, _ in DIALOGS.values()))
def test_the_dialogs_of_a_page_are_gone_through_and_left_by_keys_and_axe_finds_nothing(
    site: Site, made: Made, open_page: Callable[..., Page], axe: str, path: str
) -> None:
    page = open_page("about:blank")
    if path == "models":
        with_state(page, site, state="ready", bytes_present=4 * GB)
    else:
        page.goto(site.url + path.format(**made._asdict()))
    expect(page.locator("#engine-mark")).to_be_visible()
    for where, open_it in DIALOGS.values():
        if where == path:
            goes_through_dialog(page, axe, open_it)


def goes_through_dialog(page: Page, axe: str, open_it: Callable[[Page], Locator]) -> None:
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    opener = open_it(page)
    dialog = page.locator(OPEN)
    expect(dialog).to_be_visible()
    assert page.evaluate(f"{DIALOG}.contains(document.activeElement)")
    assert page.evaluate(f"{DIALOG}.scrollTop") == 0  # its title is in sight
    assert reaches_everything(page) >= 1
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(f"(({{ scrollWidth, clientWidth }}) => scrollWidth - clientWidth)({DIALOG})") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page, axe, OPEN) == [], width
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
