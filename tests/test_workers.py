"""What one worker of the test run does alone: costly things that a file has in common are made once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import group_of

TESTS = Path(__file__).parent
FILES = ("tests/test_wording.py", "tests/nn/test_noise.py", "tests/nn/test_expand.py")


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("tests/nn/test_linear.py", "tests/nn/test_linear.py"),
        ("tests/stress/test_reduced.py", "stress"),
        ("tests/seedling/judge/test_judge.py", "seedling"),
        ("tests/server/test_seedling.py", "tests/server/test_seedling.py"),
    ],
)
def test_a_file_or_a_folder_is_a_group(path: str, group: str) -> None:
    assert group_of(path) == group


@pytest.mark.slow
def test_each_file_is_one_workers() -> None:
    plugins = ["-p", "xdist.plugin", "-p", "no:cacheprovider"]  # importing all others takes three processes longest
    command = [sys.executable, "-m", "pytest", "-vv", *plugins, "-n", "2", *FILES]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(command, cwd=TESTS.parent, env=inherited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ran = set(re.findall(r"\[(gw\d)\].* PASSED (tests/[\w/]+\.py)::", done.stdout))
    assert {path for _, path in ran} == set(FILES)
    assert len(ran) == len(FILES)
