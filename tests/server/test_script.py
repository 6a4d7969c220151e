"""scripts/server in a pretended checkout: it sets up when it has to, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the real script, and a setup and a Python that only say what they were asked."""
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts" / "server", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    python = '#!/bin/sh\\necho "python $*"\\n'
    setup = f"""#!/bin/sh
echo setting up
mkdir -p .venv/bin
printf '{python}' >.venv/bin/python
chmod +x .venv/bin/python
echo "cpu $(cksum <pyproject.toml)" >.venv/setup.stamp
"""
    (tmp_path / "scripts" / "setup").write_text(setup)
    (tmp_path / "scripts" / "setup").chmod(0o755)
    return tmp_path


def start(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(checkout / "scripts" / "server")
    return subprocess.run([script, *arguments], cwd="/", capture_output=True, text=True, check=True)


def test_it_sets_up_once_and_passes_its_options_on(checkout: Path) -> None:
    first = start(checkout, "--port", "9000", "--output", "a folder")
    assert (first.stdout, first.stderr) == ("python -m server --port 9000 --output a folder\n", "setting up\n")
    assert start(checkout).stderr == ""


def test_it_sets_up_again_when_the_project_has_changed(checkout: Path) -> None:
    start(checkout)
    (checkout / "pyproject.toml").write_text("[project]\nversion = '2'\n")
    assert start(checkout).stderr == "setting up\n"
    assert start(checkout).stderr == ""


def test_a_failed_setup_starts_nothing(checkout: Path) -> None:
    (checkout / "scripts" / "setup").write_text("#!/bin/sh\necho 'setup: no Python' >&2\nexit 1\n")
    with pytest.raises(subprocess.CalledProcessError) as ended:
        start(checkout)
    assert ended.value.stdout == ""
    assert ended.value.stderr == "setup: no Python\n"


@pytest.fixture
def mac(tmp_path: Path) -> Path:
    """A folder for PATH whose programs answer as a Mac's do, from files beside them."""
    for name, answer in (("uname", "Darwin"), ("sw_vers", "$(cat {}/macos)"), ("arch", "native: $*")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {answer.format(tmp_path)}\n")
        program.chmod(0o755)
    (tmp_path / "sysctl").write_text(f"#!/bin/sh\ncat {tmp_path}/$2 2>/dev/null\n")
    (tmp_path / "sysctl").chmod(0o755)
    (tmp_path / "hw.optional.arm64").write_text("1\n")
    (tmp_path / "macos").write_text("15.3.1\n")
    return tmp_path


def on(mac: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{mac}:{os.environ['PATH']}"}
    command = [ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, cwd="/", env=os.environ | path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", ["setup", "server"])
def test_under_rosetta_it_starts_again_as_a_native_program(mac: Path, script: str) -> None:
    (mac / "sysctl.proc_translated").write_text("1\n")
    assert on(mac, script, "--port", "9000").stdout == f"native: -arm64 /bin/bash {ROOT}/scripts/{script} --port 9000\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("hw.optional.arm64", "", "needs Apple Silicon"),
        ("macos", "13.7\n", "needs macOS 14 or later; this is macOS 13.7"),
    ],
)
def test_a_mac_that_mlx_does_not_run_on_is_told_why(mac: Path, name: str, content: str, words: str) -> None:
    (mac / name).write_text(content)
    ended = on(mac, "setup")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert words in ended.stderr
