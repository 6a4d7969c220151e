"""A photo that is brought to the studio to be edited: how it gets there, and what the engine was given of it."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.driver import DRAWN_WITHIN_MS, Site

ODD = (150, 101)  # a size that no picture can be drawn at


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def photo() -> Image.Image:
    rows, columns = np.mgrid[: ODD[1], : ODD[0]]
    return Image.fromarray(np.dstack([columns % 256, rows * 2, (rows + columns) % 256]).astype(np.uint8))


def sent(page: Page, url: str, data: bytes) -> Any:
    answer = page.request.post(url, data=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status == 201, answer.text()
    return answer.json()["id"]


def pixels(page: Page, site: Site, image_id: str) -> Any:
    with Image.open(io.BytesIO(page.request.get(f"{site.url}/images/{image_id}.png").body())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def open_editor(page: Page, site: Site, *pictures: bytes) -> list[str]:
    """Bring a picture to the studio to be edited; the ids of all of them, further ones added by the "+"."""
    page.goto(f"{site.url}/?edit={sent(page, f'{site.url}/inputs', pictures[0])}")
    expect(page.locator("#bench .easel").first).to_be_visible()
    page.locator("#prompt").fill("a red star")
    page.locator("#steps").fill("1")
    page.locator("#seed").fill("3")
    if pictures[1:]:
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": data} for i, data in enumerate(pictures[1:])]
        page.locator("#slot-file").set_input_files(files)  # type: ignore[arg-type]
        expect(page.locator(".slot-thumb")).to_have_count(len(pictures))
    names = page.locator(".slot-thumb img").evaluate_all("all => all.map((one) => one.getAttribute('src'))")
    return [name.rsplit("/", 1)[1] for name in names]


def choose_way(page: Page, way: str) -> None:
    page.locator(f"[name=way][value={way}]").check()


def generated(page: Page, site: Site) -> tuple[dict[str, Any], Any]:
    """Press Generate; what the engine was given, and the pixels of the finished picture."""
    with page.expect_response(re.compile("/jobs$")) as answer:
        page.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    (job,) = answer.value.json()["jobs"]
    expect(page.locator("#stage .frame a img")).to_be_visible(timeout=DRAWN_WITHIN_MS)
    done = page.request.get(f"{site.url}/jobs/{job['id']}").json()
    assert done["status"] == "done", done
    return job["request"], pixels(page, site, done["image_id"])


def mask_of(page: Page, site: Site, mask_id: str) -> Any:
    with Image.open(io.BytesIO(page.request.get(f"{site.url}/inputs/{mask_id}").body())) as image:
        return np.asarray(image.convert("L")) > 127
