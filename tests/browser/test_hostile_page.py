"""A page of somebody else's, open in the same browser on another port: it makes no job and reads not one byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.driver import QUIET, Site, chromium_path, make_picture

pytestmark = pytest.mark.browser

READABLE = [
    "/",
    "/jobs",
    "/images",
    "/models",
    "/settings",
    "/openapi.json",
    "/static/js/pages/studio.js",
    "/v1/models",
]
WRITABLE = ["/jobs", "/generate", "/v1/images/generations", "/sdapi/v1/txt2img", "/api/generate", "/unload"]


class _Page(BaseHTTPRequestHandler):
    """One empty page for every address, and no policy that would hold its scripts back."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>prizes</title>")

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of the other web site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def hostile(chromium: Browser, elsewhere: int) -> Iterator[Page]:
    """The other site's page; its errors are its own business, so nobody watches it."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{elsewhere}/")
    yield page
    context.close()


@pytest.fixture
def untouched(site: Site) -> Iterator[dict[str, Any]]:
    """What a visitor could have changed is afterwards as it was before."""
    before = _state(site)
    yield before
    assert _state(site) == before


def _state(site: Site) -> dict[str, Any]:
    paths = ("/jobs?limit=200", "/images", "/settings", "/models")
    state = {path: httpx.get(site.url + path).json() for path in paths}
    state["/models"].pop("disk_free_bytes")
    return state


# Each tells how many bytes it could read: 0 for an error, an opaque answer, or an element that stays empty.
_ATTEMPTS = """async (url) => {
    const element = (tag, fields) => new Promise((resolve) => {
        const made = Object.assign(document.createElement(tag), fields);
        const size = () => tag === "script" || made.naturalWidth || made.videoWidth || made.sheet?.cssRules.length;
        made.onload = made.onloadeddata = () => resolve(size());
        made.onerror = () => resolve(0);
        document.body.append(made);
    });
    const framed = (tag, fields) => new Promise((resolve) => {
        const made = Object.assign(document.createElement(tag), fields);
        made.onload = () => {
            try { resolve(made.contentDocument.body.innerHTML.length); } catch { resolve(0); }
        };
        made.onerror = () => resolve(0);
        document.body.append(made);
    });
    const fetched = async (options) => {
        try { return (await (await fetch(url, options)).text()).length; } catch { return 0; }
    };
    const streamed = () => new Promise((resolve) => {
        const source = new EventSource(url);
        source.onmessage = source.onopen = () => resolve(1);
        source.addEventListener("hello", () => resolve(1));
        source.onerror = () => { source.close(); resolve(0); };
    });
    const attempts = {
        cors: fetched({}),
        credentials: fetched({ credentials: "include" }),
        opaque: fetched({ mode: "no-cors" }),
        head: fetched({ method: "HEAD" }),
        image: element("img", { src: url }),
        script: element("script", { src: url }),
        module: element("script", { src: url, type: "module" }),
        style: element("link", { href: url, rel: "stylesheet" }),
        video: element("video", { src: url }),
        frame: framed("iframe", { src: url }),
        object: framed("object", { data: url }),
        events: streamed(),
    };
    const read = {};
    for (const [name, attempt] of Object.entries(attempts)) read[name] = Number(await attempt);
    return read;
}"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_can_be_read(site: Site, hostile: Page, host: str) -> None:
    picture = make_picture(site, "nobody else's business")
    paths = [*READABLE, f"/images/{picture}.png", f"/images/{picture}/thumbnail", f"/i/{picture}", "/events"]
    read = hostile.evaluate(
        f"(urls) => Promise.all(urls.map({_ATTEMPTS}))", [f"http://{host}:{site.port}{path}" for path in paths]
    )
    found = dict(zip(paths, read, strict=True))
    assert len(found["/"]) == 12
    assert [(path, name) for path, sizes in found.items() for name, size in sizes.items() if size] == []


_WRITES = """async ([urls, prompt]) => {
    const json = JSON.stringify({ prompt, steps: 1, width: 64, height: 64 });
    const types = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""];
    const bodies = types.map((type) => new Blob([json], { type }));
    const readable = [];
    for (const url of urls)
        for (const mode of ["cors", "no-cors"])
            for (const body of [json, ...bodies, new URLSearchParams({ prompt }), new FormData()])
                try {
                    const answer = await fetch(url, { method: "POST", mode, body, credentials: "include" });
                    readable.push(...(await answer.text()));
                } catch {}
    for (const url of urls) for (const body of [json, ...bodies]) try { navigator.sendBeacon(url, body); } catch {}
    for (const [method, path] of [["DELETE", ""], ["PATCH", ""], ["PUT", ""]])
        for (const url of urls) try { await fetch(url, { method, body: json }); } catch {}
    return readable.length;
}"""

_FORMS = """async ([urls, prompt]) => {
    const loads = [];
    for (const url of urls)
        for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
            const frame = document.createElement("iframe");
            frame.name = `f${loads.length}`;
            loads.push(new Promise((resolve) => setTimeout(resolve, 300)));
            document.body.append(frame);
            const form = Object.assign(document.createElement("form"), { action: url, method: "POST", enctype });
            form.target = frame.name;
            const field = document.createElement("input"); // as text/plain this is whole JSON
            field.name = `{"prompt": "${prompt}", "steps": 1, "unused": "`;
            field.value = '"}';
            form.append(field);
            document.body.append(form);
            form.submit();
        }
    await Promise.all(loads);
}"""


def test_nothing_can_be_made_or_changed(site: Site, hostile: Page, untouched: dict[str, Any]) -> None:
    assert untouched
    urls = [f"http://127.0.0.1:{site.port}{path}" for path in WRITABLE]
    assert hostile.evaluate(_WRITES, [urls, "made by a stranger"]) == 0
    hostile.evaluate(_FORMS, [urls, "made by a stranger"])
    hostile.wait_for_timeout(500)  # beacons and forms are sent when the browser gets to it


def test_a_form_that_replaces_the_page_gets_a_refusal(site: Site, hostile: Page, untouched: dict[str, Any]) -> None:
    assert untouched
    with hostile.expect_navigation() as navigation:
        hostile.evaluate(
            """(url) => {
                const form = Object.assign(document.createElement("form"), { action: url, method: "POST" });
                document.body.append(form);
                form.submit();
            }""",
            f"{site.url}/unload",
        )
    answer = navigation.value
    assert answer is not None
    assert answer.status == 403


def test_no_socket_opens(site: Site, hostile: Page) -> None:
    opened = hostile.evaluate(
        """(url) => new Promise((resolve) => {
            const socket = new WebSocket(url);
            socket.onopen = () => resolve(true);
            socket.onclose = () => resolve(false);
        })""",
        f"ws://127.0.0.1:{site.port}/events",
    )
    assert opened is False


def test_a_link_works_and_tells_the_other_page_nothing(site: Site, hostile: Page) -> None:
    with hostile.context.expect_page() as opening:
        hostile.evaluate("(url) => { window.ours = window.open(url); }", f"{site.url}/gallery")
    opened = opening.value
    opened.wait_for_load_state()
    assert opened.locator("h1").first.text_content()
    assert opened.evaluate("window.opener") is None
    assert hostile.evaluate("(() => { try { return window.ours.document.title } catch { return null } })()") is None


@pytest.fixture
def rebound(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser for which the attacker's name has turned into this computer's address."""
    rule = "--host-resolver-rules=MAP rebound.example 127.0.0.1"
    # newer browsers ask the user as well; the server must not need that
    alone = "--disable-features=LocalNetworkAccessChecks"
    browser = chromium.browser_type.launch(executable_path=chromium_path(), args=[*QUIET, rule, alone])
    yield browser.new_context()
    browser.close()


def test_a_rebound_name_gets_nothing(site: Site, rebound: BrowserContext, untouched: dict[str, Any]) -> None:
    """The page came from the attacker's server; then its name became this computer's, and all is one origin."""
    assert untouched
    page = rebound.new_page()
    page.route("**/prizes", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"http://rebound.example:{site.port}/prizes")
    answers = page.evaluate(
        """async ([readable, writable]) => {
            const answers = [];
            const add = async (answer) => answers.push([answer.status, (await answer.text()).length]);
            for (const path of readable) await add(await fetch(path));
            const headers = { "Content-Type": "application/json" };
            for (const path of writable) await add(await fetch(path, { method: "POST", headers, body: "{}" }));
            return answers;
        }""",
        [[*READABLE, "/events"], WRITABLE],
    )
    assert answers == [[421, 0]] * (len(READABLE) + 1 + len(WRITABLE))
