"""Firefox as it comes, driven over WebDriver BiDi: Playwright drives a build of its own only."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

STARTS_WITHIN_S = 60
SPARED = {  # of what it does by itself at a start, and no page of ours needs
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.ipc.processPrelaunch.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "fission.autostart": False,
    "media.rdd-process.enabled": False,
    "network.process.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
ANSWERS_WITHIN_S = 120
_LISTENS = "WebDriver BiDi listening on "
_MIDDLE = """selector => {
    const element = document.querySelector(selector);
    element.scrollIntoView({ block: "center" });
    const { left, top, width, height } = element.getBoundingClientRect();
    return JSON.stringify([left + width / 2, top + height / 2].map(Math.round));
}"""


class Firefox:
    """One window of a Firefox with a profile of its own. `said` is what its pages wrote on the console, errors too."""

    def __init__(self, program: str, profile: Path) -> None:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in SPARED.items()]
        (profile / "user.js").write_text("".join(lines))
        self._process = subprocess.Popen(
            [
                program,
                "--headless",
                "--no-remote",
                "--profile",
                str(profile),
                "--remote-debugging-port=0",
                "about:blank",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._numbers = count(1)
        self.said: list[str] = []
        self._connection = ExitStack()
        self._socket = self._connection.enter_context(connect(f"{self._address()}/session", max_size=None))
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self._context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def _address(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith(_LISTENS):
                return line.removeprefix(_LISTENS).strip()
        raise AssertionError("Firefox ended without an address")

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.communicate(timeout=30)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's result; what its pages say meanwhile is noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=ANSWERS_WITHIN_S))
            if answer.get("method") == "log.entryAdded":
                entry = answer["params"]
                if entry["level"] in ("warn", "error"):
                    self.said.append(f"{entry['level']}: {entry['text']}")
            elif answer.get("id") == number:
                assert answer["type"] == "success", answer
                result: dict[str, Any] = answer["result"]
                return result

    def resize(self, width: int, height: int = 860) -> None:
        size = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=self._context, viewport=size)

    def open(self, url: str, width: int = 1280) -> None:
        self.resize(width)
        self.ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """A string, number or boolean."""
        target = {"context": self._context}
        answer = self.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(expression)
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """With a pointer, in the element's middle."""
        x, y = json.loads(self.evaluate(f"({_MIDDLE})({json.dumps(selector)})"))
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        move = {"type": "pointerMove", "x": x, "y": y}
        self._act({"type": "pointer", "id": "mouse", "actions": [move, down, up]})

    def press(self, keys: str) -> None:
        """Each letter, one after the other."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keyboard", "actions": actions})

    def _act(self, actions: dict[str, Any]) -> None:
        self.ask("input.performActions", context=self._context, actions=[actions])

    def screenshot(self) -> bytes:
        return base64.b64decode(self.ask("browsingContext.captureScreenshot", context=self._context)["data"])
