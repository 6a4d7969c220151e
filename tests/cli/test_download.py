"""The download command as a person, a log file and a parent process meet it."""

from __future__ import annotations

import io
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bonsai_mlx.cli import download as hub_terminal
from bonsai_mlx.errors import DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import published
from bonsai_mlx.hub.progress import DownloadProgress

from ..fake_hub import FakeHub
from ..hub.world import (
    BINARY,
    TERNARY,
    TEXT_ENCODER,
    TRANSFORMER,
    content,
    damage_unnoticed,
    needed,
    pinned_entry,
    size,
    start_script,
    wait_for_bytes,
)


@pytest.mark.slow
def test_the_script_speaks_json_for_programs(server: FakeHub, tmp_path: Path) -> None:
    process = start_script(server, tmp_path / "cache", TERNARY, "--json")
    output, errors = process.communicate(timeout=60)
    lines = [json.loads(line) for line in output.splitlines()]
    assert (process.returncode, errors) == (0, "")
    assert lines[-1]["done"]
    assert lines[-1]["bytes_done"] == lines[-1]["bytes_total"] == size(server.repos[TERNARY])
    assert Path(lines[-1]["path"], TRANSFORMER).is_file()


@pytest.mark.slow
def test_nothing_but_the_files_is_asked_for(server: FakeHub, tmp_path: Path) -> None:
    process = start_script(server, tmp_path / "cache", TERNARY)
    process.communicate(timeout=60)
    api = f"/api/models/{TERNARY}/revision/main"
    files = {f"/{TERNARY}/resolve/{server.commit(TERNARY)}/{path}" for path in needed(server.repos[TERNARY])}
    assert {request.path for request in server.requests if request.server == "hub"} == {api} | files
    assert all("torch" not in request.user_agent for request in server.requests)


@pytest.mark.slow
def test_the_script_writes_plain_lines_into_a_log(server: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    process = start_script(server, tmp_path / "cache", TERNARY, "--dir", str(folder), "--verify")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert "100%  600.1 kB of 600.1 kB  done" in errors
    assert f"is ready: {folder}" in errors
    assert "\r" not in errors


@pytest.mark.parametrize(("name", "status"), [("nonsense", 2), ("acme/nothing", 1)])
def test_the_script_fails_with_one_plain_line(server: FakeHub, tmp_path: Path, name: str, status: int) -> None:
    process = start_script(server, tmp_path / "cache", name)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_interrupting_the_script_says_that_it_can_go_on(server: FakeHub, tmp_path: Path) -> None:
    server.hold_at = 120_000
    process = start_script(server, tmp_path / "cache", TERNARY)
    wait_for_bytes(server, server.hold_at)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Nothing is lost; this goes on from there: bonsai-mlx download {TERNARY}" in errors
    assert "Traceback" not in errors


def test_both_variants_get_a_folder_each(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_terminal, "published_names", lambda: (TERNARY, BINARY))
    assert hub_terminal.download_command("both", folder=tmp_path / "m") == 0
    for repo in (TERNARY, BINARY):
        assert content(tmp_path / "m" / repo) == needed(server.repos[repo])
    assert server.served[TEXT_ENCODER] == 300_000


@pytest.mark.parametrize("folder", ["ternary", "my models/x"])
def test_a_folder_is_shown_with_how_to_use_it(
    server: FakeHub, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name means the cache: without the hint the next picture would be drawn by another model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(published, "CATALOG", (pinned_entry(server),))
    for revision in (None, "main"):
        assert hub_terminal.download_command("tiny", folder=Path(folder), revision=revision) == 0
        ready, use = capsys.readouterr().err.splitlines()[-2:]
        assert ready == f"Tiny is ready: {folder}"
        *command, typed, prompt = shlex.split(use.removeprefix("Use it with: "))
        assert (command, prompt) == (["bonsai-mlx", "generate", "--model"], "PROMPT")
        assert hub.as_folder(typed) == tmp_path / folder


def test_the_name_is_enough_for_what_ships_with_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hub_terminal.download_command("seedling-binary", folder=tmp_path) == 0
    assert "--model" not in capsys.readouterr().err


@pytest.fixture
def two_revisions(server: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    """The catalog's own revision of "tiny" and what its branch has become since, both in the cache."""
    entry = pinned_entry(server)
    monkeypatch.setattr(published, "CATALOG", (entry,))
    assert hub_terminal.download_command("tiny") == 0
    server.repos[TERNARY]["vae/config.json"] = b'{"latent_channels": 16}'
    assert hub_terminal.download_command("tiny", revision="main") == 0
    folder = hub.find("tiny")
    return [folder, folder.with_name(server.commit(TERNARY))]


def test_another_revision_is_shown_with_how_to_use_it(
    two_revisions: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    known, other = two_revisions
    first, second = capsys.readouterr().err.split("Tiny is ready: ")[1:]
    assert first.startswith(f"{known}\n")
    assert "--model" not in first
    assert second.startswith(f"{other}\nThe name tiny goes on standing for {known}; use this revision with: ")
    assert second.endswith(f"bonsai-mlx generate --model {other} PROMPT\n")


@pytest.mark.slow
def test_another_revision_is_the_one_that_is_verified(
    two_revisions: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    known, other = two_revisions
    damage_unnoticed(other / "vae/config.json")
    assert hub_terminal.download_command("tiny", verify=True) == 0
    assert hub_terminal.download_command("tiny", revision="main", verify=True) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"{other}: vae/config.json is damaged and was deleted")
    assert message.endswith("repair it with: bonsai-mlx download tiny --revision main")
    assert hub_terminal.download_command("tiny", revision="main", verify=True) == 0
    assert content(known).keys() == content(other).keys()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    events = [
        DownloadProgress("a/b.safetensors", 1_000_000_000, 4_000_000_000, 50e6, 60.0, False),
        DownloadProgress("", 4_000_000_000, 4_000_000_000, 0.0, 0.0, True, "done"),
    ]
    screen = _Terminal()
    hub_terminal.show_progress(events, "ternary", screen)
    first, second = screen.getvalue().split("\r")[1:]
    assert first.startswith("ternary [######..................]  25%  1.00 GB of 4.00 GB")
    assert len(first.removesuffix("\x1b[K")) == 59
    assert second.startswith("ternary [########################] 100%  4.00 GB of 4.00 GB")
    assert second.endswith("\x1b[K\n")
    assert "50.0 MB/s  1 min 0 s left  downloading a/b.safetensors" in hub_terminal.progress_line("t", events[0])


def test_an_error_starts_on_a_line_of_its_own() -> None:
    def events() -> Iterator[DownloadProgress]:
        yield DownloadProgress("a", 1, 4, 0.0, None, False)
        raise DownloadError("broken")

    screen = _Terminal()
    with pytest.raises(DownloadError):
        hub_terminal.show_progress(events(), "ternary", screen)
    assert screen.getvalue().endswith("\n")
