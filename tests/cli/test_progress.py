"""What a terminal and a log are told while a picture is drawn."""

from __future__ import annotations

import io
import typing

import pytest

from bonsai_mlx.cli.progress import ProgressLine, progress_text, suppress_progress
from bonsai_mlx.result import Event, Phase

RUN = [
    Event("load", 0, 1, 0.0),
    Event("encode", 1, 2, 0.5),
    Event("encode", 2, 2, 1.0),
    Event("encode image", 3, 3, 1.5),
    Event("load", 1, 1, 2.0),
    Event("denoise", 1, 2, 3.0),
    Event("denoise", 2, 2, 4.0),
    Event("decode", 1, 1, 4.5),
    Event("done", 1, 1, 4.5),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_for_each_phase_with_its_time() -> None:
    log = io.StringIO()
    with ProgressLine(log) as line:
        for event in RUN:
            line.show(event)
    assert log.getvalue().splitlines() == [
        "Reading the prompt: 1.0 s",
        "Looking at it: 0.5 s",
        "Loading: 0.5 s",
        "Drawing: 2.0 s",
        "Developing: 0.5 s",
    ]


def test_a_terminal_has_one_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with ProgressLine(terminal) as line:
        line.show(RUN[5])
        assert terminal.getvalue().startswith("\rDrawing            [############............] 1/2  3.0 s")
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_every_phase_has_words() -> None:
    for phase in typing.get_args(Phase):
        words = progress_text(Event(phase, 1, 4, 1.0))
        assert words == "" if phase == "done" else words[0].isupper()


def test_nothing_is_said_where_nothing_is_wanted() -> None:
    with suppress_progress() as line:
        for event in RUN:
            line.show(event)
