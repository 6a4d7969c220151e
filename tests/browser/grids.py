"""Pictures that are drawn as one grid: asked for on the page, waited for, and looked at."""

from __future__ import annotations

import io
import time
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from tests.browser.driver import DRAWN_WITHIN_MS


def asked_for(page: Page) -> list[dict[str, Any]]:
    """Press Generate; the jobs of the grid."""
    with page.expect_response(lambda response: response.url.endswith("/grids")) as answer:
        page.get_by_role("button", name="Generate").click()
    assert answer.value.status == 202, answer.value.text()
    jobs: list[dict[str, Any]] = answer.value.json()["jobs"]
    return jobs


def grid_of(page: Page) -> list[dict[str, Any]]:
    """Press Generate, and wait until every cell is drawn."""
    return [finished(page, job) for job in asked_for(page)]


def root_of(page: Page) -> str:
    return "/".join(page.url.split("/")[:3])


def finished(page: Page, job: dict[str, Any]) -> dict[str, Any]:
    """The job as it has ended."""
    deadline = time.monotonic() + DRAWN_WITHIN_MS / 1000
    while time.monotonic() < deadline:
        now: dict[str, Any] = page.request.get(f"{root_of(page)}/jobs/{job['id']}").json()
        if now["status"] not in ("queued", "running"):
            assert now["status"] == "done", now
            return now
        page.wait_for_timeout(50)
    raise AssertionError(job)


def picture_of(page: Page, job: dict[str, Any]) -> Image.Image:
    data = page.request.get(f"{root_of(page)}/images/{job['image_id']}.png").body()
    return Image.open(io.BytesIO(data)).convert("RGB")


def drawn_alone(page: Page, request: dict[str, Any]) -> Image.Image:
    """The picture of a request of its own."""
    (job,) = page.request.post(f"{root_of(page)}/jobs", data=request).json()["jobs"]
    return picture_of(page, finished(page, job))
