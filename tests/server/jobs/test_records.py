from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.jobs.records import FORGET_EVERY_BYTES, KEPT_BYTES, KEPT_JOBS, PAGE_BYTES, JobRecords
from server.schemas.jobs import Job
from server.schemas.names import JobStatus
from server.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as store:
        yield store


def make_job(prompt: str = "p", status: JobStatus = "queued") -> Job:
    fields = {"model": "m", "prompt": prompt, "seed": 1, "steps": 4, "width": 64, "height": 64}
    return Job(id=secrets.token_hex(16), status=status, created_at="2026", **fields)


def end(records: JobRecords, job: Job) -> None:
    job.status, job.finished_at = "cancelled", "2027"
    records.note(job)


def kept(store: Store) -> tuple[int, int]:
    """How many jobs, and the bytes of what is noted of them."""
    (found,) = store.execute("SELECT count(*), sum(length(CAST(data AS BLOB))) FROM jobs")
    return found


def test_jobs_that_have_ended_are_bounded_in_bytes_without_anybody_asking(store: Store) -> None:
    records = JobRecords(store)
    waiting = make_job("w" * 30_000)
    records.add([waiting], attached=False)
    longest = 0
    for _ in range(12):
        jobs = [make_job("\N{FOX FACE}" * 30_000) for _ in range(8)]
        records.add(jobs, attached=False)
        for job in jobs:
            end(records, job)
        longest = max(longest, kept(store)[1])
    assert longest <= KEPT_BYTES + FORGET_EVERY_BYTES + 10 * 130_000
    assert records.find(jobs[-1].id).prompt == jobs[-1].prompt, "the latest are there"
    assert records.find(waiting.id) == waiting, "and whatever waits"


def test_jobs_that_have_ended_are_bounded_in_number(store: Store) -> None:
    records = JobRecords(store)
    jobs = [make_job() for _ in range(KEPT_JOBS + 5)]
    records.add(jobs, attached=False)
    store.execute("UPDATE jobs SET status = 'cancelled' WHERE id != ?", (jobs[0].id,))
    records.forget_old()
    left = [row[0] for row in store.execute("SELECT id FROM jobs ORDER BY seq")]
    assert left == [job.id for job in (jobs[0], *jobs[5:])]


@pytest.mark.parametrize("status", [None, "queued"])
def test_an_answer_holds_as_many_as_fit(store: Store, status: JobStatus | None) -> None:
    records = JobRecords(store)
    jobs = [make_job("x" * 30_000) for _ in range(60)]
    records.add(jobs, attached=False)
    found = records.recent(status, 200, {})
    assert [job.id for job in found] == [job.id for job in jobs[: -len(found) - 1 : -1]]
    sizes = [len(job.model_dump_json()) for job in found]
    assert PAGE_BYTES - max(sizes) - 1_000 * len(found) < sum(sizes) <= PAGE_BYTES
    assert len(records.recent(status, 3, {})) == 3


def test_an_answer_holds_one_that_fits_nowhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.jobs.records.PAGE_BYTES", 1_000)
    records = JobRecords(store)
    records.add([make_job("x" * 2_000), make_job("x" * 2_000)], attached=False)
    assert len(records.recent(None, 50, {})) == 1


def test_a_job_has_any_number_of_pictures(store: Store) -> None:
    records = JobRecords(store)
    none, several = make_job(), make_job()
    records.add([none, several], attached=True)
    several.image_ids = [secrets.token_hex(16) for _ in range(3)]
    end(records, several)
    assert records.find(several.id).image_ids == several.image_ids
    assert records.find(none.id).image_ids == []
    assert [job.image_ids for job in records.recent(None, 2, {})] == [several.image_ids, []]
    assert records.unfinished() == [(none, True)]
