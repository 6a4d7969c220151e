"""The latest previews of the latest jobs, for a while after their end."""

from __future__ import annotations

MOST, MOST_BYTES = 8, 4 << 20


class Previews:
    """Job -> PNG; the oldest go, but one."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, job_id: str) -> bytes | None:
        return self._kept.get(job_id)

    def keep(self, job_id: str, png: bytes) -> None:
        self._kept.pop(job_id, None)
        self._kept[job_id] = png
        while len(self._kept) > 1 and (len(self._kept) > MOST or sum(map(len, self._kept.values())) > MOST_BYTES):
            self._kept.pop(next(iter(self._kept)))
