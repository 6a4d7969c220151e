"""The latest previews of the latest jobs, for a while after their end."""

from __future__ import annotations

from ..errors import not_found

MOST, MOST_BYTES = 8, 4 << 20


class Previews:
    """Job -> PNG, and another of how the bits stand where it is drawn in bits; the oldest go, but one."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    def png(self, job_id: str) -> bytes:
        """ApiError 404 without a preview."""
        picture, _ = self._kept.get(job_id, (b"", b""))
        return picture or _none("preview")

    def bits(self, job_id: str) -> bytes:
        """Of the latest preview; ApiError 404 where nothing is drawn in bits."""
        _, bits = self._kept.get(job_id, (b"", b""))
        return bits or _none("bits")

    def keep(self, job_id: str, png: bytes, bits: bytes | None = None) -> None:
        self._kept.pop(job_id, None)
        self._kept[job_id] = png, bits or b""
        while len(self._kept) > 1 and (len(self._kept) > MOST or self._bytes() > MOST_BYTES):
            self._kept.pop(next(iter(self._kept)))

    def _bytes(self) -> int:
        return sum(len(png) + len(bits) for png, bits in self._kept.values())


def _none(what: str) -> bytes:
    raise not_found(what)
