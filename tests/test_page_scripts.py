"""Runs the page's own unit tests (tests/js) in node."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_functions_of_the_page() -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("node is needed to test the page's scripts")
        pytest.skip("no node here")
    tests = sorted(str(path) for path in (ROOT / "tests/js").glob("*.test.mjs"))
    assert tests
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([node, "--test", *tests], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
