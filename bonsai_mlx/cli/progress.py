"""The progress of a picture on a terminal, or in a log."""

from __future__ import annotations

import shutil
from typing import TextIO

from ..result import Event
from ..runtime.environment import is_terminal

_PHASES = {
    "enlarge": "Enlarging",
    "load": "Loading",
    "encode": "Reading the prompt",
    "encode image": "Looking at it",
    "denoise": "Drawing",
    "decode": "Developing",
}
_BAR_CHARS = 24


class ProgressLine:
    """On a terminal one line that is kept up to date; in a log a line for each phase that is over."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._terminal = stream is not None and is_terminal(stream)
        self._seen_s = self._phase_s = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._stream:
            self._stream.write("\r\x1b[K")

    def show(self, event: Event) -> None:
        """Tell of one event. An event comes after its work, so the time before it is its phase's."""
        if self._stream is None:
            return
        self._phase_s += event.elapsed_s - self._seen_s
        self._seen_s = event.elapsed_s
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{progress_text(event)[:width]}\x1b[K")
        if event.step == event.steps:
            if not self._terminal and event.phase != "done":
                self._stream.write(f"{_PHASES[event.phase]}: {self._phase_s:.1f} s\n")
            self._phase_s = 0.0
        self._stream.flush()


def suppress_progress() -> ProgressLine:
    return ProgressLine(None)


def progress_text(event: Event) -> str:
    """ "Drawing  [############............] 2/4  1.3 s"."""
    if event.phase == "done":
        return ""
    share = event.step / event.steps if event.steps else 0.0
    bar = ("#" * int(share * _BAR_CHARS)).ljust(_BAR_CHARS, ".")
    return f"{_PHASES[event.phase]:<18} [{bar}] {event.step}/{event.steps}  {event.elapsed_s:.1f} s"
