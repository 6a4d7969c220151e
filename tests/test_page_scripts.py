"""Runs the page's own unit tests (tests/js) in node."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bonsai_mlx.request import idle

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
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


# From the ground up: a script may import those of its own room and of the rooms before it.
ROOMS = ("lib", "metadata", "stage", "editor", "words", "studio", "gallery", "pages")


def test_scripts_import_their_own_room_or_one_below() -> None:
    scripts = sorted((ROOT / "static/js").rglob("*.js"))
    assert {path.parent.name for path in scripts} == set(ROOMS)
    for path in scripts:
        for name in re.findall(r'(?:from |import |import\()"(\.[^"]+)"', path.read_text("utf-8")):
            target = (path.parent / name).resolve()
            assert target.is_file(), f"{path} imports {name}, which is not there"
            assert ROOMS.index(target.parent.name) <= ROOMS.index(path.parent.name), f"{path} imports {name}"


def test_no_room_of_scripts_has_more_files_than_one_takes_in_at_a_glance() -> None:
    for room in ROOMS:
        assert len(list((ROOT / "static/js" / room).glob("*.js"))) <= 18, room


def test_the_page_knows_every_parameter_of_pictures_that_go_in() -> None:
    source = (ROOT / "static/js/lib/picture-actions.js").read_text("utf-8")
    (listed,) = re.findall(r"OF_PICTURES = \[(.*?)\]", source, re.DOTALL)
    assert tuple(re.findall(r'"(\w+)"', listed)) == idle._OF_PICTURES
