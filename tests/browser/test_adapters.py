"""Adapters on the page: seen where there are any, with a slider each, sent, remembered and set from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

import bonsai_mlx
from bonsai_mlx.flux2.checkpoint import Checkpoint
from tests.adapters.files import lora_tensors, saved
from tests.browser.driver import Site, Watch, draw, wait_until_ready, with_modules

pytestmark = pytest.mark.browser

SEEDLING = Path(bonsai_mlx.__file__).parent / "seedling" / "ternary"


@pytest.fixture
def ink(site: Site) -> Iterator[Path]:
    linears = Checkpoint.open(SEEDLING).transformer.linears()
    tensors = lora_tensors(linears, only=["x_embedder"])
    yield saved(site.folder / "loras" / "ink.safetensors", tensors, {"modelspec.trigger_phrase": "inky <b>"})
    (site.folder / "loras" / "ink.safetensors").unlink()


def asked(page: Page) -> list[dict[str, Any]]:
    """The bodies of the requests for pictures, which are refused from here on."""
    bodies: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/jobs"):
            bodies.append(request.post_data_json)

    page.on("request", note)
    page.route(
        "**/jobs",
        lambda route: route.fulfill(status=400, json={"error": {"code": "invalid", "message": "Not now."}}),
    )
    return bodies


def test_without_adapters_there_is_nothing_to_see(studio: Page) -> None:
    expect(studio.locator("#adapters")).to_be_hidden()


def test_a_slider_is_sent_remembered_and_set_from_a_recipe(
    site: Site, ink: Path, open_page: Callable[..., Page], watch: Watch, axe: str
) -> None:
    watch.expected = ["status of 400"]
    page = open_page(site.url)
    wait_until_ready(page)
    bodies = asked(page)
    slider = page.get_by_role("slider", name="Strength of ink")
    expect(page.get_by_text("Say in the prompt: inky <b>")).to_be_visible()
    expect(page.locator("#adapters output")).to_have_text("off")
    draw(page, "a fox")
    expect(page.locator("#submit-note")).to_contain_text("Not now.")
    slider.focus()
    for _ in range(16):
        slider.press("ArrowRight")
    expect(page.locator("#adapters output")).to_have_text("0.80")
    assert slider.evaluate("(one) => one.style.getPropertyValue('--at')") == "0.7"  # filled from the middle to here
    draw(page, "a fox")
    expect(page.locator("#submit-note")).to_contain_text("Not now.")
    page.wait_for_function("() => document.querySelector('#generate').ariaDisabled !== 'true'")
    assert [body.get("loras") for body in bodies] == [None, [{"name": "ink", "strength": 0.8}]]
    page.evaluate(axe)
    found = page.evaluate("() => axe.run('#composer')")
    assert found["violations"] == []
    with_modules(page)
    page.reload()
    wait_until_ready(page)
    expect(page.locator("#adapters output")).to_have_text("0.80")
    page.evaluate(
        """async () => (await import("/static/js/studio/composer.js")).applyRecipe(
                {loras: [{name: "ink", strength: -0.5}, {name: "chalk", strength: 1}]})"""
    )
    expect(page.locator("#adapters output")).to_have_text("-0.50")
    expect(page.locator("#adapters-note")).to_have_text("Not in your folder of adapters, and left out: chalk.")
    slider.evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
