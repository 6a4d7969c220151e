"""Convolutions are computed directly, unless the user wants otherwise. MLX reads what a process has in C."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bonsai_mlx.runtime import winograd

SEEN_BY_MLX = """
import ctypes
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(getenv(b"MLX_CONV_WINOGRAD").decode())
"""


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    inherited = {name: value for name, value in os.environ.items() if name != winograd.VARIABLE}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=inherited | environment)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "first",
    [
        "import bonsai_mlx",
        "import bonsai_mlx.cli.main",
        "import bonsai_mlx.pipeline",
        "import mlx.core, bonsai_mlx",  # somebody else's program
        "import server.engine.child",  # the child process that draws
    ],
)
def test_it_is_avoided_however_the_package_is_imported(first: str) -> None:
    assert python(f"{first}{SEEN_BY_MLX}", BONSAI_BLAS="none") == "0"


@pytest.mark.parametrize("chosen", ["1", "0"])
def test_the_user_s_own_setting_wins(chosen: str) -> None:
    assert python(f"import bonsai_mlx{SEEN_BY_MLX}", MLX_CONV_WINOGRAD=chosen) == chosen


def test_the_server_passes_it_on() -> None:
    code = "from server.engine import process; print(process.environment()['MLX_CONV_WINOGRAD'])"
    assert python(code) == "0"
    assert python(code, MLX_CONV_WINOGRAD="1") == "1"


@pytest.mark.parametrize(("setting", "words"), [("0", ""), ("1", "unset MLX_CONV_WINOGRAD")])
def test_it_is_told_how_to_switch_it_off(setting: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(winograd.VARIABLE, setting)
    assert winograd.remedy().startswith(words)
    assert bool(winograd.remedy()) == bool(words)
