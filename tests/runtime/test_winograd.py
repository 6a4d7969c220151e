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
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "first",
    [
        "import bonsai_mlx; bonsai_mlx.prepare()",
        "from bonsai_mlx import Pipeline",
        "from bonsai_mlx.pipeline import Pipeline; Pipeline.from_pretrained('seedling')",
        "import mlx.core, bonsai_mlx; bonsai_mlx.Pipeline",  # somebody else's program
        "from bonsai_mlx.cli.main import main; main(['models'])",
        "from server.engine.backend import mlx_backend; mlx_backend()",  # the child process that draws
    ],
)
def test_it_is_avoided_however_the_engine_is_reached(first: str) -> None:
    assert python(f"{first}{SEEN_BY_MLX}", BONSAI_BLAS="none") == "0"


@pytest.mark.parametrize("chosen", ["1", "0"])
def test_the_user_s_own_setting_wins(chosen: str) -> None:
    assert python(f"from bonsai_mlx import prepare; prepare(){SEEN_BY_MLX}", MLX_CONV_WINOGRAD=chosen) == chosen


@pytest.mark.parametrize(("setting", "words"), [("0", ""), ("1", "unset MLX_CONV_WINOGRAD")])
def test_it_is_told_how_to_switch_it_off(setting: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(winograd.VARIABLE, setting)
    assert winograd.remedy().startswith(words)
    assert bool(winograd.remedy()) == bool(words)
