#!/usr/bin/env python3
"""Makes docs/screenshots/tour.webp: about twenty seconds of drawing, repainting and extending on the real page.

Needs what scripts/screenshots.py needs. What the seedling takes longer for than the tour has is shown faster.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw
from playwright.sync_api import Page, expect, sync_playwright

from screenshots import PATIENCE_MS, ROOT, open_page, server

WINDOW = (1200, 720)
SHOWN = (900, 540)
MAX_BYTES = 3_000_000
TYPED_MS, MOVED_MS, PRESSED_MS, DRAWN_MS, LOOKED_MS = 80, 45, 200, 260, 1400
SCENE = "a white boat on the sea"
SEED = 4


class Film:
    """Pictures of the page with the time that each is shown, and a pointer that the page itself does not have."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.durations_ms: list[int] = []
        self.pointer = (WINDOW[0] // 2, WINDOW[1] // 2)

    def shoot(self, duration_ms: int) -> None:
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            frame = picture.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
        x, y = (round(place * SHOWN[0] / WINDOW[0]) for place in self.pointer)
        arrow = [
            (x, y),
            (x, y + 17),
            (x + 4, y + 13),
            (x + 7, y + 19),
            (x + 10, y + 18),
            (x + 7, y + 12),
            (x + 12, y + 12),
        ]
        ImageDraw.Draw(frame).polygon(arrow, fill="black", outline="white")
        if self.frames and ImageChops.difference(self.frames[-1], frame).getbbox() is None:
            self.durations_ms[-1] += duration_ms
            return
        self.frames.append(frame)
        self.durations_ms.append(duration_ms)

    def move(self, x: float, y: float, steps: int = 4) -> None:
        """Go there in a straight line, also with the button down."""
        from_x, from_y = self.pointer
        for step in range(1, steps + 1):
            self.pointer = (round(from_x + (x - from_x) * step / steps), round(from_y + (y - from_y) * step / steps))
            self.page.mouse.move(*self.pointer)
            self.shoot(MOVED_MS)

    def press(self, selector: str) -> None:
        target = self.page.locator(selector).first
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        assert box is not None
        self.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.click(*self.pointer)
        self.page.wait_for_timeout(150)
        self.shoot(PRESSED_MS)

    def type(self, text: str) -> None:
        self.press("#prompt")
        self.page.locator("#prompt").fill("")
        for end in range(1, len(text) + 1, 3):
            self.page.locator("#prompt").fill(text[:end])
            self.shoot(TYPED_MS)
        self.page.locator("#prompt").fill(text)

    def generate(self) -> None:
        self.page.locator("#seed").fill(str(SEED))
        self.press("#generate")
        expect(self.page.locator("#cancel")).to_be_visible(timeout=PATIENCE_MS)
        self.shoot(DRAWN_MS)
        shown: str | None = None
        while self.page.locator("#cancel").count():
            self.page.wait_for_timeout(100)
            previews = self.page.locator(".frame-preview img").evaluate_all("all => all.map((one) => one.src)")
            if previews and previews[0] != shown:
                shown = previews[0]
                self.shoot(DRAWN_MS)
        expect(self.page.locator("#stage .frame a img")).to_be_visible(timeout=PATIENCE_MS)
        self.page.wait_for_timeout(400)
        self.shoot(LOOKED_MS)

    def save(self, file: Path) -> None:
        first, *others = self.frames
        first.save(
            file, "WEBP", save_all=True, append_images=others, duration=self.durations_ms, loop=0, quality=60, method=4
        )


def film(page: Page) -> Film:
    """Draw, repaint, extend, look at before and after."""
    made = Film(page)
    made.shoot(600)
    made.type(SCENE)
    made.generate()

    made.press("#stage-foot >> text=Edit")
    made.press("[name=way][value=repaint] + span")
    page.locator("#brush-size").fill("44")
    left, top, side = easel(page)
    made.move(left + 0.7 * side, top + 0.16 * side)
    page.mouse.down()
    for across, down in ((0.82, 0.16), (0.82, 0.27), (0.7, 0.27), (0.76, 0.2)):
        made.move(left + across * side, top + down * side, 3)
    page.mouse.up()
    made.type("a yellow sun")
    made.generate()

    made.press("#stage-foot >> text=Edit")
    made.press("[name=way][value=extend] + span")
    edge = page.locator(".edge-right").bounding_box()
    assert edge is not None
    made.move(edge["x"] + edge["width"] / 2, edge["y"] + edge["height"] / 2)
    page.mouse.down()
    made.move(made.pointer[0] + 90, made.pointer[1])
    page.mouse.up()
    made.press("#extend-shapes >> text=To 16:9")
    made.type("the sea")
    made.generate()

    made.press("#lineage-compare button")
    frame = page.locator(".before-after .frame").bounding_box()
    assert frame is not None
    middle = frame["y"] + frame["height"] / 2
    made.move(frame["x"] + frame["width"] / 2, middle)
    page.mouse.down()
    for across in (0.15, 0.85, 0.03):
        made.move(frame["x"] + across * frame["width"], middle, 6)
    page.mouse.up()
    made.shoot(LOOKED_MS)
    return made


def easel(page: Page) -> tuple[float, float, float]:
    box = page.locator(".easel-mask").bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "docs/screenshots/tour.webp")
    file: Path = parser.parse_args().file
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("no Chromium or Chrome on the PATH")
    with server() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
        page = open_page(browser, url, "light", *WINDOW)
        expect(page.locator("[name=size]").first).to_be_attached()
        made = film(page)
        browser.close()
    made.save(file)
    size = file.stat().st_size
    print(f"{file}: {len(made.frames)} frames, {sum(made.durations_ms) / 1000:.1f} s, {size // 1000} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"{file} is larger than {MAX_BYTES} bytes")


if __name__ == "__main__":
    main()
