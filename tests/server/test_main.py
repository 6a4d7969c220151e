"""`python -m server` as people run it: start, one line, clear refusals, and a quick end that leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from server.__main__ import address_of, build_parser, check_output, listen, read_settings
from server.settings import Settings
from tests.hostile_pictures import plain_png
from tests.server.conftest import ROOT, LiveServer, ServerProcess, eventually
from tests.server.fake_engine import GATE

pytestmark = pytest.mark.slow

Spawn = Callable[..., ServerProcess]


def test_it_says_one_line_is_small_never_imports_mlx_and_ends_quietly(spawn: Spawn) -> None:
    server = spawn()
    assert re.fullmatch(rf"Bonsai is ready: http://127\.0\.0\.1:\d+  \(images: {server.output}\)\n", server.first_line)
    server.client.post("/generate", json={"prompt": "plain"}).raise_for_status()
    made = server.client.get("/images").json()["images"][0]["id"]
    (server.output / ".thumbnails" / f"{made}.webp").unlink()  # so that it is drawn anew
    for path in ("/", "/gallery", "/docs", "/sizes", "/models", "/images"):
        assert server.client.get(path).status_code == 200
    for path in (f"/images/{made}/thumbnail", f"/v1/images/{made}.jpeg", f"/v1/images/{made}.webp"):
        assert server.client.get(path).status_code == 200
    maps = (
        {Path(m.path).name for m in psutil.Process(server.process.pid).memory_maps()}
        if sys.platform == "linux"
        else set()
    )
    assert not [name for name in maps if "mlx" in name or "torch" in name or "_imaging" in name]
    assert server.client.get("/memory").json()["server_bytes"] < 120e6
    assert server.end() == ""
    assert server.process.returncode in (0, -signal.SIGTERM)


def test_importing_the_server_imports_no_tensor_library_and_a_low_limit_of_open_files_is_raised() -> None:
    heavy = ("mlx", "torch", "numpy", "PIL", "huggingface_hub.hf_api")
    code = f"""
import sys, server.__main__, server.app, server.engine.child, server.checkpoints.transfer_child
print([name for name in sys.modules if name.split('.')[0] in {heavy} or name in {heavy}])

import resource
from server.__main__ import allow_open_files
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
allow_open_files(300)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
allow_open_files(200)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_end_while_thumbnails_are_made_and_others_ask_says_nothing(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for number in range(40):
        (tmp_path / "out" / f"{number:032x}.png").write_bytes(plain_png(2_000, 2_000))
    server = spawn()
    eventually(lambda: server.client.get("/images?limit=1").json()["total"] == 40)
    host, port = server.url.split(":")
    asked = [socket.create_connection((host, int(port)), timeout=30) for _ in range(81)]
    head = f" HTTP/1.1\r\nHost: {server.url}\r\n"
    for number, connection in enumerate(asked[:40]):
        connection.sendall(f"GET /images/{number:032x}/thumbnail{head}\r\n".encode())
    asked[40].sendall(f"POST /inputs{head}Content-Length: 9000\r\nContent-Type: image/png\r\n\r\n\x89PNG".encode())
    for number, connection in enumerate(asked[41:]):
        connection.sendall(f"GET {('/images?limit=9', '/gallery', '/jobs', '/')[number % 4]}{head}\r\n".encode())
    assert asked[0].recv(12) == b"HTTP/1.1 200"
    said = server.end()
    for connection in asked:
        connection.close()
    assert [line for line in said.splitlines() if "up to date" not in line] == []


def is_done(server: ServerProcess, job: str) -> bool:
    return bool(server.client.get(f"/jobs/{job}").json()["status"] == "done")


def test_an_end_in_the_middle_of_a_picture(spawn: Spawn, tmp_path: Path) -> None:
    """By each signal in turn; the server that comes next draws what there was to draw, and is the next to end."""
    gate = tmp_path / "gate"
    gate.touch()
    server = spawn(**{GATE: str(gate)})
    jobs = [server.client.post("/jobs", json={"prompt": "hold"}).json()["jobs"][0]["id"] for _ in range(2)]
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        eventually(partial(is_drawn, server, jobs[0]))
        assert server.client.get(f"/jobs/{jobs[1]}").json()["status"] == "queued"
        end_in_the_middle(server, jobs[0], signal_number)
        server = spawn(**{GATE: str(gate)})
    gate.unlink()
    for job in jobs:  # what was drawn, and what waited
        eventually(partial(is_done, server, job))
        assert server.client.get(f"/jobs/{job}").json()["interruptions"] == 0


def is_drawn(server: ServerProcess, job: str) -> bool:
    return bool(server.client.get(f"/jobs/{job}").json()["phase"] == "denoise")


def end_in_the_middle(server: ServerProcess, job: str, signal_number: int) -> None:
    """While a picture is drawn that would never be finished."""
    children = server.children()
    assert children
    assert not [child for child in children if os.getsid(child.pid) == os.getsid(server.process.pid)]
    if signal_number != signal.SIGTERM:  # a terminal would not reach them; who sends it to a whole group does
        for child in children:
            child.send_signal(signal_number)
        assert server.client.get(f"/jobs/{job}").json()["status"] == "running"
    server.end(signal_number)
    assert server.process.returncode in (0, -signal.SIGTERM, -signal.SIGINT)
    eventually(lambda: not any(child.is_running() for child in children))


def test_a_server_outlives_its_terminal_where_it_is_to_and_its_log_holds_no_prompts(spawn: Spawn) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does it
    try:
        server = spawn(BONSAI_ACCESS_LOG="1")
    finally:
        signal.signal(signal.SIGHUP, before)
    server.process.send_signal(signal.SIGHUP)
    job = server.client.post("/jobs", json={"prompt": "plain"}).json()["jobs"][0]["id"]
    eventually(lambda: server.client.get(f"/jobs/{job}").json()["status"] == "done")
    server.client.post("/generate", json={"prompt": "raise my secret wish"})
    server.client.get("/gallery", params={"q": "my secret wish"})
    server.client.get("/%0d%0aforged%1b[31m")
    log = server.end()
    assert "GET /gallery 200" in log
    assert "secret" not in log.replace("secret details at", "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", log)


def test_kills_leave_no_child_and_lose_no_finished_picture(spawn: Spawn, tmp_path: Path) -> None:
    """While a picture is drawn, while the engine does not answer, and, a short form of the stress test, at any moment.

    What was drawn is drawn again by the next server; whatever was told to be done is there, whole.
    """
    gate = tmp_path / "gate"
    gate.touch()
    server = spawn("--queue-size", "100", **{GATE: str(gate)})
    for prompt in ("hold", "stop"):
        job = kill_in_the_middle(server, prompt)
        server = spawn("--queue-size", "100", **{GATE: str(gate)})
        found = server.client.get(f"/jobs/{job}").json()
        assert (found["interruptions"], found["status"] in ("queued", "running")) == (1, True), "it is drawn again"
        assert not [p for p in server.output.iterdir() if p.name.startswith(".tmp-")]
        server.client.delete(f"/jobs/{job}").raise_for_status()
    gate.unlink()
    acknowledged = draw_until_killed(server, enough=5)
    survivor = spawn("--queue-size", "100")
    idle = {"running": 0, "waiting": 0, "limit": 100, "paused": False}
    eventually(lambda: survivor.client.get("/jobs").json()["queue"] == idle)
    for image_id in acknowledged:
        assert survivor.client.get(f"/images/{image_id}.png").content.endswith(b"IEND\xaeB`\x82")
    files = {path.stem for path in survivor.output.glob("*.png")}
    listed = survivor.client.get("/images", params={"limit": 200}).json()["images"]
    assert files == {image["id"] for image in listed}
    assert not list(survivor.output.rglob(".tmp-*"))


def kill_in_the_middle(server: ServerProcess, prompt: str) -> str:
    """The job that was drawn; no child is left."""
    job: str = server.client.post("/jobs", json={"prompt": prompt}).json()["jobs"][0]["id"]
    eventually(partial(is_drawn, server, job))
    children = server.children()
    assert children
    server.end(signal.SIGKILL)
    eventually(lambda: not any(child.is_running() for child in children))
    return job


def draw_until_killed(server: ServerProcess, *, enough: int) -> set[str]:
    """The pictures that were told to be done, `enough` of them, until the server was killed while it drew the rest."""
    acknowledged: set[str] = set()
    for _ in range(2):
        body = {"prompt": "plain", "count": 8, "steps": 1, "width": 64}
        server.client.post("/jobs", json=body).raise_for_status()
    while len(acknowledged) < enough:
        listed = server.client.get("/jobs", params={"status": "done"}).json()["jobs"]
        acknowledged |= {job["image_id"] for job in listed}
    server.end(signal.SIGKILL)
    return acknowledged


def test_others_get_a_token_that_is_shown_once(spawn: Spawn) -> None:
    server = spawn("--host", "0.0.0.0")  # noqa: S104
    ticket = server.first_line.split("?ticket=")[1].split()[0]
    token = server.next_line().split()[-1]
    assert len(token) >= 32
    port = re.search(r":(\d+)/", server.first_line)
    assert port
    base = f"http://127.0.0.1:{port[1]}"
    assert httpx.get(f"{base}/health").status_code == 401
    assert httpx.get(f"{base}/health", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert [httpx.get(f"{base}/?ticket={ticket}").status_code for _ in range(2)] == [303, 401]
    assert token not in server.end()


def test_the_address_that_is_shown() -> None:
    assert address_of(Settings(), 8123) == "http://127.0.0.1:8123"
    assert address_of(Settings(host="::1"), 80) == "http://[::1]:80"
    named = Settings(host="studio.local", token="0123456789abcdef")  # noqa: S106
    assert address_of(named, 80, "a-ticket") == "http://studio.local:80/?ticket=a-ticket"


def test_kept_connections_answer_at_once() -> None:
    """asyncio switches Nagle's algorithm off only where a socket knows its protocol; otherwise answers wait 40 ms."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_whoever_listens_already_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On macOS the system alone would not: an address may be taken beside a program that listens on all of them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("nobody was noticed"))
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104
            with pytest.raises(SystemExit):
                listen(host, port)
            assert f"port {port} is in use" in capsys.readouterr().err


def _modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.lstat().st_mode)[-3:] for path in sorted(folder.rglob("*"))}


def test_pictures_are_private_where_there_is_a_token_or_that_is_wanted() -> None:
    token = ("--token", "a-long-secret-token")
    for options, private in ((), False), ((*token, "--no-private"), False), (token, True), (("--private",), True):
        assert read_settings(vars(build_parser().parse_args(options))).keep_private is private, options


def test_what_is_private_is_its_owners_alone(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    """Made new, and what everybody could read before; with a umask that hides nothing."""
    token = {"token": "a-long-secret-token"}
    for folder, options, private in ("a", {}, False), ("a", token, True), ("b", {"private": True}, True):
        before = os.umask(0o022)
        try:
            check_output(tmp_path / folder)  # as the program does
            server = serve(output=tmp_path / folder, **options)
            assert_modes(server, private=private)
            server.__exit__()
        finally:
            os.umask(before)


def assert_modes(server: LiveServer, *, private: bool) -> None:
    """Of everything that is there once a picture has been drawn and looked at."""
    output = server.settings.output
    server.client.headers["Authorization"] = "Bearer a-long-secret-token"
    server.client.post("/generate", json={"prompt": "a secret"}).raise_for_status()
    made = server.client.get("/images").json()["images"][0]["id"]
    (output / ".thumbnails" / f"{made}.webp").unlink()
    server.client.get(f"/images/{made}/thumbnail").raise_for_status()
    modes = _modes(output)
    assert {f"{made}.png", f"{made}.webp", ".bonsai.sqlite3", ".bonsai.sqlite3-wal"} <= modes.keys()
    folders = {modes.pop(name) for name in (".trash", ".thumbnails", ".inputs")} | {oct(output.stat().st_mode)[-3:]}
    assert folders == ({"700"} if private else {"755"})
    modes.pop(".bonsai.lock")
    assert set(modes.values()) == ({"600"} if private else {"644"}), modes


def test_a_link_planted_for_the_start_is_not_followed(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    first = os.getpid()
    for pid in range(first, first + 2_000):  # one of which will be the server's
        (tmp_path / "out" / f".tmp-{pid}").symlink_to(precious)
    spawn()
    assert precious.read_bytes() == b"precious"
