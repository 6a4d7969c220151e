#!/usr/bin/env python3
"""Makes the pictures of the page in docs/screenshots from the real thing: a server with the seedling, and Chromium.

Needs Playwright (`pip install playwright`) and a Chromium or Chrome on the PATH. Takes about a minute where nothing
else runs; with `--pictures` those of a folder are the gallery's, and fewer are drawn.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 500_000
PATIENCE_MS = 300_000  # where others need the processor as well
PROMPTS = [
    "two orange fish on a lake",
    "a pink heart on a yellow background",
    "mountains at sunset",
    "four purple butterflies",
    "a white boat on the sea",
    "a red cup to the left of a blue cup",
    "winter bonsai at night",
    "three green stars",
    "a black cat beside a red house in the snow",
    "a windswept pine bonsai by the sea",
    "a red mushroom next to a blue flower",
    "maple bonsai in autumn, in a blue pot",
    "three red lanterns at night",
    "a pine bonsai by a lake at sunset",
]
SEED = 4
LAST = "cherry blossom bonsai at dawn"


@contextmanager
def server(pictures: Path | None = None) -> Iterator[str]:
    """The address of a server with no pictures but these and no downloaded model, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        if pictures is not None:
            shutil.copytree(pictures, f"{folder}/out", ignore=shutil.ignore_patterns(".*"))
        options = ["--no-browser", "--port", "0", "--output", f"{folder}/out", "--models-dir", f"{folder}/models"]
        process = subprocess.Popen(
            [sys.executable, "-m", "server", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        finally:
            process.terminate()
            process.wait(timeout=30)


def open_page(browser: Browser, url: str, theme: str, width: int, height: int) -> Page:
    """A fresh visitor's page."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    for _ in range(100):  # the line with the address may come a moment before the first answer
        try:
            page.goto(url)
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            time.sleep(0.1)
        else:
            break
    expect(page.locator("#engine-mark")).to_be_visible()
    return page


def stage_picture(page: Page, prompt: str) -> Locator:
    return page.locator("#stage .frame a").get_by_role("img", name=prompt, exact=True)


def draw(page: Page, prompt: str, seed: int) -> None:
    """Draw from the page, as a person would, and wait for the picture."""
    page.get_by_label("Describe the picture").fill(prompt)
    page.get_by_label("Seed", exact=True).fill(str(seed))
    page.get_by_role("button", name="Generate").click()
    expect(stage_picture(page, prompt)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#cancel")).to_have_count(0)


def mark_a_place(page: Page) -> None:
    """Edit the picture on the stage: a stroke of the brush, and what is to be seen there."""
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("[name=way][value=repaint]").check()
    page.get_by_label("Describe the picture").fill("a yellow sun")
    box = page.locator(".easel-mask").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.68 * box["width"], box["y"] + 0.16 * box["height"])
    page.mouse.down()
    for across, down in ((0.76, 0.12), (0.82, 0.2), (0.74, 0.25)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=4)
    page.mouse.up()


def save(page: Page, folder: Path, name: str) -> None:
    """The window as a PNG file, small enough for a README."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(400)
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}: {size // 1000} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"{file} is larger than {MAX_BYTES} bytes")


def take_all(browser: Browser, url: str, folder: Path, prompts: list[str]) -> None:
    """Every screenshot, in an order that fills the gallery on the way."""
    studio = open_page(browser, url, "light", 1440, 900)
    expect(studio.locator("[name=size]").first).to_be_attached()
    for prompt in (*prompts, LAST):
        draw(studio, prompt, SEED)
    studio.get_by_role("button", name="Favourite").click()
    save(studio, folder, "studio")
    mark_a_place(studio)
    save(studio, folder, "repaint")

    dark = open_page(browser, url, "dark", 1440, 900)
    expect(dark.locator("[name=size]").first).to_be_attached()
    dark.get_by_label("Describe the picture").fill("bonsai forest at sunset")
    dark.get_by_label("Seed", exact=True).fill(str(SEED))
    dark.get_by_role("button", name="Compare").click()
    expect(dark.locator(".compare-caption")).to_have_count(2, timeout=PATIENCE_MS)
    save(dark, folder, "compare-dark")

    save(open_page(browser, f"{url}/gallery", "light", 1040, 700), folder, "gallery")
    save(open_page(browser, f"{url}/model-manager", "light", 1200, 800), folder, "models")
    phone = open_page(browser, url, "dark", 390, 844)
    expect(phone.locator("#stage .frame img")).to_be_visible()
    save(phone, folder, "phone-dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs/screenshots")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures that were drawn before")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("no Chromium or Chrome on the PATH")
    with server(options.pictures) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
        take_all(browser, url, folder, [] if options.pictures else PROMPTS)
        browser.close()


if __name__ == "__main__":
    main()
