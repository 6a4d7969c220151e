"""The chat template of a checkpoint: makes of a prompt the text that the tokenizer reads.

A template is code from a download. The ones that the catalog pins, and the seedlings' own, are rendered here; any other
in a child process that is ended when it takes too long or too much memory (`template_sandbox`), since one line of
Jinja can ask for hours or for all there is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any

import psutil
from jinja2 import Template

from ..errors import CheckpointError
from ..hub.published import CATALOG
from . import template_sandbox
from .template_sandbox import MAX_CPU_S, MAX_MEMORY_BYTES

_FILE = "tokenizer/chat_template.jinja"
_PROGRAM = (sys.executable, "-P", template_sandbox.__file__)  # -P: a json.py beside it is not meant
_PATIENCE_S = 4 * MAX_CPU_S  # on a busy machine; also for a template that sleeps, if there were a way to
_LOOK_S = 0.05
_REPAIR = "download the checkpoint again"


class ChatTemplate:
    """One template. CheckpointError, when it is made, for one that does not compile."""

    def __init__(self, text: str, source: Path) -> None:
        self._text = text
        self._source = source  # for messages
        self._known = _is_known(text)
        if not self._known:
            self._ask(None)

    @cached_property
    def _compiled(self) -> Template:
        return template_sandbox.compile_template(self._text)

    def render(self, prompt: str, special_tokens: Mapping[str, str]) -> str:
        """`prompt` as one user turn, with the beginning of the answer. CheckpointError if the template fails."""
        variables = {
            "messages": [{"role": "user", "content": prompt}],
            "add_generation_prompt": True,
            "enable_thinking": False,
            **special_tokens,
        }
        return self._compiled.render(variables) if self._known else str(self._ask(variables)["text"])

    def _ask(self, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = _in_child({"template": self._text, "variables": variables})
        if "error" in answer:
            fault = "is damaged" if answer["damaged"] else "fails"
            raise CheckpointError(f"{self._source}: the chat template {fault} ({answer['error']}); {_REPAIR}")
        return answer


def _in_child(request: Mapping[str, Any]) -> dict[str, Any]:
    over = threading.Event()
    with subprocess.Popen(_PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        threading.Thread(target=_end_beyond_limits, args=(child, over), daemon=True).start()
        try:
            written, _ = child.communicate(json.dumps(request).encode())
        finally:
            over.set()
    with suppress(ValueError):
        answer: dict[str, Any] = json.loads(written)
        return answer
    limits = f"{MAX_CPU_S} s or {MAX_MEMORY_BYTES >> 20} MB"
    return {"error": f"it takes more than {limits}", "damaged": request["variables"] is None}


def _end_beyond_limits(child: subprocess.Popen[bytes], over: threading.Event) -> None:
    """What the child limits itself, once more from outside: macOS does not keep to a limit of memory."""
    until = time.monotonic() + _PATIENCE_S
    while not over.wait(_LOOK_S):
        if _resident_bytes(child.pid) > MAX_MEMORY_BYTES or time.monotonic() > until:
            child.kill()
            return


def _resident_bytes(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _is_known(text: str) -> bool:
    return _blob_id(text.encode(errors="surrogatepass")) in _known_ids()


@cache
def _known_ids() -> frozenset[str]:
    pinned = {file.digest for entry in CATALOG for file in entry.files if file.path == _FILE and file.digest}
    shipped = [
        place / _FILE
        for entry in CATALOG
        if (folder := entry.embedded_folder)
        for place in (folder, folder.parent / "common")
    ]
    return frozenset(pinned | {_blob_id(path.read_bytes()) for path in shipped if path.is_file()})


def _blob_id(data: bytes) -> str:
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
