"""News that comes while a button is pressed, a menu is open or a control has the focus takes none of them away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FloatRect, Page, expect

from tests.browser.driver import Site, draw, drawn, wait_until_ready

pytestmark = pytest.mark.browser


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    return f"a red circle, {request.node.name}"


@pytest.fixture
def mark(studio: Page, site: Site, prompt: str) -> Callable[[], None]:
    """A picture is on the stage; called, another window marks it as a favourite, and the page has heard of it."""
    draw(studio, prompt)
    drawn(studio, prompt)
    shown = studio.locator("#stage .frame a").get_attribute("data-view")
    studio.evaluate(
        """() => {
            const events = new EventSource("/events");
            window.opened = new Promise((resolve) => events.addEventListener("open", resolve));
            window.heard = new Promise((resolve) => events.addEventListener("image", resolve));
        }"""
    )

    def change() -> None:
        studio.evaluate("() => window.opened.then(() => null)")
        assert studio.request.patch(f"{site.url}/images/{shown}", data={"favourite": True}).ok
        studio.evaluate("() => window.heard.then(() => new Promise((resolve) => setTimeout(resolve, 100)))")

    return change


def heart(page: Page) -> str | None:
    return page.locator("#stage-foot .heart").get_attribute("aria-pressed")


def test_an_open_menu_stays_open_and_works(studio: Page, mark: Callable[[], None]) -> None:
    menu = studio.locator("#stage-foot details.menu").first
    menu.locator("summary").click()
    mark()
    expect(studio.locator("#stage-foot .heart")).to_have_attribute("aria-pressed", "true")
    expect(menu).to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()
    menu.get_by_role("button", name="Other seeds").click()
    expect(studio.locator("#stage .batch .frame")).to_have_count(4)


def test_a_pressed_button_is_clicked(studio: Page, mark: Callable[[], None], prompt: str) -> None:
    studio.locator("#prompt").fill("something else")
    use = studio.locator("#stage-foot").get_by_role("button", name="Use settings")
    use.hover()
    studio.mouse.down()
    mark()
    assert heart(studio) == "false"
    studio.mouse.up()
    expect(studio.locator("#prompt")).to_have_value(prompt)
    expect(studio.locator("#stage-foot .heart")).to_have_attribute("aria-pressed", "true")


def settled_boxes(page: Page, *selectors: str) -> list[FloatRect]:
    """Where the elements are once nothing that arrives late moves them any more."""

    def boxes() -> list[FloatRect]:
        return [box for selector in selectors if (box := page.locator(selector).bounding_box())]

    found, before = boxes(), None
    while found != before:
        page.wait_for_timeout(300)
        found, before = boxes(), found
    return found


def test_quick_taps_on_neighbours_all_count(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(site.url, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    wait_until_ready(page)
    # before its first paint a browser takes no touch
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    page.locator("#styles-toggle").scroll_into_view_if_needed()  # with pictures on the stage it begins further down
    page.evaluate(
        """() => { window.pressed = []; for (const name of ["styles", "axes"]) {
        document.getElementById(`${name}-toggle`).addEventListener("click", () => window.pressed.push(name)); } }"""
    )
    session = page.context.new_cdp_session(page)
    for box in settled_boxes(page, "#styles-toggle", "#axes-toggle"):
        finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind, points in (("touchStart", [finger]), ("touchEnd", [])):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function("() => window.pressed.join() === 'styles,axes'")
    for name, is_open in (("styles", "false"), ("axes", "true")):  # the second panel closes the first
        expect(page.locator(f"#{name}-toggle")).to_have_attribute("aria-expanded", is_open)
        assert page.locator(f"#{name}-toggle").evaluate("one => getComputedStyle(one).touchAction") == "manipulation"
