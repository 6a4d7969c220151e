"""The engine's child process, seen from the server: started when needed, watched, ended, restarted when it dies.

Owns the process and the two pipes to it (protocol.py). One run at a time: `run` yields the child's events and raises
`WorkerLostError` when the process died, had to be ended, or said what is not understood. A process that stays silent is
suspicious in two ways: no heartbeat (stopped, or swapped out beyond hope), or heartbeats without progress (a hung
device); both have a limit. After a loss the next start waits a little longer each time, until a run succeeds; a cancel
ends that waiting. Knows nothing of queues, galleries or HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeAlias

from ..schemas.names import WorkerState
from ..settings import Settings
from . import child_process
from .losses import MemoryWitness, WorkerLostError, explain_exit
from .protocol import (
    Cancel,
    Cancelled,
    Command,
    Done,
    Event,
    Failed,
    Memory,
    Phase,
    Progress,
    ProtocolError,
    Ready,
    RunEvent,
    Work,
    framed,
    next_event,
)

log = logging.getLogger("bonsai.worker")

_Events: TypeAlias = asyncio.Queue[Event | ProtocolError | None]

_NONSENSE = "The drawing process said what this server does not understand. The next picture starts a fresh one."
_BACKOFF_S = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # before a start, by the losses since the last success
_ENDS = (Done, Failed, Cancelled)
_TICK_S = 0.1  # how often silence is looked at
_GRACE_S = 0.3  # for the process to end by itself when its input closes
_LEAK_BYTES = 1_500_000_000  # growth between two pictures of one model after which a fresh process is used


class Worker:
    """Use from the event loop. `on_state` hears of every change of state with a sentence for people, or None."""

    def __init__(self, settings: Settings, on_state: Callable[[WorkerState, str | None], None]) -> None:
        self._settings = settings
        self._on_state = on_state
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._events: _Events = asyncio.Queue()
        self._starting = asyncio.Lock()
        self._ending = asyncio.Lock()
        self._losses = 0
        self._heard_at = 0.0
        self._settled_bytes: dict[str, tuple[int, int]] = {}  # model -> after a picture: the least, and the latest
        self._cancelled: str | None = None
        self._cancelled_at = 0.0  # time.monotonic()
        self._cancel_came = asyncio.Event()
        self.state: WorkerState = "stopped"
        self._witness = MemoryWitness()
        self.memory = Memory()
        self.model: str | None = None
        self.phase: Phase | None = None
        self.device: str | None = None  # "metal", "cuda" or "cpu", once a child has told
        self._changed_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def idle_s(self) -> float:
        """For how long a loaded engine has had nothing to do; 0 without one."""
        return time.monotonic() - self._changed_at if self.state == "idle" else 0.0

    @property
    def _is_silent(self) -> bool:
        return time.monotonic() - self._heard_at > self._settings.heartbeat_kill_s

    @property
    def _talks(self) -> bool:
        """Whether there is a child; one whose events have ended is gone, even if its exit status is yet to come."""
        return self.pid is not None and self._reading is not None and not self._reading.done()

    @property
    def _leaks(self) -> bool:
        """Whether memory between two pictures has grown for no reason since this child began.

        A model is compared with itself: another one may be larger.
        """
        return any(latest > least + _LEAK_BYTES for least, latest in self._settled_bytes.values())

    def _become(self, state: WorkerState, message: str | None = None) -> None:
        if state != self.state or message:
            self.state, self._changed_at = state, time.monotonic()
            self._on_state(state, message)

    # the process

    async def start(self) -> None:
        """Start the child unless it runs. WorkerLostError: it cannot start."""
        async with self._starting:
            if self._talks and not self._is_silent:
                return
            await self.stop()
            self._become("starting")
            self._process = await asyncio.create_subprocess_exec(
                *(*child_process.command("server.engine.child"), self._settings.engine),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # the engine loads what is there; only the downloader talks to the Hub
                env=child_process.environment(HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1"),
                start_new_session=True,  # what a terminal sends does not reach it, however early in its start
            )
            self._events = asyncio.Queue()
            self._heard_at = time.monotonic()
            self._reading = asyncio.create_task(self._read(self._process, self._events))
            await self._wait_until_ready()

    async def _wait_until_ready(self) -> None:
        event = await self._next_event(lambda: self._settings.start_s)
        if not isinstance(event, Ready):
            raise WorkerLostError(_NONSENSE)
        self.device = event.device
        self._become("idle")

    async def _read(
        self, process: asyncio.subprocess.Process, events: asyncio.Queue[Event | ProtocolError | None]
    ) -> None:
        """Sort the child's events until its end: figures are kept, the others wait for `run`."""
        assert process.stdout is not None  # noqa: S101
        try:
            while event := await next_event(process.stdout):
                self._heard_at = time.monotonic()
                if isinstance(event, Memory):
                    self._note_memory(event)
                else:
                    events.put_nowait(event)
        except ProtocolError as error:
            log.warning("the drawing process is ended: %s", error)
            events.put_nowait(error)
            _kill(process)
        except ConnectionError:
            pass  # of a process that is being ended
        events.put_nowait(None)
        if process is self._process and self.state == "idle":  # nobody waits for an event that would tell
            self.memory, self.model = Memory(), None
            self._become("stopped")

    def _note_memory(self, memory: Memory) -> None:
        self.memory = memory
        self._witness.look()
        if memory.settled is not None:
            held = memory.process_bytes
            least, _ = self._settled_bytes.get(memory.settled, (held, held))
            self._settled_bytes[memory.settled] = min(least, held), held

    def _send(self, command: Command) -> None:
        if self._process is None or self._process.stdin is None:
            raise WorkerLostError("The drawing process is not running.")
        self._process.stdin.write(framed(command))

    async def stop(self) -> None:
        # taken before anything is awaited: a run that begins meanwhile gets a child, which is not the one to end
        process, self._process = self._process, None
        reading, self._reading = self._reading, None
        async with self._ending:  # where that run waits, so that there are never two
            if process is not None:
                await _end(process)
            if reading is not None:
                reading.cancel()
                self._events.put_nowait(None)  # whoever waits for an event learns that none will come
                self.memory, self.model, self.phase, self._settled_bytes = Memory(), None, None, {}
                self._become("stopped")

    # one run

    async def run(
        self, command: Work, allowed_silence_s: Callable[[Progress | None], float]
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of one run; the last is `Done`, `Failed` or `Cancelled`. Raises WorkerLostError.

        `allowed_silence_s` says, given the last progress, how long the next event may take; it is asked again after a
        cancel, and its answer then counts from that moment. Leaving early cancels the run.
        """
        if self._leaks:
            log.warning("the drawing process has grown to %d bytes and is replaced", self.memory.process_bytes)
            await self.stop()
        if await self._cancelled_before_a_start(command.job):
            yield Cancelled(command.job)
            return
        last: RunEvent | None = None
        try:
            await self.start()
            self._become("busy")
            self._witness.begin()
            self.model = command.checkpoint.model
            if self._cancelled == command.job:  # while the process was not ready to be told
                self._send(Cancel(command.job))
            self._send(command)
            progress: Progress | None = None
            while not isinstance(last, _ENDS):
                last = await self._next_of(command.job, partial(allowed_silence_s, progress))
                progress = last if isinstance(last, Progress) else progress
                self.phase = last.phase if isinstance(last, Progress) else None
                yield last
        except WorkerLostError as loss:
            self._losses += 1
            log.warning("the drawing process was lost: %s", loss)
            await self.stop()
            raise
        except (GeneratorExit, asyncio.CancelledError):  # whoever follows the run cannot go on
            if not isinstance(last, _ENDS):
                self.cancel(command.job)
            self._become("idle")
            raise
        self._losses, self._cancelled = 0, None
        if isinstance(last, Failed) and last.device_lost:  # macOS may refuse all further work of such a process
            await self.stop()
        else:
            self._become("idle")

    async def _next_of(self, job: str, allowed_silence_s: Callable[[], float]) -> RunEvent:
        """The next event of this run; those of one before, which nobody followed to its end, are passed over."""
        while True:
            event = await self._next_event(allowed_silence_s)
            if isinstance(event, Ready | Memory):
                raise WorkerLostError(_NONSENSE)
            if event.job == job:
                return event

    async def _cancelled_before_a_start(self, job: str) -> bool:
        """Whether no process is needed, because the run was cancelled; after losses in a row, this waits a while."""
        if self.pid is not None:
            return False
        self._cancel_came.clear()
        pause_s = _BACKOFF_S[min(self._losses, len(_BACKOFF_S) - 1)]
        if pause_s and self._cancelled != job:
            self._become("starting")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._cancel_came.wait()
        if self._cancelled == job:
            self._become("stopped")
            return True
        return False

    def cancel(self, job: str) -> None:
        if self._cancelled != job:
            self._cancelled, self._cancelled_at = job, time.monotonic()
        self._cancel_came.set()
        with contextlib.suppress(WorkerLostError):
            self._send(Cancel(job))

    async def _next_event(self, allowed_silence_s: Callable[[], float]) -> Event:
        asked = time.monotonic()
        deadline = asked + allowed_silence_s()
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    event = await self._events.get()
            except TimeoutError:
                since = max(asked, self._cancelled_at)  # a cancel may only shorten the wait
                self._look_at_silence(min(deadline, since + allowed_silence_s()))
                continue
            if isinstance(event, ProtocolError):
                raise WorkerLostError(_NONSENSE)
            if event is None:
                raise await self._explain_end()
            return event

    def _look_at_silence(self, deadline: float) -> None:
        silent_s = time.monotonic() - self._heard_at
        if self.state == "starting":  # importing the engine reports nothing
            silent_s = 0.0
        if time.monotonic() > deadline or silent_s > self._settings.heartbeat_kill_s:
            if self._process is not None:
                _kill(self._process)
            raise WorkerLostError(
                "The drawing process did not respond any more and was ended. The next picture starts afresh."
            )
        if silent_s > self._settings.heartbeat_warn_s:
            self._become("unresponsive", "The drawing process does not respond.")
        elif self.state == "unresponsive":
            self._become("busy")

    async def _explain_end(self) -> WorkerLostError:
        if self._process is None:
            return WorkerLostError("The drawing process was ended.")
        try:
            async with asyncio.timeout(2):
                code = await self._process.wait()
        except TimeoutError:
            _kill(self._process)
            code = await self._process.wait()
        return explain_exit(code, self.device, self._witness.shortage, self._witness.least)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    assert process.stdin is not None  # noqa: S101
    process.stdin.close()  # the child ends by itself
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
