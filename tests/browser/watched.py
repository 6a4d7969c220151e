"""Pages that are watched for errors, and one of them that serves test after test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Error,
    Frame,
    Page,
    Response,
    ViewportSize,
)

# A page is painted before its scripts run; what is pressed by then is nobody's.
STARTED = """() => document.readyState === "complete" && (!document.querySelector("script[type=module]") ||
    "started" in document.documentElement.dataset || matchMedia("(scripting: none)").matches)"""


def _started_after(page: Page, go: Callable[..., Response | None]) -> Callable[..., Response | None]:
    def go_and_wait(*arguments: Any, **options: Any) -> Response | None:
        answer = go(*arguments, **options)
        page.wait_for_function(STARTED)
        return answer

    return go_and_wait


NO_SERVICE_WORKER = "Service Worker registration blocked by Playwright"  # as the contexts below ask for


class Watch:
    """What no page may ever do: open a dialog, break the Content-Security-Policy, throw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.expected: list[str] = []  # parts of messages that a test provokes on purpose

    def attach(self, page: Page) -> None:
        self.attach_to(page, lambda: self)

    @staticmethod
    def attach_to(page: Page, watching: Callable[[], Watch | None]) -> None:
        for name in ("goto", "reload", "go_back", "go_forward"):
            setattr(page, name, _started_after(page, getattr(page, name)))

        def told(note: Callable[[Watch, Any], None]) -> Callable[[Any], None]:
            return lambda event: (watch := watching()) and note(watch, event)

        page.on("console", told(Watch._on_console))
        page.on("pageerror", told(lambda watch, error: watch.seen.append(f"error: {error}")))
        page.on("dialog", told(Watch._on_dialog))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and message.text != NO_SERVICE_WORKER:
            self.seen.append(f"console: {message.text} ({message.location['url']})")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def verify(self) -> None:
        unexpected = [text for text in self.seen if not any(part in text for part in self.expected)]
        assert unexpected == [], unexpected


USUAL: dict[str, Any] = {
    "viewport": {"width": 1280, "height": 860},
    "reduced_motion": "reduce",
    "service_workers": "block",
}
LASTING = {  # what is done to a page and stays with it, or to its context, and cannot be taken back
    "page": ("expose_binding", "expose_function", "once", "set_extra_http_headers"),
    "clock": ("fast_forward", "install", "pause_at", "set_fixed_time", "set_system_time"),
    "context": ("add_cookies", "add_init_script", "close", "expect_page", "grant_permissions", "new_cdp_session",
                "new_page", "on", "route", "set_offline"),
}  # fmt: skip
_EMPTIED = """{
    localStorage.clear();
    sessionStorage.clear();
    for (const [name, value] of Object.entries(KEPT)) localStorage.setItem(name, JSON.stringify(value));
}"""

_KEPT = "for (const [name, value] of Object.entries(KEPT)) localStorage[name] ??= JSON.stringify(value);"


class Tab:
    """A page of a browser that serves one test after the other: opening another costs as much as what it shows.

    A test finds it empty, as if it were new. One that a test has changed for good is not used again. What the last test
    has left there is shown until the next one opens something.
    """

    def __init__(self, chromium: Browser) -> None:
        self._context = chromium.new_context(**USUAL)
        self.page = self._context.new_page()
        self._devtools = self._context.new_cdp_session(self.page)
        self._devtools.send("Page.enable")
        self.watch: Watch | None = None
        self.used = False  # by a test that has not ended
        self.spoilt = False
        self._undone: list[Callable[[], Any]] = []  # what takes back what a test has done to the page
        self._go = self.page.goto
        self._next: Watch | None = None  # of the test that has asked for a page which is not there yet
        self.page.on("framenavigated", self._on_navigated)
        Watch.attach_to(self.page, lambda: self.watch)
        for owner, names in ((self.page, "page"), (self.page.clock, "clock"), (self._context, "context")):
            for name in LASTING[names]:
                self._spoiling(owner, name)
        look = self.page.emulate_media  # to say it once more, though nothing changes, has all of a page laid out anew
        self._taking_back("emulate_media", lambda *_: look(color_scheme="null", reduced_motion="reduce"))
        self._taking_back("add_init_script", lambda done, _arguments: done.close())
        self._taking_back("on", lambda _done, arguments: self.page.remove_listener(*arguments))
        self._taking_back("route", lambda _done, _arguments: self.page.unroute_all(behavior="ignoreErrors"))

    def _spoiling(self, owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.spoilt = True
            return method(*arguments, **options)

        setattr(owner, name, call)

    def _taking_back(self, name: str, undo: Callable[[Any, tuple[Any, ...]], None]) -> None:
        method = getattr(self.page, name)

        def call(*arguments: Any, **options: Any) -> Any:
            done = method(*arguments, **options)
            self._undone.append(lambda: undo(done, arguments))
            return done

        setattr(self.page, name, call)

    def open(self, url: str, watch: Watch, kept: Mapping[str, Any], viewport: ViewportSize | None = None) -> Page:
        """`kept`: what the site finds in its localStorage, as JSON. For about:blank the tab rests, which costs less."""
        self.used = True
        if viewport:
            self.page.set_viewport_size(viewport)
        if url == "about:blank":
            self.rest()
            if kept:
                self.page.add_init_script(_KEPT.replace("KEPT", json.dumps(kept)))
            self.watch = watch
        else:
            source = _EMPTIED.replace("KEPT", json.dumps(kept))
            emptying = self._devtools.send("Page.addScriptToEvaluateOnNewDocument", {"source": source})
            self._next = watch  # what the last test's page still says is not its own
            self.page.goto(url)
            self._devtools.send("Page.removeScriptToEvaluateOnNewDocument", emptying)
        self._devtools.send("Page.resetNavigationHistory")
        return self.page

    def _on_navigated(self, frame: Frame) -> None:
        if self._next and frame == self.page.main_frame:
            self.watch, self._next = self._next, None

    def give_back(self) -> None:
        self.used, self.watch, self._next = False, None, None
        self.spoilt = self.spoilt or self.page.is_closed()
        if self.spoilt:
            return
        while self._undone:
            self._undone.pop()()
        for other in self._context.pages[1:]:
            other.close()
        self._context.clear_cookies()
        self.page.set_viewport_size(USUAL["viewport"])
        self.page.mouse.move(0, 0)

    def rest(self) -> None:
        """Show a file of the site that runs no scripts and asks its server for nothing, with nothing remembered."""
        origin = re.match(r"https?://[^/]+", self.page.url)
        if origin is None:
            return
        if self.page.url != (quiet := f"{origin[0]}/static/logo.svg"):
            try:
                self._go(quiet)
            except Error:  # the site has ended, and the browser's page that says so may be in the way of the next ones
                while self.page.url != "about:blank":
                    with suppress(Error):
                        self._go("about:blank")
                return
        self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")

    def close(self) -> None:
        self._context.close()
