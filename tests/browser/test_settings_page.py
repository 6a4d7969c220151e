"""The page of settings: every control is changed, and what the server then says is looked at."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.controls import controls_of
from tests.browser.driver import Site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("settings"))
    yield site
    site.stop()


def test_every_setting_is_kept(own: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{own.url}/gallery")
    page.locator("#settings-link").click()
    expect(page.locator("h1")).to_have_text("Settings")
    expect(page.locator("#engine-mark")).to_be_visible()
    assert controls_of(page) == {
        *(
            "#default_model",
            "#previews",
            "#keep_alive_minutes",
            "#memory_limit_gb",
            "#text_encoder",
            "#decoder",
            "#theme",
        ),
        *({"#show-folder"} if shutil.which("xdg-open") else ()),
        "settings-form Models",
    }
    page.locator("#settings-form").get_by_role("link", name="Models").first.click()
    expect(page.locator("h1")).to_have_text("Models")
    page.go_back()
    expect(page.locator("#engine-mark")).to_be_visible()
    page.locator("#theme").select_option("dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.locator("#theme-button")).to_have_attribute("aria-label", "Theme: dark")
    page.locator("#theme-button").click()  # as the system says
    expect(page.locator("#theme")).to_have_value("auto")
    said = page.request.get(f"{own.url}/settings").json()
    assert (said["default_model"], said["preview"], said["keep_alive_minutes"]) == (None, True, 10)
    page.locator("#default_model").select_option("seedling-binary")
    expect(page.locator("#saved")).to_have_text("Saved.")
    page.locator("#previews").uncheck()
    page.locator("#keep_alive_minutes").select_option("30 minutes")
    page.locator("#memory_limit_gb").fill("0.05")
    page.locator("#memory_limit_gb").press("Tab")
    expect(page.locator("#memory-problem")).to_have_text(re.compile("At least 0.1 GB"))
    page.locator("#memory_limit_gb").fill("5.5")
    page.locator("#memory_limit_gb").press("Tab")
    expect(page.locator("#memory-problem")).to_be_empty()
    changed = {"default_model": "seedling-binary", "preview": False, "keep_alive_minutes": 30}
    changed["memory_limit_bytes"] = 5_500_000_000
    page.wait_for_function(
        "async wanted => { const said = await (await fetch('/settings')).json();"
        " return Object.entries(wanted).every(([name, value]) => said[name] === value); }",
        arg=changed,
    )
    page.reload()
    expect(page.locator("#default_model")).to_have_value("seedling-binary")
    expect(page.locator("#previews")).not_to_be_checked()
    expect(page.locator("#keep_alive_minutes")).to_have_value("30")
    expect(page.locator("#memory_limit_gb")).to_have_value("5.5")
    assert str(own.folder / "out") in page.locator(".folder").first.inner_text()
