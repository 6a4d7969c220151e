"""Pictures by the digest of their pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeAlias

from PIL import Image

PictureSource: TypeAlias = Image.Image | Path | str


def digest_of(picture: Image.Image) -> str:
    """SHA-256 of the mode, the size and the pixels: the same for every file that holds the same picture."""
    head = f"{picture.mode} {picture.width}x{picture.height}\n"
    return hashlib.sha256(head.encode() + picture.tobytes()).hexdigest()


class PictureSet:
    """Pictures for one request, by digest."""

    def __init__(self) -> None:
        self.by_digest: dict[str, Image.Image] = {}

    def add(self, _field: str, source: PictureSource) -> str:
        """The picture's digest."""
        return self._keep(source if isinstance(source, Image.Image) else Image.open(source), "RGB")

    def add_mask(self, _field: str, source: PictureSource) -> str:
        """The mask's digest."""
        return self._keep(source if isinstance(source, Image.Image) else Image.open(source), "L")

    def _keep(self, picture: Image.Image, mode: str) -> str:
        picture = picture.convert(mode)
        digest = digest_of(picture)
        self.by_digest[digest] = picture
        return digest
