"""How the server starts modules of its own as child processes, wherever it was itself started from."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# What a terminal sends to everything that runs in it: Ctrl-C, its window closed, Ctrl-\.
FROM_TERMINALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_ROOT = Path(__file__).resolve().parents[2]


def command(module: str) -> tuple[str, ...]:
    """The start of a command line. `-P`: a server.py or json.py where the user happens to be is not ours."""
    return sys.executable, "-P", "-m", module


def environment(**variables: str) -> dict[str, str]:
    """This process's variables and `variables`, with which a child finds the same packages.

    An empty part of PYTHONPATH means the current folder to Python, so there is none.
    """
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, inherited)])} | variables


def leave_signals_to_server() -> None:
    """In a child: what a terminal sends goes to the whole group, and the server decides what ends."""
    for number in FROM_TERMINALS:
        signal.signal(number, signal.SIG_IGN)
