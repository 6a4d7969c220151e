"""The pictures that go into a run, read in the engine's process from the files that the server keeps of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bonsai_mlx.errors import RequestError
from bonsai_mlx.fileio import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image


def opened_pictures(paths: Mapping[str, bytes]) -> dict[str, Image]:
    """The pictures that a request names, by digest; RequestError for a file that is gone or holds another picture."""
    if not paths:
        return {}
    from PIL import Image as Images  # here: most pictures are made of words alone

    from bonsai_mlx.editing.pictures import digest_of

    found: dict[str, Image] = {}
    for digest, path in paths.items():
        try:
            with open_regular(Path(os.fsdecode(path))) as file:
                picture = Images.open(file, formats=["PNG"])
                picture.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise RequestError("pictures", f"{digest[:12]}... cannot be read any more; add it again") from error
        if digest_of(picture) != digest:
            raise RequestError("pictures", f"{digest[:12]}... is not what it was; add it again")
        found[digest] = picture
    return found
