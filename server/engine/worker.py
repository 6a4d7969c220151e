"""The engine's child process, seen from the server: started when needed, watched, ended, restarted when it dies.

Owns the process and the two pipes to it. One run at a time: `run` yields the child's events and raises
`WorkerLostError` when the process died or had to be ended. A process that stays silent is suspicious in two ways: no
heartbeat (stopped, or swapped out beyond hope), or heartbeats without progress (a hung device); both have a limit.
After a loss the next start waits a little longer each time, until a run succeeds; a cancel ends that waiting. Knows
nothing of queues, galleries or HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from ..schemas import JobPhase, WorkerState
from ..settings import Settings
from . import process as children

log = logging.getLogger("bonsai.worker")

Message = dict[str, Any]
_EVENTS = ("progress", "done", "error", "cancelled")  # of a run
_NONSENSE = "The drawing process said what this server does not understand. The next picture starts a fresh one."
_BACKOFF_S = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # before a start, by the losses since the last success
_LINE_LIMIT = 8 << 20  # bytes of one event; previews are the longest
_TICK_S = 0.1  # how often silence is looked at
_GRACE_S = 0.3  # for the process to end by itself when its input closes
_LEAK_BYTES = 1_500_000_000  # growth between two pictures of one model after which a fresh process is used


class WorkerLostError(Exception):
    """The child process is gone in the middle of a run. The message is for people."""

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class Worker:
    """Use from the event loop. `on_state` hears of every change of state with a sentence for people, or None."""

    def __init__(self, settings: Settings, on_state: Callable[[WorkerState, str | None], None]) -> None:
        self._settings = settings
        self._on_state = on_state
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._starting = asyncio.Lock()
        self._ending = asyncio.Lock()
        self._losses = 0
        self._heard_at = 0.0
        self._settled_bytes: dict[str, tuple[int, int]] = {}  # model -> after a picture: the least, and the latest
        self._cancelled: str | None = None
        self._cancelled_at = 0.0  # time.monotonic()
        self._cancel_came = asyncio.Event()
        self.state: WorkerState = "stopped"
        self.memory: dict[str, int] = {}
        self.model: str | None = None
        self.phase: JobPhase | None = None
        self.device: str | None = None  # "metal", "cuda" or "cpu", once a child has told
        self._changed_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The child's process id; None without one."""
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
                *(*children.command("server.engine.child"), self._settings.engine),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # the engine loads what is there; only the downloader talks to the Hub
                env=children.environment(HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1"),
                limit=_LINE_LIMIT,
                start_new_session=True,  # what a terminal sends does not reach it, however early in its start
            )
            self._messages = asyncio.Queue()
            self._heard_at = time.monotonic()
            self._reading = asyncio.create_task(self._read(self._process, self._messages))
            await self._wait_until_ready()

    async def _wait_until_ready(self) -> None:
        message = await self._next_message(lambda: self._settings.start_s)
        if message["event"] != "ready":
            raise WorkerLostError(_NONSENSE)
        self.device = message["device"]
        self._become("idle")

    async def _read(self, process: asyncio.subprocess.Process, messages: asyncio.Queue[Message | None]) -> None:
        """Sort the child's events until its end: figures are kept, the others wait for `run`."""
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(ValueError, ConnectionError):  # ValueError: a line beyond the limit; treated as lost
            async for line in process.stdout:
                self._heard_at = time.monotonic()
                try:
                    message: Message = json.loads(line)
                    if message["event"] == "memory":
                        self._note_memory(message)
                        continue
                except (ValueError, KeyError, TypeError):
                    message = {"event": "unreadable"}
                messages.put_nowait(message)
        messages.put_nowait(None)
        if process is self._process and self.state == "idle":  # nobody waits for an event that would tell
            self.memory, self.model = {}, None
            self._become("stopped")

    def _note_memory(self, message: Message) -> None:
        self.memory = {
            name: value for name, value in message.items() if name.endswith("_bytes") and isinstance(value, int)
        }
        if model := message.get("settled"):  # after a run, with everything freed that is going to be
            held = message["process_bytes"]
            least, _ = self._settled_bytes.get(model, (held, held))
            self._settled_bytes[model] = min(least, held), held

    def _send(self, command: str, **fields: Any) -> None:
        if self._process is None or self._process.stdin is None:
            raise WorkerLostError("The drawing process is not running.")
        self._process.stdin.write(json.dumps({"command": command, **fields}).encode() + b"\n")

    async def stop(self) -> None:
        """End the child, whatever it is doing; all its memory returns to the system."""
        # taken before anything is awaited: a run that begins meanwhile gets a child, which is not the one to end
        process, self._process = self._process, None
        reading, self._reading = self._reading, None
        async with self._ending:  # where that run waits, so that there are never two
            if process is not None:
                await _end(process)
            if reading is not None:
                reading.cancel()
                self._messages.put_nowait(None)  # whoever waits for an event learns that none will come
                self.memory, self.model, self.phase, self._settled_bytes = {}, None, None, {}
                self._become("stopped")

    # one run

    async def run(
        self, command: Message, allowed_silence_s: Callable[[Message | None], float]
    ) -> AsyncGenerator[Message, None]:
        """Yield the events of one run; the last is `done`, `error` or `cancelled`. Raises WorkerLostError.

        `allowed_silence_s` says, given the last event, how long the next one may take; it is asked again after a
        cancel, and its answer then counts from that moment.
        """
        if self._leaks:
            log.warning("the drawing process has grown to %d bytes and is replaced", self.memory["process_bytes"])
            await self.stop()
        if await self._cancelled_before_a_start(command["job"]):
            yield {"event": "cancelled", "job": command["job"]}
            return
        try:
            await self.start()
            self._become("busy")
            self.model = command["checkpoint"]["model"]
            if self._cancelled == command["job"]:  # while the process was not ready to be told
                self._send("cancel", job=command["job"])
            self._send("run", **command)
            last: Message | None = None
            while last is None or last["event"] == "progress":
                message = await self._next_message(partial(allowed_silence_s, last))
                if message["event"] not in _EVENTS:  # of a program that is not ours, or of another version
                    raise WorkerLostError(_NONSENSE)
                if message.get("job") == command["job"]:
                    last, self.phase = message, message.get("phase")
                    yield message
        except WorkerLostError as loss:
            self._losses += 1
            log.warning("the drawing process was lost: %s", loss)
            await self.stop()
            raise
        except GeneratorExit:  # whoever follows the run cannot go on
            if last is not None and last["event"] == "progress":
                self.cancel(command["job"])
            self._become("idle")
            raise
        self._losses, self._cancelled = 0, None
        if last.get("device_lost"):  # macOS may refuse all further work of a process whose work the GPU gave up
            await self.stop()
        else:
            self._become("idle")

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
        """Ask the child to stop a run; it does after the step it is in."""
        if self._cancelled != job:
            self._cancelled, self._cancelled_at = job, time.monotonic()
        self._cancel_came.set()
        with contextlib.suppress(WorkerLostError):
            self._send("cancel", job=job)

    async def _next_message(self, allowed_silence_s: Callable[[], float]) -> Message:
        asked = time.monotonic()
        deadline = asked + allowed_silence_s()
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    message = await self._messages.get()
            except TimeoutError:
                since = max(asked, self._cancelled_at)  # a cancel may only shorten the wait
                self._look_at_silence(min(deadline, since + allowed_silence_s()))
                continue
            if message is None:
                raise await self._explain_end()
            return message

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
        return explain_exit(code)


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


def explain_exit(code: int) -> WorkerLostError:
    """Why a child ended that should not have, from its exit status."""
    again = "The next picture starts a fresh one."
    if code == -signal.SIGKILL:
        cause = "was ended by the system, most likely because memory ran out"
        return WorkerLostError(f"The drawing process {cause}. {again} A smaller size needs less.", out_of_memory=True)
    if code == -signal.SIGABRT:
        cause = "crashed, as happens when the graphics device runs out of memory"
        return WorkerLostError(f"The drawing process {cause}. {again} A smaller size needs less.", out_of_memory=True)
    how = f"crashed with signal {-code}" if code < 0 else f"ended unexpectedly with status {code}"
    return WorkerLostError(f"The drawing process {how}. {again}")
