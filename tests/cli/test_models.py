"""The commands about models, and those that hand over to another program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.cli.commands import models
from bonsai_mlx.version import __version__

pytestmark = pytest.mark.usefixtures("nothing_downloaded")


SMALL = ("--size", "64x64", "--steps", "1")


CLI = [sys.executable, "-m", "bonsai_mlx.cli.main"]


def test_models_is_a_table(run: Any) -> None:
    status, out, _ = run("models")
    assert status == 0
    lines = out.splitlines()
    assert re.match(r"ternary +not here, 3\.8\d GB to download +prism-ml/bonsai-image-ternary-4B-mlx-2bit$", lines[0])
    assert re.match(r"seedling-binary +ready, [\d.]+ MB, embedded +/.*seedling/binary$", lines[3])
    assert "bonsai-mlx download ternary" in lines[-1]


def test_models_for_programs(run: Any) -> None:
    _, out, _ = run("models", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["ternary"]["state"] == "absent"
    assert (rows["ternary"]["present"], rows["ternary"]["complete"], rows["ternary"]["path"]) == (False, False, None)
    assert rows["binary"]["bytes_total"] > 3e9
    assert rows["seedling-ternary"]["complete"]
    assert Path(rows["seedling-ternary"]["path"]).is_dir()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"state": "partial", "bytes_present": 10**9, "bytes_total": 4 * 10**9}, "incomplete, 1.00 GB of 4.00 GB"),
        ({"state": "damaged", "bytes_total": 1}, "damaged; download it again"),
        ({"state": "ready", "bytes_total": 4 * 10**9, "embedded": False}, "ready, 4.00 GB"),
    ],
)
def test_states_in_words(row: dict[str, Any], words: str) -> None:
    assert models._state_words(row) == words


def test_deleting(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bonsai_mlx.hub import api as hub

    assert run("delete", "ternary")[:2] == (0, "Bonsai Image 4B ternary is not here; nothing was deleted.\n")
    status, _, err = run("delete", "seedling-ternary")
    assert (status, err) == (1, "bonsai-mlx: Seedling ternary ships with bonsai-mlx and cannot be deleted\n")
    status, _, err = run("delete", "nope")
    assert status == 1
    assert "no checkpoint called 'nope'" in err
    monkeypatch.setattr(hub, "status", lambda *_: hub.LocalStatus("ready", Path("/x"), 4, 4))
    monkeypatch.setattr(hub, "delete", lambda *_: 1_400_000_000)
    assert run("delete", "ternary")[1] == "Bonsai Image 4B ternary is deleted; 1.40 GB are free again.\n"


def test_downloading_hands_every_option_over(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "bonsai_mlx.cli.download.download_command", lambda which, **named: given.update(named, which=which) or 1
    )
    words = ["klein", "--from", "bf16", "--dir", "d", "--revision", "r", "--token", "t", "--verify", "--json"]
    assert run("download", *words)[0] == 1
    assert given == {
        "which": "klein",
        "origin": "bf16",
        "folder": Path("d"),
        "revision": "r",
        "token": "t",
        "verify": True,
        "as_json": True,
    }


def test_serving_becomes_the_server(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda *given: called.extend(given))
    run("serve", "--port", "0", "--no-browser")
    assert called == [sys.executable, [sys.executable, "-P", "-m", "server", "--port", "0", "--no-browser"]]


@pytest.mark.slow
def test_a_folder_called_server_is_not_ours(nothing_downloaded: Path) -> None:
    (nothing_downloaded / "server").mkdir()
    (nothing_downloaded / "server" / "__init__.py").write_text("raise SystemExit('the wrong server')")
    done = subprocess.run([*CLI[:1], "-P", *CLI[1:], "serve", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == __version__


def test_bench_gets_its_options(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("bonsai_mlx.diagnosis.bench.main", lambda words: given.extend(words) or 3)
    assert run("bench", "--repeats", "1")[0] == 3
    assert given == ["--repeats", "1"]


@pytest.mark.parametrize(
    "words", [["--help"], ["generate", "--help"], ["models"], ["generate", "a fox", "-o", "x.gif"]]
)
def test_starts_without_mlx(words: list[str]) -> None:
    code = (
        "import sys; from bonsai_mlx.cli import main as cli\n"
        f"try: cli.main({words!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.split('.')[0] in ('mlx', 'mlx_lm') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
