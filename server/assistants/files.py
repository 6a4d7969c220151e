"""Pictures of this machine that an assistant names by their paths: which of them it may have, and why no other.

What an assistant has read may have told it to ask for a file. So it gets none but in the folders that are meant for
it, nothing hidden, wherever links lead; what it gets is decoded as a picture, or refused without a word of its content.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bonsai_mlx.fileio import FileTooLargeError, NotARegularFileError, read_bounded

MAX_BYTES = 64 << 20
_REMEDY = "Whoever started this program can allow another folder with --pictures FOLDER."


class RefusedFileError(Exception):
    """A sentence for the assistant."""


def read_picture(given: str, folders: Sequence[Path]) -> bytes:
    """The file's bytes. RefusedFileError, which does not say whether there is such a file where it may not look."""
    try:
        path = Path(given).expanduser()
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, nobody's home, a name that no file can have
        raise RefusedFileError("path is no path of a file.") from None
    if not path.is_absolute():
        raise RefusedFileError(f"path has to be a full one, such as {Path.home() / 'Pictures' / 'fox.png'}.")
    if not any(_holds(folder, real) for folder in folders):
        listed = ", ".join(map(str, folders))
        raise RefusedFileError(f"path: only pictures in {listed} may be used here, and nothing hidden. {_REMEDY}")
    try:
        return read_bounded(real, MAX_BYTES)
    except FileTooLargeError:
        raise RefusedFileError(f"path: the file is larger than {MAX_BYTES >> 20} MiB.") from None
    except NotARegularFileError as error:
        raise RefusedFileError(f"path: {error.strerror}.") from None
    except FileNotFoundError:
        raise RefusedFileError("path: there is no such file.") from None
    except OSError as error:
        raise RefusedFileError(f"path: the file cannot be read ({error.strerror}).") from None


def _holds(folder: Path, real: Path) -> bool:
    """`real` lies in the folder, in nothing hidden; a Mac's programs keep what is theirs in the home's Library."""
    if not real.is_relative_to(folder):
        return False
    inner = real.relative_to(folder).parts
    theirs = sys.platform == "darwin" and folder == Path.home() and inner[:1] == ("Library",)
    return not theirs and not any(part.startswith(".") for part in inner)
