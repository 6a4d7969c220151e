"""A real server on a real socket, in a thread or in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bonsai_mlx.hub.catalog import lookup
from server.__main__ import Server, configure, listen
from server.app import create_app
from server.hosts import is_loopback
from server.settings import Settings
from server.studio import Studio
from tests.server.fake_engine import GATE
from tests.upscaling.files import compact, saved

ROOT = Path(__file__).resolve().parents[2]
NATIVE = lookup("seedling").recommended_size  # pixels, width and height, of what is drawn unless a test says otherwise
FAKE_ENGINE = "tests.server.fake_engine:backend"
QUICK: dict[str, Any] = {"engine": FAKE_ENGINE, "min_free_bytes": 0, "port": 0, "browser": False}
HASTY: dict[str, Any] = {  # limits that make a hung engine visible within a test's patience
    # For the tests of just that: on a busy machine an engine that is well may be silent for as long, since it gives way
    # to everything else there.
    "heartbeat_warn_s": 0.5,
    "heartbeat_kill_s": 2.5,
    "progress_floor_s": 5.0,
    "progress_unknown_s": 5.0,
}
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # where there is no TLS: else a client reads 140 certificates, 60 ms
_PATIENCE_S = 60.0  # a busy machine takes seconds to start an engine; what works waits no longer for that


def eventually(condition: Callable[[], Any], within_s: float = _PATIENCE_S) -> Any:
    """The first truthy value of `condition`; fails when there is none in time."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < within_s:
        value = condition()
        if value:
            return value
        time.sleep(min(0.01 + waited / 8, 0.05))  # asking takes the cores from what is waited for
    pytest.fail(f"it did not come true within {within_s} s")


class LiveServer:
    """The application behind uvicorn on a free port, in a thread of the test process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.studio: Studio = self.app.state.studio
        self._socket = listen(settings.host, 0)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{settings.host}:{self.port}"
        self._server = Server(configure(self.app), self.studio)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE_S, verify=PLAIN)

    def __enter__(self) -> LiveServer:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive(), "the server did not end"
        self._socket.close()

    def post_job(self, prompt: str, **fields: Any) -> dict[str, Any]:
        response = self.client.post("/jobs", json={"prompt": prompt, **fields})
        assert response.status_code == 202, response.text
        job: dict[str, Any] = response.json()["jobs"][0]
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/jobs/{job_id}").raise_for_status().json()
        return found

    def finished(self, job_id: str, within_s: float = _PATIENCE_S) -> dict[str, Any]:
        """The job once it has ended."""

        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["finished_at"] else None

        job: dict[str, Any] = eventually(ended, within_s)
        return job

    def running(self, job_id: str) -> dict[str, Any]:
        """The job once it draws."""

        def draws() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] == "running" and job["phase"] == "denoise" else None

        job: dict[str, Any] = eventually(draws)
        return job

    def worker_pid(self) -> int:
        [pid] = self.studio.engines.pids
        return pid


@pytest.fixture(autouse=True, scope="package")
def _nobody_else_is_called() -> Iterator[None]:
    """No test of the server, and so nothing that a request can make it do, opens a connection to another computer."""
    connect, called = socket.socket.connect, []
    own = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}

    def connect_here(self: socket.socket, address: Any) -> None:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and not is_loopback(str(address[0])) and address[0] not in own and self.type == socket.SOCK_STREAM:
            called.append(address)
            raise ConnectionRefusedError(f"{address} is another computer")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield
    assert called == []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    """Start servers with the given options, all in the same output folder unless told otherwise."""
    started: list[LiveServer] = []

    def start(**options: Any) -> LiveServer:
        settings = Settings(**(QUICK | {"output": tmp_path / "out"} | options))
        started.append(LiveServer(settings).__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture
def live(serve: Callable[..., LiveServer]) -> LiveServer:
    """One server with the fake engine."""
    return serve()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all tests of a module that leave it as they found it."""
    settings = Settings(**(QUICK | {"output": tmp_path_factory.mktemp("shared")}))
    with LiveServer(settings) as server:
        yield server


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server with the real engine, the embedded checkpoints, and an upscaler called `tiny`, for all tests."""
    folder = tmp_path_factory.mktemp("upscalers")
    saved(folder / "tiny.safetensors", compact(width=8))
    patient = {"progress_floor_s": 60.0, "progress_unknown_s": 120.0, "heartbeat_kill_s": 30.0}
    own = {"engine": "server.engine.backend:mlx_backend", "output": tmp_path_factory.mktemp("real")}
    with LiveServer(Settings(**(QUICK | patient | own | {"upscalers_dir": folder}))) as server:
        server.client.timeout = 120
        yield server


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists, jobs with `hold` in their prompt do not end. Use before a server is started."""
    path = tmp_path / "gate"
    path.touch()
    monkeypatch.setenv(GATE, str(path))
    return path


class ServerProcess:
    """`python -m server` as people run it."""

    def __init__(self, output: Path, *options: str, **environment: str) -> None:
        self.output = output
        arguments = ["--port", "0", "--output", str(output), "--no-browser", *options]
        quick = {
            f"BONSAI_{name.upper()}": str(value)
            for name, value in QUICK.items()
            if name in ("engine", "min_free_bytes")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server", *arguments],
            cwd=ROOT,
            env=os.environ | quick | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        assert "http://" in self.first_line, self.process.communicate()
        self.url = self.first_line.split("http://")[1].split()[0]
        self.client = httpx.Client(base_url=f"http://{self.url}", timeout=_PATIENCE_S, verify=PLAIN)
        eventually(self._answers)

    def next_line(self) -> str:
        """What it says after its address."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _answers(self) -> bool:
        try:
            return self.client.get("/health").status_code in (200, 401)
        except httpx.TransportError:
            return False

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, signal_number: int = signal.SIGTERM) -> str:
        """Send the signal, wait, and return what the process has written to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        _, errors = self.process.communicate(timeout=_PATIENCE_S)
        self.client.close()
        return errors


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start server processes; whatever still runs at the end is killed."""
    started: list[ServerProcess] = []

    def start(*options: str, **environment: str) -> ServerProcess:
        started.append(ServerProcess(tmp_path / "out", *options, **environment))
        return started[-1]

    yield start
    for server in started:
        server.end(signal.SIGKILL)


class EventStream:
    """The events of an open `/events` answer, one after the other, as {id, event, data}; comments are skipped."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name in ("id", "event"):
                event[name] = value
            elif name == "data":
                event["data"] = json.loads(value)
            elif not line and event:
                return event
        raise StopIteration
