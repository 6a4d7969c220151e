"""Guidance and what to avoid: shown for a model that has them, drawn with, and set from a picture's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, Site, Watch, wait_until_ready
from tests.stand_in import stand_in

pytestmark = pytest.mark.browser

# A server whose catalog says of one model that it is not distilled, as klein base, which nobody here downloads.
GUIDED = """
from dataclasses import replace
from bonsai_mlx.hub import published
guided = {"ternary": 4.0}
published.CATALOG = tuple(
    replace(one, recommended_guidance=guided.get(one.name, one.recommended_guidance)) for one in published.CATALOG
)
from server.__main__ import main
main()
"""


@pytest.fixture
def guided(tmp_path: Path) -> Iterator[Site]:
    stand_in(tmp_path / "models", "ternary", is_distilled=False)
    site = Site(tmp_path, program=("-c", GUIDED))
    yield site
    site.stop()


def test_they_are_shown_drawn_with_and_brought_back(guided: Site, open_page: Callable[..., Page], watch: Watch) -> None:
    watch.expected += ["status of 422"]  # 31 is refused
    page = open_page(guided.url)
    wait_until_ready(page)
    expect(page.locator("#guidance")).to_be_visible()
    expect(page.locator("#guidance-hint")).to_contain_text("4 is recommended")
    page.get_by_role("radio", name="Other").check()
    for field, value in (("#width", "64"), ("#height", "64"), ("#steps", "1"), ("#prompt", "a fox in the snow")):
        page.locator(field).fill(value)
    page.locator("#guidance").fill("31")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#guidance-error")).to_be_visible()
    page.locator("#guidance").fill("2.5")
    page.get_by_label("What to avoid").fill("frames, text")
    with page.expect_response(re.compile("/jobs$")) as answer:
        page.get_by_role("button", name="Generate").click()
    [job] = answer.value.json()["jobs"]
    assert (job["request"]["guidance"], job["request"]["negative_prompt"]) == (2.5, "frames, text")
    expect(page.locator("#stage .frame a img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    page.locator("#guidance").fill("")
    page.get_by_label("What to avoid").fill("")
    page.locator("#stage-foot").get_by_role("button", name="Use settings").click()
    expect(page.locator("#guidance")).to_have_value("2.5")
    expect(page.get_by_label("What to avoid")).to_have_value("frames, text")
    page.reload()
    expect(page.locator("#guidance")).to_have_value("2.5")


def test_a_distilled_model_has_none(studio: Page) -> None:
    expect(studio.locator("#guidance")).to_be_hidden()
    expect(studio.get_by_label("What to avoid")).to_be_hidden()
