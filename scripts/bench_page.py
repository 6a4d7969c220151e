#!/usr/bin/env python3
"""How soon the pages are painted, what they weigh and how much they move while they load, in Chromium on a real server.

    .venv/bin/python scripts/bench_page.py --repeats 15

Every visit is a browser's first one: nothing is kept from the visit before. Bars: first paint under 200 ms, the page
without pictures under 120 kB, a layout shift of at most 0.02. A busy machine paints late, so the least and the median
of all visits are printed. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench_gallery import entered, fill, server

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATHS = ("/", "/gallery", "/i/" + "0" * 32, "/model-manager", "/preferences")
SETTLED_MS = 600
SEEN = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN;
    const others = performance.getEntriesByType("resource").filter(({ name, initiatorType }) =>
        initiatorType !== "img" && !/\\.(webp|png|svg)|thumbnail|\\/events$/.test(name));
    const bytes = [page, ...others].reduce((sum, one) => sum + one.encodedBodySize, 0);
    const sheets = others.filter(({ name }) => /\\.css/.test(name));
    return { answer: page.responseStart, html: page.responseEnd, paint, ready: page.domContentLoadedEventEnd,
             styled: Math.max(...sheets.map(({ responseEnd }) => responseEnd)),
             requests: others.length + 1, bytes, shift: window.shift };
}"""
WATCH_SHIFT = """window.shift = 0; new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


def visit(browser: Browser, address: str, size: tuple[int, int]) -> dict[str, Any]:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, service_workers="block")
    page = context.new_page()
    page.add_init_script(WATCH_SHIFT)
    page.goto(address)
    page.wait_for_timeout(SETTLED_MS)
    seen: dict[str, Any] = page.evaluate(SEEN)
    context.close()
    return seen


def rendered_ms(address: str, repeats: int) -> float:
    """From the request to the last byte of the page as HTML, the least."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        urllib.request.urlopen(address, timeout=30).read()  # noqa: S310  (our own server)
        taken.append(1e3 * (time.perf_counter() - started))
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--size", default="1280x680")
    parser.add_argument("paths", nargs="*", default=PATHS)
    options = parser.parse_args()
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("no Chromium or Chrome on the PATH")
    width, _, height = options.size.partition("x")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        fill(Path(name), options.pictures, 60)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; {options.repeats} first visits each, ms")
        with server(Path(name)) as url:
            entered(url, options.pictures)
            for path in options.paths:
                seen = [visit(browser, url + path, (int(width), int(height))) for _ in range(options.repeats)]
                paints = [one["paint"] for one in seen]
                print(
                    f"{path[:14]:14} first paint: least {min(paints):.0f}, median {statistics.median(paints):.0f}, "
                    f"most {max(paints):.0f}; HTML {rendered_ms(url + path, options.repeats):.0f} alone, "
                    f"{statistics.median(one['html'] for one in seen):.0f} here, styles "
                    f"{statistics.median(one['styled'] for one in seen):.0f}; "
                    f"scripts ready {statistics.median(one['ready'] for one in seen):.0f}; "
                    f"{seen[0]['requests']} requests, {seen[0]['bytes'] / 1e3:.1f} kB; "
                    f"shift {max(one['shift'] for one in seen):.4f}"
                )
        browser.close()


if __name__ == "__main__":
    main()
