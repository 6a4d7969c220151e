#!/usr/bin/env python3
"""Measures the gallery with thousands of pictures, in Chromium on a real server: scrolling, and many at once.

Prints, while all of them are scrolled through, the longest frame by the clock and, from Chromium's trace, the most that
the page's thread worked for a frame, with how many took more than 50 ms; then the longest task of the page and the
longest wait for /health while hundreds are selected, packed and deleted. Bars: 50 ms a frame. By the clock a busy
machine makes long frames of short work; in the trace only the time on a processor counts. Needs Playwright, Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from bonsai_mlx.images.metadata import Recipe, encode_png
from bonsai_mlx.images.recipe import timestamp

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ((512, 512), (768, 512), (512, 768), (640, 512))
FRAMES = """async () => {
    const deltas = [];
    let last = performance.now(), still = 0, position = -1;
    while (still < 120) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        deltas.push(now - last);
        last = now;
        window.scrollBy(0, 60);
        still = position === window.scrollY ? still + 1 : 0;
        position = window.scrollY;
    }
    deltas.sort((a, b) => a - b);
    const at = (share) => deltas[Math.floor((deltas.length - 1) * share)];
    return [at(0.5), at(0.99), at(1), deltas.length, deltas.filter((delta) => delta > 50).length];
}"""


def fill(folder: Path, count: int, per_day: int) -> None:
    """As many files as pictures, a few of them drawn, each with a recipe of its own."""
    drawn = [Image.radial_gradient("L").resize(size).convert("RGB") for size in SHAPES]
    now = time.time()
    for number in range(count):
        picture, at = drawn[number % len(drawn)], now - number * 86_400 / per_day
        recipe = Recipe(
            prompt=f"picture {number} of many", seed=number, steps=4, width=picture.width, height=picture.height,
            variant="ternary", model="ternary", created_at=timestamp(at),
        )  # fmt: skip
        file = folder / f"{number:032x}.png"
        file.write_bytes(encode_png(picture, recipe))
        os.utime(file, (at, at))


@contextmanager
def server(folder: Path) -> Iterator[str]:
    options = ["--no-browser", "--port", "0", "--output", str(folder), "--models-dir", str(folder / ".models")]
    process = subprocess.Popen([sys.executable, "-m", "server", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(word for word in process.stdout.readline().split() if word.startswith("http://"))
    finally:
        process.terminate()
        process.wait(timeout=30)


def entered(url: str, count: int) -> None:
    """Wait until the server has looked at every file."""
    while True:
        with urllib.request.urlopen(f"{url}/images?limit=1", timeout=60) as answer:  # noqa: S310  (our own server)
            if json.load(answer)["total"] == count:
                return
        time.sleep(0.2)


@contextmanager
def watched(url: str, waits: list[float]) -> Iterator[None]:
    """Ask for /health fifty times a second, and note how long each answer takes, in milliseconds."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            started = time.perf_counter()
            urllib.request.urlopen(f"{url}/health", timeout=30).close()  # noqa: S310  (our own server)
            waits.append((time.perf_counter() - started) * 1e3)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def opened(page: Page, url: str) -> None:
    """At its top: the same address again would be a reload, which leads to where one was."""
    page.goto("about:blank")
    page.goto(f"{url}/gallery")
    expect(page.locator("#engine-mark")).to_be_visible()


def work_in_frames(trace: bytes) -> list[float]:
    """Milliseconds of a processor that the page's thread took from one animation frame to the next."""
    events = json.loads(trace)["traceEvents"]
    frames = [event for event in events if event["name"] == "FireAnimationFrame"]
    [(thread, _)] = Counter((event["pid"], event["tid"]) for event in frames).most_common(1)
    begun = sorted(event["ts"] for event in frames if (event["pid"], event["tid"]) == thread)
    tasks = [event for event in events if "tdur" in event and (event["pid"], event["tid"]) == thread]
    work, over = [0.0] * (len(begun) + 1), 0
    for task in sorted(tasks, key=lambda event: (event["ts"], -event["dur"])):
        if task["ts"] >= over:  # not a part of the one before
            over = task["ts"] + task["dur"]
            work[bisect(begun, task["ts"])] += task["tdur"] / 1e3
    return work[1:-1]


def scroll(page: Page, url: str, count: int) -> None:
    """All the way down with thumbnails that have to be made, with every page still to be loaded, and once more."""
    browser = page.context.browser
    assert browser
    for what in ("while its thumbnails are made", "while it is loaded", "once it is there"):
        if what != "once it is there":
            opened(page, url)
        page.evaluate("window.scrollTo(0, 0)")
        browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
        median, p99, most, frames, long = page.evaluate(FRAMES)
        work = sorted(work_in_frames(browser.stop_tracing()))
        print(
            f"scrolling {count} {what}: {frames} frames, median {median:.1f} ms, p99 {p99:.1f}, most {most:.1f}, "
            f"{long} above 50 ms; load {os.getloadavg()[0]:.1f}\n  the page's work for each: median "
            f"{work[len(work) // 2]:.1f} ms, p99 {work[int(len(work) * 0.99)]:.1f}, most {work[-1]:.1f}, "
            f"{sum(each > 50 for each in work)} above 50 ms"
        )


def many(page: Page, url: str, count: int, folder: Path) -> None:
    """Select, pack and delete."""
    opened(page, url)
    page.evaluate(
        "window.tasks = []; new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)))"
        ".observe({entryTypes: ['longtask']})"
    )
    while page.locator(".print[data-id]").count() < count:
        page.locator("#more-area").scroll_into_view_if_needed()
        page.wait_for_timeout(50)
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.locator(".print-link").first).to_be_visible()
    page.locator(".print-check").first.click(force=True)
    waits: list[float] = []
    with watched(url, waits):
        started = time.perf_counter()
        page.locator(".print").nth(count - 1).click(modifiers=["Shift"])
        expect(page.locator("#selected-count")).to_have_text(f"{count} pictures selected")
        print(f"selecting {count}: {time.perf_counter() - started:.2f} s")
        started = time.perf_counter()
        with page.expect_download() as download:
            page.locator("#download-selected").click()
        download.value.save_as(folder / "many.zip")
        size = (folder / "many.zip").stat().st_size
        print(f"one ZIP file of {size / 1e6:.0f} MB: {time.perf_counter() - started:.2f} s")
        expect(page.locator("#selected-count")).to_have_text(f"{count} pictures selected")  # for what comes next
        started = time.perf_counter()
        page.locator("#delete-selected").click()
        expect(page.get_by_text(f"{count} pictures deleted.")).to_be_visible(timeout=60_000)
        print(f"deleting them: {time.perf_counter() - started:.2f} s")
    longest = page.evaluate("Math.max(0, ...window.tasks)")
    print(f"longest task of the page {longest:.0f} ms; /health meanwhile: most {max(waits):.0f} ms of {len(waits)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=5_000)
    parser.add_argument("--select", type=int, default=500)
    parser.add_argument("--per-day", type=int, default=60)
    options = parser.parse_args()
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("no Chromium or Chrome on the PATH")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        fill(folder, options.pictures, options.per_day)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
        with server(folder) as url:
            page = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True).new_page()
            entered(url, options.pictures)
            scroll(page, url, options.pictures)
            many(page, url, options.select, folder)
        browser.close()


if __name__ == "__main__":
    main()
