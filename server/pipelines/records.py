"""Runs of pipelines as rows of the index: written whenever one changes, read after a start, a hundred of them kept.

A row is of a file and may hold anything; one that cannot be read is told in the log and left out.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.chains import Step, as_json, steps_of

from ..schemas.jobs import PipelineRun
from ..store import Store

log = logging.getLogger("bonsai.jobs")

KEPT_RUNS = 100  # that have ended
_FORGET = """DELETE FROM pipeline_runs WHERE status != 'running' AND seq NOT IN (
                 SELECT seq FROM pipeline_runs WHERE status != 'running' ORDER BY seq DESC LIMIT ?)"""
_WRITE = """INSERT INTO pipeline_runs (id, status, data) VALUES (?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET status = excluded.status, data = excluded.data"""


@dataclass(slots=True)
class Run:
    """A run as it is shown, and what it needs to go on."""

    shown: PipelineRun
    steps: list[Step]
    model: str | None
    force: bool
    known: dict[str, str] = field(default_factory=dict)  # ids of steps, and of their masks -> pictures
    starts: int = 0  # of the server, since the step that it is at began
    cancelled: bool = False


class _Row(BaseModel):
    shown: PipelineRun
    steps: list[object] = []
    model: str | None = None
    force: bool = False
    known: dict[str, str] = {}
    starts: int = 0
    cancelled: bool = False


class RunRecords:
    """Use from the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, run: Run) -> None:
        """One that has ended needs its steps no more. What the index does not take (a full disk) is not kept."""
        going = run.shown.status == "running"
        row = _Row(
            shown=run.shown,
            steps=list(as_json(run.steps)) if going else [],
            model=run.model,
            force=run.force,
            known=run.known if going else {},
            starts=run.starts,
            cancelled=run.cancelled,
        )
        try:
            self._store.execute(_WRITE, (run.shown.group, run.shown.status, row.model_dump_json()))
            if not going:
                self._store.execute(_FORGET, (KEPT_RUNS,))
        except sqlite3.Error as error:
            log.warning("pipeline %s could not be noted: %s", run.shown.group, error)

    def all(self) -> list[Run]:
        """In the order in which they began."""
        rows = self._store.execute("SELECT id, data FROM pipeline_runs ORDER BY seq")
        return [run for group, data in rows if (run := self._read(group, data)) is not None]

    def _read(self, group: object, data: object) -> Run | None:
        try:
            row = _Row.model_validate_json(data if isinstance(data, str) else "")
            steps = steps_of(row.steps) if row.shown.status == "running" else []
            if row.shown.group != group or len(steps) not in (0, row.shown.steps):
                raise ValueError("it is of another run")
        except (RequestError, ValidationError, ValueError):
            log.warning("pipeline %.40r cannot be read and is left out", group)
            self._store.execute("DELETE FROM pipeline_runs WHERE id = ?", (group,))
            return None
        return Run(row.shown, steps, row.model, row.force, row.known, row.starts, row.cancelled)
