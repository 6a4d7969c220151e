"""Pictures that go in, on the page: what the engine is given is what was done here."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, Site

pytestmark = pytest.mark.browser

ODD = (150, 101)  # a size that no picture can be drawn at
SPOT = (60, 40, 90, 70)  # left, top, right, bottom of what is repainted


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def photo() -> Image.Image:
    rows, columns = np.mgrid[: ODD[1], : ODD[0]]
    return Image.fromarray(np.dstack([columns % 256, rows * 2, (rows + columns) % 256]).astype(np.uint8))


def mask() -> Image.Image:
    made = Image.new("L", ODD, 0)
    ImageDraw.Draw(made).rectangle((SPOT[0], SPOT[1], SPOT[2] - 1, SPOT[3] - 1), fill=255)
    return made


def sent(page: Page, url: str, data: bytes) -> Any:
    answer = page.request.post(url, data=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status == 201, answer.text()
    return answer.json()["id"]


def repainted(page: Page, site: Site, prompt: str) -> str:
    """The id of a photo of an odd size in which one place was drawn anew."""
    asked = {
        "prompt": prompt,
        "init": sent(page, f"{site.url}/inputs", png(photo())),
        "mask": sent(page, f"{site.url}/inputs?mask=true", png(mask())),
        "feather_px": 4,
        "steps": 1,
        "seed": 3,
    }
    answer = page.request.post(f"{site.url}/edit", data=asked, timeout=DRAWN_WITHIN_MS)
    assert answer.status == 200, answer.text()
    return answer.headers["x-image-id"]


def pixels(page: Page, site: Site, image_id: str) -> Any:
    with Image.open(io.BytesIO(page.request.get(f"{site.url}/images/{image_id}.png").body())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_variations_of_an_edited_photo_change_the_same_place_of_it(site: Site, studio: Page) -> None:
    made = repainted(studio, site, "a spot in a photo")
    studio.goto(f"{site.url}/?from={made}")
    expect(studio.get_by_role("button", name="Variations")).to_be_visible()
    with studio.expect_response(re.compile("/jobs$")) as answer:
        studio.get_by_role("button", name="Variations").click()
    assert answer.value.status == 202, answer.value.text()
    assert (answer.value.request.post_data_json["seed"], len(answer.value.json()["jobs"])) == (4, 4)
    expect(studio.locator("#stage .batch .frame a img")).to_have_count(4, timeout=DRAWN_WITHIN_MS)
    before, after = np.asarray(photo()).astype(int), pixels(studio, site, made)
    for job in answer.value.json()["jobs"]:
        image_id = studio.request.get(f"{site.url}/jobs/{job['id']}").json()["image_id"]
        varied = pixels(studio, site, image_id)
        assert varied.shape == before.shape
        assert np.array_equal(varied[:30], before[:30])
        assert np.abs(varied - after)[45:65, 65:85].max() > 8


def test_generate_draws_with_the_settings_of_an_edited_photo(site: Site, studio: Page) -> None:
    made = repainted(studio, site, "a spot whose settings are used")
    studio.goto(f"{site.url}/?from={made}")
    expect(studio.locator("#prompt")).to_have_value("a spot whose settings are used")
    with studio.expect_response(re.compile("/jobs$")) as answer:
        studio.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    recipe = studio.request.get(f"{site.url}/images/{made}").json()["recipe"]
    asked = answer.value.request.post_data_json
    assert [asked[name] for name in ("seed", "steps", "width", "height")] == [
        recipe[name] for name in ("seed", "steps", "width", "height")
    ]
