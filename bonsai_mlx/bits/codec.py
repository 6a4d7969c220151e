"""Pictures as codes of bits and back, in a call each.

codec = Codec.from_pretrained("seedling-bits")  # or a folder, which may hold no more than the autoencoder
text = codec.encode("fox.png").as_text()
codec.decode(text).save("fox-again.png")
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..editing.normalise import PictureSource, normalised
from ..errors import RequestError
from ..hub import api as hub
from ..hub.catalog import lookup
from ..images.bitcode import BitCode
from ..request import MAX_SIZE_PX, MIN_SIZE_PX, SIZE_MULTIPLE_PX
from ..runtime import device
from ..runtime.startup import prepare
from .autoencoder import Autoencoder

_NARROWEST = MAX_SIZE_PX / MIN_SIZE_PX


class Codec:
    """One autoencoder. It holds no weights between two pictures."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        self.autoencoder = autoencoder
        self.notes: tuple[str, ...] = ()  # what the picture that was encoded last has lost on its way in

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Codec:
        """Open a checkpoint by catalog name, Hub id (downloaded before) or folder. CheckpointError."""
        prepare()
        folder = hub.as_folder(name_or_path)
        repair = None if folder else lookup(str(name_or_path)).remedy
        return cls(Autoencoder.open(folder or hub.find(name_or_path), repair))

    def encode(self, picture: PictureSource, size: tuple[int, int] | None = None) -> BitCode:
        """The code of a picture at a size (width, height), by default its own. RequestError, PictureError.

        Sides are multiples of 16 from 64 to 2048; a picture that has others is scaled to the nearest that fit.
        """
        found = normalised(picture)
        self.notes, taken = found.notes, found.picture
        wanted = fitting(taken.size) if size is None else checked_size(size)
        if taken.size != wanted:
            taken = taken.resize(wanted, Image.Resampling.LANCZOS)
        try:
            return self.autoencoder.encode(np.asarray(taken))
        finally:
            device.release_cache()

    def decode(self, code: BitCode | str | bytes) -> Image.Image:
        """The picture that a code, its text or its bytes stand for. RequestError for what is none, or another's."""
        if isinstance(code, str):
            code = BitCode.of_text(code)
        elif isinstance(code, bytes):
            code = BitCode.of_bytes(code)
        try:
            return Image.fromarray(self.autoencoder.decode(code))
        finally:
            device.release_cache()


def fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The nearest size that can be encoded: within 64 to 2048 pixels, and in multiples of 16. RequestError."""
    longer, shorter = max(size), min(size)
    if longer > _NARROWEST * shorter:
        raise RequestError("size", f"{size[0]}x{size[1]} is too narrow for a code; give another size")
    scale = min(max(1.0, MIN_SIZE_PX / shorter), MAX_SIZE_PX / longer)
    return _side(size[0] * scale), _side(size[1] * scale)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    for side in size:
        if not MIN_SIZE_PX <= side <= MAX_SIZE_PX or side % SIZE_MULTIPLE_PX:
            possible = f"multiples of {SIZE_MULTIPLE_PX} from {MIN_SIZE_PX} to {MAX_SIZE_PX} are"
            raise RequestError("size", f"{side} is no side of a picture with a code; {possible}")
    return size


def _side(side: float) -> int:
    return min(MAX_SIZE_PX, max(MIN_SIZE_PX, round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX))
