"""What `python -m server` says when it cannot start, and its options."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.__main__ import build_parser, main, read_settings
from server.settings import Settings
from tests.server.conftest import ROOT, LiveServer

pytestmark = pytest.mark.slow


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The server with options that end it by itself."""
    command = [sys.executable, "-m", "server", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a start in this folder ends with, in this process: one of its own takes a second."""
    monkeypatch.setattr("server.__main__.create_app", lambda *_: pytest.fail("it started"))

    def refused(output: Path, command: str = "serve", port: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([command, "--port", str(port), "--output", str(output), "--no-browser"])
        said, told = capsys.readouterr()
        assert (ended.value.code, said, told.count("\n")) == (2, "", 1)
        return told

    return refused


def test_a_taken_port(refusal: Callable[..., str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refusal(tmp_path, port=port)
    assert told == f"bonsai: port {port} is in use; choose another one with --port\n"


def test_a_folder_that_cannot_be_written(refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "out").startswith(f"bonsai: cannot write to {tmp_path}/file/out: ")


def test_a_disk_without_room_to_start(refusal: Callable[..., str], tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        told = refusal(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert told.startswith(f"bonsai: cannot write to {tmp_path}: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "reindex"])
@pytest.mark.parametrize("how", ["locked by another program", "a folder"])
def test_an_index_that_cannot_be_opened(refusal: Callable[..., str], tmp_path: Path, command: str, how: str) -> None:
    index = tmp_path / ".bonsai.sqlite3"
    with contextlib.closing(sqlite3.connect(":memory:" if how == "a folder" else index)) as other:
        if how == "a folder":
            index.mkdir()
        else:
            other.execute("BEGIN EXCLUSIVE")
        told = refusal(tmp_path, command)
    assert told.startswith(f"bonsai: cannot open {index}: ")


def test_a_folder_that_another_server_uses(live: LiveServer, refusal: Callable[..., str]) -> None:
    output = live.settings.output
    assert refusal(output).endswith("is in use by another server; choose another folder with --output\n")
    ended = run("reindex", "--output", str(output))  # from a process of its own, too
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", refusal(output, "reindex"))


@pytest.mark.parametrize(
    ("arguments", "environment", "start"),
    [
        (["--port", "70000"], {}, "bonsai: --port: "),
        (["--memory-limit", "plenty"], {}, "bonsai: --memory-limit: "),
        (["--keep-alive", "-3"], {}, "bonsai: --keep-alive: "),
        ([], {"BONSAI_QUEUE_SIZE": "none"}, "bonsai: BONSAI_QUEUE_SIZE: "),
        (["--allowed-host", "studio.local:8000"], {}, "bonsai: --allowed-host: 'studio.local:8000' is no name"),
    ],
)
def test_bad_options_are_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    start: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read_settings(vars(build_parser().parse_args(arguments)))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(start)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--port", "70000"], "bonsai: --port: "),
        (["--host", "no.such.host.invalid", "--port", "0"], "bonsai: cannot listen on no.such.host.invalid"),
    ],
)
def test_so_does_the_program_end(tmp_path: Path, arguments: list[str], start: str) -> None:
    ended = run("--no-browser", "--output", str(tmp_path), *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith(start)
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["[", "nan", "1e999", "1e999 GB", "", "\udcff"])
def test_no_variable_ends_in_a_traceback(capsys: pytest.CaptureFixture[str], value: str) -> None:
    for name in Settings.model_fields:
        variable = f"BONSAI_{name.upper()}"
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
            patch.setenv(variable, value)
            read_settings({})
        assert re.fullmatch(rf"(bonsai: {variable}: .*\n)?", capsys.readouterr().err), variable


def test_an_unknown_option_and_variant_end_with_status_2() -> None:
    for arguments in ("--colour", "red"), ("--variant", "quaternary"):
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args(arguments)
        assert ended.value.code == 2


def test_every_option_is_a_setting() -> None:
    options = {action.dest for action in build_parser()._actions} - {"help", "version", "command"}
    assert options <= set(Settings.model_fields)


def test_the_index_can_be_rebuilt_by_command(serve: Callable[..., LiveServer]) -> None:
    first = serve()
    for seed in range(2):
        first.client.post("/generate", json={"prompt": f"picture {seed}", "seed": seed}).raise_for_status()
    first.__exit__()
    output = first.settings.output
    (output / ".bonsai.sqlite3").write_bytes(b"destroyed")
    ended = run("reindex", "--output", str(output))
    assert ended.stdout == f"2 images are in the index of {output}\n"
    prompts = [image["prompt"] for image in serve().client.get("/images").json()["images"]]
    assert prompts == ["picture 1", "picture 0"]


@pytest.mark.parametrize("name", [".trash", ".thumbnails"])
def test_a_link_in_the_place_of_a_folder_of_ours_is_named(
    refusal: Callable[..., str], tmp_path: Path, name: str
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / name).symlink_to(tmp_path)
    assert refusal(output).startswith(f"bonsai: cannot write to {output}: {name} in it is a symbolic link; ")
