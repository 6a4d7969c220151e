"""A small script in the place of the child that downloads, and what the server and the script say."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from server.checkpoints.models import Models
from server.store import NAME
from tests.server.conftest import LiveServer

Serve = Callable[..., LiveServer]

# Writes a byte count into `progress` beside itself every 20 ms, up to 20. Beside it, `held` keeps it at 10 while it
# exists, so that no test has to be quicker than it, and `failing` ends it there. What `noise` holds is printed at 5.
SCRIPT = """
    import json, pathlib, sys, time
    here = pathlib.Path(__file__).parent
    action, name, *rest = sys.argv[1:]
    (here / "calls").open("a").write(json.dumps([action, name, *rest]) + "\\n")
    progress = here / "progress"
    done = int(progress.read_text()) if progress.exists() and action == "download" else 0
    while done < 20:
        time.sleep(0.02)
        done += not (done == 10 and (here / "held").exists())
        (here / "next").write_text(str(done))
        (here / "next").replace(progress)
        event = {"file": "model.safetensors", "bytes_done": done, "bytes_total": 20}
        event |= {"speed_bytes_s": 50.0, "eta_s": 1.0}
        print(json.dumps(event), flush=True)
        if done == 5 and (here / "noise").exists():
            sys.stdout.buffer.write((here / "noise").read_bytes())
            sys.stdout.flush()
        if done == 10 and (here / "failing").exists():
            print(json.dumps({"error": "the network went away"}), flush=True)
            sys.exit(1)
"""


@pytest.fixture
def downloader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the script that all servers of a test use as their downloader."""
    script = tmp_path / "downloader" / "download.py"
    script.parent.mkdir()
    script.write_text(textwrap.dedent(SCRIPT))
    original = Models.__init__

    def patched(self: Models, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        self.transfer_command = (sys.executable, str(script))

    monkeypatch.setattr(Models, "__init__", patched)
    return script.parent


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def state(live: LiveServer, name: str = "ternary") -> str:
    return str(live.client.get(f"/models/{name}").json()["state"])


def intent(live: LiveServer) -> str | None:
    """What the next start of the server is going to do about the ternary checkpoint."""
    with contextlib.closing(sqlite3.connect(live.settings.output / NAME)) as index:
        row = index.execute("SELECT value FROM preferences WHERE name = 'download:ternary'").fetchone()
    return row[0] if row else None
