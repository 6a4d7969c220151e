"""scripts/server in a pretended checkout: it sets up when it has to, and only then."""

from __future__ import annotations

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
