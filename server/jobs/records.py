"""The jobs as rows of the index: written, read, and forgotten when there are too many. Knows nothing of the queue.

A row is of a file and may hold anything; one that cannot be read is left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from itertools import accumulate

from pydantic import ValidationError

from ..errors import ApiError, not_found
from ..gallery.folder import ID
from ..schemas.jobs import Job
from ..schemas.names import JobStatus
from ..store import Store

log = logging.getLogger("bonsai.jobs")

KEPT_JOBS = 1_000  # that have ended; their images are in the gallery for ever
KEPT_BYTES = 8 << 20  # of them: with the longest prompts a thousand would be 131 MB
FORGET_EVERY_BYTES = 1 << 20  # of ended jobs; until then there may be that much more
PAGE_BYTES = 1_000_000  # of jobs in one answer
_LATER = "A later version of the program may have written it; its picture, if there is one, is in the gallery."
_UNREADABLE = "unreadable"  # in a row's column, and no `JobStatus`: nobody is shown such a job
_SELECT = """SELECT id, data, (SELECT json_group_array(CAST(image AS TEXT)) FROM (
                 SELECT image FROM job_images WHERE job = jobs.id ORDER BY position)), attached FROM jobs {0}"""
_SIZES = "SELECT 2 * length(CAST(data AS BLOB)) FROM jobs {0}"  # in an answer a prompt stands twice
_FORGET = """DELETE FROM jobs WHERE seq IN (SELECT seq FROM (
                 SELECT seq, row_number() OVER latest AS place, sum(length(CAST(data AS BLOB))) OVER latest AS bytes
                 FROM jobs WHERE status NOT IN ('queued', 'running') WINDOW latest AS (ORDER BY seq DESC)
             ) WHERE place > ? OR bytes > ?)"""


def written(job: Job) -> str:
    """The column `data`: each thing once, and which pictures there are is in a table of their own."""
    return job.model_dump_json(exclude={"image_ids", *Job.model_computed_fields})


class JobRecords:
    """Use from the event loop. sqlite3.Error: the index takes nothing, or is damaged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended_bytes = 0  # since old ones were last forgotten

    def add(self, jobs: Sequence[Job], *, attached: bool) -> None:
        """All of them or none."""
        rows = [(job.id, job.status, job.group, attached, written(job)) for job in jobs]
        self._store.execute_many("INSERT INTO jobs (id, status, group_id, attached, data) VALUES (?, ?, ?, ?, ?)", rows)

    def note(self, job: Job) -> None:
        data = written(job)
        with self._store.transaction():
            self._store.execute("UPDATE jobs SET status = ?, data = ? WHERE id = ?", (job.status, data, job.id))
            for position, image in enumerate(job.image_ids):
                self._store.execute("INSERT OR REPLACE INTO job_images VALUES (?, ?, ?)", (job.id, position, image))
        if job.finished_at:
            self._ended_bytes += len(data.encode())
        if self._ended_bytes > FORGET_EVERY_BYTES:
            self.forget_old()

    def know_group(self, group: str) -> bool:
        return bool(self._store.execute("SELECT 1 FROM jobs WHERE group_id = ? LIMIT 1", (group,)))

    def find(self, job_id: str) -> Job:
        """ApiError 404: there is none, or none that can be read."""
        rows = self._store.execute(_SELECT.format("WHERE id = ?"), (job_id,))
        if not rows:
            raise not_found("job")
        job = _read(*rows[0][:3])
        if job is None:
            raise ApiError(404, "not_found", "What was noted of this job cannot be read any more.", remedy=_LATER)
        return job

    def recent(self, status: JobStatus | None, limit: int, live: Mapping[str, Job]) -> list[Job]:
        """The latest, newest first, of one status or of all; those in `live` as they are there.

        At most `limit`, and as few as fit into PAGE_BYTES, but one.
        """
        where = f"{'WHERE status = ?' if status else ''} ORDER BY seq DESC LIMIT ?"
        values = [status] if status else []
        sizes = self._store.execute(_SIZES.format(where), [*values, limit])
        count = max(1, sum(total <= PAGE_BYTES for total in accumulate(size for (size,) in sizes)))
        rows = self._store.execute(_SELECT.format(where), [*values, count])
        found = [live[job_id] if job_id in live else _read(job_id, data, images) for job_id, data, images, _ in rows]
        return [job for job in found if job is not None]

    def unfinished(self) -> list[tuple[Job, bool]]:
        """What waited or ran when the server ended, in its order, and whether a caller waited for it.

        One that cannot be read is told in the log once; `forget_old` deletes its row in time.
        """
        found = []
        rows = self._store.execute(_SELECT.format("WHERE status IN ('queued', 'running') ORDER BY seq"))
        for job_id, data, images, attached in rows:
            job = _read(job_id, data, images)
            if job is None:
                self._store.execute("UPDATE jobs SET status = ? WHERE id = ?", (_UNREADABLE, job_id))
            else:
                found.append((job, bool(attached)))
        return found

    def forget_old(self) -> None:
        """Of the jobs that have ended, only the latest are kept: KEPT_JOBS, of KEPT_BYTES together."""
        self._store.execute(_FORGET, (KEPT_JOBS, KEPT_BYTES))
        self._ended_bytes = 0


def _read(job_id: object, data: object, images: str) -> Job | None:
    """The job of a row, or None, told in the log without its prompt, where this program cannot read it."""
    try:
        job = Job.model_validate_json(data) if isinstance(data, str) else None
    except ValidationError:
        job = None
    if job is None or job.id != job_id:
        log.warning("job %.40r cannot be read and is left out", job_id)
        return None
    job.image_ids = [image for image in json.loads(images) if isinstance(image, str) and ID.fullmatch(image)]
    return job
