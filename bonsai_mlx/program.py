"""How this program is called from where its user is."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from pathlib import Path


def command(name: str = "bonsai-mlx") -> str:
    """What to type to run `name` of this program's own environment: its name where a shell finds it, else its path."""
    own, found = Path(sys.executable).with_name(name), shutil.which(name)
    if not own.is_file() or (found and Path(found).samefile(own)):
        return name
    with contextlib.suppress(ValueError, OSError):  # not below the current folder, or that is deleted
        own = own.relative_to(Path.cwd())
    return shlex.quote(str(own))
