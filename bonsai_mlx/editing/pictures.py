"""Pictures by the digest of their pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from ..errors import PictureError, RequestError
from .normalise import PictureSource, given_mask, normalised


def digest_of(picture: Image.Image) -> str:
    """SHA-256 of the mode, the size and the pixels: the same for every file that holds the same picture."""
    head = f"{picture.mode} {picture.width}x{picture.height}\n"
    return hashlib.sha256(head.encode() + picture.tobytes()).hexdigest()


class PictureSet:
    """Pictures for one request, by digest."""

    def __init__(self) -> None:
        self.by_digest: dict[str, Image.Image] = {}
        self.files: dict[str, Path | bytes] = {}  # of those that came as files
        self.notes: list[str] = []  # what they have lost on their way in

    def add(self, field: str, source: PictureSource, *, transparent: bool = False) -> str:
        """The picture's digest, of one that is `transparent` with that where it is wanted.

        RequestError naming the field for what is none.
        """
        try:
            found = normalised(source)
        except PictureError as error:
            raise RequestError(field, _unusable(source, error)) from error
        whole = transparent and found.whole is not None
        digest = self.keep(found.whole if whole and found.whole else found.picture)
        name = source if isinstance(source, str | Path) else field
        self.notes += [f"{name}: {note}" for note in (found.losses if whole else found.notes)]
        if not isinstance(source, Image.Image):
            self.files[digest] = source if isinstance(source, bytes) else Path(source)
        return digest

    def add_mask(self, field: str, source: PictureSource) -> str:
        """The mask's digest; RequestError naming the field for what is none."""
        try:
            return self.keep(given_mask(source))
        except PictureError as error:
            raise RequestError(field, _unusable(source, error)) from error

    def keep(self, picture: Image.Image) -> str:
        """The digest of a picture (RGB) or mask (L) that is as it goes in."""
        digest = digest_of(picture)
        self.by_digest[digest] = picture
        return digest


def _unusable(source: PictureSource, error: PictureError) -> str:
    return f"{source} cannot be used: {error}" if isinstance(source, str | Path) else f"cannot be used: {error}"
