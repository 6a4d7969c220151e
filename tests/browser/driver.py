"""A real server with the embedded seedling, and Chromium on it. Every page of every test is watched for errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    expect,
    sync_playwright,
)

from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub.catalog import lookup
from tests.browser.patience import be_patient
from tests.browser.watched import USUAL, Tab, Watch
from tests.stand_in import as_downloaded

ROOT = Path(__file__).resolve().parents[2]
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync",
         "--in-process-gpu", "--js-flags=--single-threaded"]  # fmt: skip  # the last two: a fifth of a page's load
DRAWN_WITHIN_MS = 300_000  # the seedling takes half a second; a busy machine gives the engine, which is nice, little
LASTING_STEPS = 100  # as many as there may be: a job that outlasts a reload of the page
LASTING_SIDE = 128  # pixels: each step is short, so that it ends soon once it is cancelled
SMALL = {"size": {"width": 64, "height": 64}, "size-model": "seedling-ternary"}  # drawn in a quarter of the time

be_patient()


def missing(what: str) -> Any:
    """Without its tools a test is skipped, but never unnoticed where everything has to run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed for the tests in a browser")
    pytest.skip(f"no {what} here")


class Site:
    """`python -m server` in a process of its own, or another `program` that is one."""

    def __init__(self, folder: Path, port: int = 0, program: tuple[str, str] = ("-m", "server")) -> None:
        self.folder = folder
        self.program = program
        self.start(port)

    def start(self, port: int) -> None:
        options = ["--no-browser", "--port", str(port), "--output", str(self.folder / "out")]
        options += ["--models-dir", str(self.folder / "models"), "--loras", str(self.folder / "loras")]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *self.program, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        said = re.search(r"http://\S+:(\d+)", line)
        assert said, line
        self.url = said[0]
        self.port = int(said[1])
        self.await_health()

    def await_health(self) -> None:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()  # noqa: S310  (our own server)
            except urllib.error.HTTPError:
                return  # it wants its token
            except OSError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("the server does not answer")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)

    def engines(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        engines = [child for child in alive if "server.engine.child" in child.cmdline()]
        assert engines
        return engines

    def kill_engine(self) -> None:
        """As the system does when memory runs out."""
        for engine in self.engines():
            engine.kill()

    @contextmanager
    def engine_held(self) -> Iterator[None]:
        """What is asked for meanwhile is begun and not drawn, at no cost; there has to be an engine."""
        engines = self.engines()
        for engine in engines:
            engine.suspend()
        try:
            yield
        finally:
            for engine in engines:
                engine.resume()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both large models seem to be here: their shapes and sizes are offered, and small random weights draw noise."""
    folder = tmp_path_factory.mktemp("large-site")
    for name in ("ternary", "binary"):
        make_checkpoint(folder / "models" / name, "tiny", name)
        as_downloaded(folder / "models" / name, lookup(name))
    running = Site(folder)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def left_idle(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves to be drawn would be on the next one's stage, and take its processor."""
    names = ("site", "large_site")
    sites: list[Site] = [request.getfixturevalue(name) for name in names if name in request.fixturenames]
    yield
    for running in sites:
        unfinished = urllib.request.Request(f"{running.url}/jobs", method="DELETE")  # noqa: S310  (our own server)
        urllib.request.urlopen(unfinished, timeout=60).close()  # noqa: S310
        while json.load(urllib.request.urlopen(f"{running.url}/memory", timeout=60))["worker"] == "busy":  # noqa: S310
            time.sleep(0.05)


def chromium_path() -> str:
    """The browser without a window comes first: the same pages cost it half of the processor's time."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None) or str(missing("Chromium"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=QUIET)
        yield browser
        browser.close()


def with_modules(page: Page) -> None:
    """Have every script by itself from now on, so that a test can import those which the page runs."""

    def single(route: Route) -> None:
        body = 'await import("./NAME.js"); document.documentElement.dataset.started = "";'
        name = re.sub(r".*/(\w+)\+\.js.*", r"\1", route.request.url)
        route.fulfill(content_type="text/javascript", body=body.replace("NAME", name))

    page.route(re.compile(r"/js/pages/\w+\+\.js"), single)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watching = Watch()
    yield watching
    watching.verify()


@pytest.fixture(scope="session")
def tabs(chromium: Browser) -> Iterator[list[Tab]]:
    """The one that is used again and again, if there is one yet."""
    kept: list[Tab] = []
    yield kept
    for tab in kept:
        tab.close()


@pytest.fixture
def open_page(chromium: Browser, tabs: list[Tab], watch: Watch) -> Iterator[Callable[..., Page]]:
    """A function that opens an address, in a browser of its own with Playwright's options of a context.

    The first is the tab that tests share, unless `fresh` or options beside the size are asked for; `anew`, so is a
    further one, in place of the first. The site finds in it what it has `kept` in localStorage.
    """
    contexts: list[BrowserContext] = []

    def give_back() -> None:
        for tab in [tab for tab in tabs if tab.used]:
            tab.give_back()
            if tab.spoilt:
                tab.close()
                tabs.remove(tab)

    def open_new(
        url: str, *, kept: Mapping[str, Any] | None = None, fresh: bool = False, anew: bool = False, **options: Any
    ) -> Page:
        if anew:
            give_back()
        if options.keys() <= {"viewport"} and not (fresh or contexts or any(tab.used for tab in tabs)):
            if not tabs:
                tabs.append(Tab(chromium))
            return tabs[0].open(url, watch, kept or {}, **options)
        for tab in tabs:
            if not tab.used:
                tab.rest()
        if kept:
            items = [{"name": name, "value": json.dumps(value)} for name, value in kept.items()]
            options["storage_state"] = {"origins": [{"origin": url, "localStorage": items}]}
        context = chromium.new_context(**(USUAL | options))
        contexts.append(context)
        page = context.new_page()
        watch.attach(page)
        page.goto(url)
        return page

    yield open_new
    for context in contexts:
        context.close()
    give_back()


@pytest.fixture
def studio(site: Site, open_page: Callable[..., Page]) -> Page:
    """The studio, ready to draw small pictures."""
    page = open_page(site.url, kept=SMALL)
    wait_until_ready(page)
    return page


def wait_until_ready(page: Page) -> None:
    """The models and their sizes are known: Generate would be accepted."""
    expect(page.locator("[name=aspect][value='1:1']")).to_be_attached()


def resize(page: Page, width: int, height: int) -> None:
    """And let the page's scripts see to it."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("() => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(() => seen())))")


def draw(page: Page, prompt: str, *, steps: int = 1) -> None:
    """Ask for a picture and do not wait for it. Many steps make a job that lasts."""
    page.get_by_label("Describe the picture").fill(prompt)
    if steps == LASTING_STEPS:
        make_it_last(page)
    else:
        page.get_by_label("Steps").fill(str(steps))
    page.get_by_role("button", name="Generate").click()


def make_it_last(page: Page) -> None:
    """What is asked for next takes its time."""
    page.locator("#steps").fill(str(LASTING_STEPS))
    if page.locator("#custom-size").is_visible():
        for side in ("#width", "#height"):
            page.locator(side).fill(str(LASTING_SIDE))


def drawn(page: Page, prompt: str) -> None:
    """Wait until the stage shows the finished picture of this prompt, which no other picture of the site has."""
    picture = page.locator("#stage .frame a").get_by_role("img", name=prompt, exact=True)
    expect(picture).to_be_visible(timeout=DRAWN_WITHIN_MS)
    expect(page.locator("#cancel")).to_have_count(0)


def drag_slider(page: Page) -> None:
    """Take the knob in the middle of two compared pictures and pull it to the right."""
    page.locator(".wipe").scroll_into_view_if_needed()
    box = page.locator(".wipe").bounding_box()
    assert box is not None
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle, height)
    page.mouse.down()
    page.mouse.move(middle + 0.3 * box["width"], height, steps=3)
    page.mouse.up()
    assert 79 <= int(page.get_by_role("slider").input_value()) <= 81


def posted(site: Site, path: str, body: dict[str, Any]) -> Any:
    """The answer to a request over the interface."""
    request = urllib.request.Request(  # noqa: S310  (our own server)
        site.url + path, json.dumps(body).encode(), {"Content-Type": "application/json", "Accept": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DRAWN_WITHIN_MS / 1000) as answer:  # noqa: S310
        return json.load(answer)


def make_picture(site: Site, prompt: str, **fields: Any) -> str:
    """Draw over the interface, small and quick; the picture's id."""
    body = json.dumps({"prompt": prompt, "steps": 1, "width": 64, "height": 64, **fields}).encode()
    request = urllib.request.Request(  # noqa: S310  (our own server)
        f"{site.url}/generate", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DRAWN_WITHIN_MS / 1000) as response:  # noqa: S310
        return str(response.headers["X-Image-Id"])


def delete_picture(site: Site, picture: str) -> None:
    request = urllib.request.Request(f"{site.url}/images/{picture}", method="DELETE")  # noqa: S310  (our own server)
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310
