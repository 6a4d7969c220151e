"""What documents and docstrings tell a program to import can be imported."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IMPORT = re.compile(r"^\s*(from bonsai_mlx[\w.]* import [\w, ]+|import bonsai_mlx[\w.]*)", re.MULTILINE)
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.fixture(scope="module")
def lines() -> set[str]:
    texts = [path.read_text("utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    for path in (ROOT / "bonsai_mlx").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        texts += [ast.get_docstring(node) or "" for node in nodes if isinstance(node, WITH_DOCSTRING)]
    return {line.strip() for text in texts for line in IMPORT.findall(text)}


def test_there_are_some(lines: set[str]) -> None:
    assert {"from bonsai_mlx import Pipeline", "from bonsai_mlx import hub"} <= lines


def test_what_is_shown_works(lines: set[str]) -> None:
    for line in sorted(lines):
        done = subprocess.run([sys.executable, "-c", line], check=False, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
