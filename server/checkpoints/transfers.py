"""A child process that downloads or checks a checkpoint, as the server sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..engine import child_process
from ..schemas.models import Download

Action = Literal["download", "pack", "verify"]
_STOP_S = 2.0


@dataclass
class Transfer:
    """A running one."""

    action: Action
    process: asyncio.subprocess.Process
    progress: Download
    task: asyncio.Task[None] | None = None  # what follows it

    @classmethod
    async def start(cls, command: Sequence[str], action: Action, begun: Download) -> Transfer:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=child_process.environment(),
            start_new_session=True,
        )
        return cls(action, process, begun)

    async def end(self) -> None:
        """Have it end: at first asked to, then forced."""
        assert self.task is not None  # noqa: S101
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


def progress_of(event: dict[str, Any]) -> Download:
    """What a line of the child's says. KeyError, TypeError, ValueError for one that says something else."""
    return Download(
        bytes_done=event["bytes_done"],
        bytes_total=event["bytes_total"],
        speed_bps=event["speed_bytes_s"],
        eta_s=event["eta_s"],
        file=event["file"] or None,
    )
