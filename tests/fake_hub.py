"""A Hugging Face Hub on loopback, as far as downloads go, that can be told to misbehave.

Two servers, as in the real world: the hub answers the API and serves small files itself, and sends those who ask for
large ones on to a content network of another origin. Both count what they serve.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", "tokenizer.json", ".bin", ".pt")
_CHUNK = 16 * 1024


def blob_id(data: bytes) -> str:
    """What git calls a file of that content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def digest(path: str, data: bytes) -> str:
    """What the Hub calls a file of that content: sha256 for large files, the git blob id for small ones."""
    return hashlib.sha256(data).hexdigest() if path.endswith(LFS_SUFFIXES) else blob_id(data)


@dataclass
class Fault:
    """What goes wrong with a file, for the next `times` requests of its content."""

    status: int = 0  # answer this instead of the file
    cut_after: int = -1  # close the connection after this many bytes of the body
    flip_bit: int = -1  # bit number in the whole file
    chunk_delay_s: float = 0.0
    ignore_range: bool = False
    surplus_bytes: int = 0  # sent after the end of the file
    times: int = 1_000_000


@dataclass
class Request:
    server: str  # "hub" or "cdn"
    method: str
    path: str
    authorization: str | None
    range: str | None
    user_agent: str


@dataclass
class FakeHub:
    """Repositories by name, faults by file path, and a record of what was asked for and served."""

    endpoint: str = ""
    cdn: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    token: str | None = None  # None: everything is public
    expired_token: str | None = None  # refused, even for what is public
    api_status: list[int] = field(default_factory=list)  # answers for the next requests to the API
    api_silence_s: float | None = None  # the API says nothing for so long and then hangs up
    hold_at: float = math.inf  # of content, when so many bytes were sent, no more come until this is changed
    requests: list[Request] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)  # file path -> bytes of content sent
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def commit(self, repo: str) -> str:
        """The one commit of a repository; it changes with the content."""
        listing = "".join(f"{path}{digest(path, data)}" for path, data in sorted(self.repos[repo].items()))
        return hashlib.sha1(f"{repo}{listing}".encode(), usedforsecurity=False).hexdigest()

    @property
    def bytes_served(self) -> int:
        return sum(self.served.values())

    def forget(self) -> None:
        """Start counting anew."""
        self.requests.clear()
        self.served.clear()

    def count(self, path: str, size: int) -> None:
        with self._counting:  # a connection that was cut may still be counting when the next one begins
            self.served[path] = self.served.get(path, 0) + size

    def fault_for(self, path: str) -> Fault:
        fault = self.faults.get(path)
        if fault is None or fault.times <= 0:
            return Fault()
        fault.times -= 1
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    hub: FakeHub
    server_name = ""

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was stopped in the middle
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        authorization = self.headers.get("Authorization")
        asked = (self.headers.get("Range"), self.headers.get("User-Agent", ""))
        self.hub.requests.append(Request(self.server_name, self.command, url.path, authorization, *asked))
        if self.server_name == "cdn":
            self._file("/".join(parts[1:3]), "/".join(parts[3:]), body=body)
        elif self.hub.expired_token and authorization == f"Bearer {self.hub.expired_token}":
            self._invalid_token()
        elif self.hub.token and authorization != f"Bearer {self.hub.token}":
            self._json({"error": "Invalid username or password."}, status=401)
        elif parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:], parse_qs(url.query))
        elif len(parts) < 5:
            self._json({"error": "Not found"}, status=404)
        else:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body=body)

    def _api(self, repo: str, rest: list[str], query: dict[str, list[str]]) -> None:
        if self.hub.api_silence_s is not None:
            time.sleep(self.hub.api_silence_s)
            self.close_connection = True
            return None
        if self.hub.api_status:
            return self._json({"error": "told to"}, status=self.hub.api_status.pop(0))
        if repo not in self.hub.repos:
            return self._json({"error": "Repository not found"}, status=404, code="RepoNotFound")
        commit = self.hub.commit(repo)
        if len(rest) > 1 and rest[1] not in ("main", commit):
            return self._json({"error": "Invalid rev id"}, status=404, code="RevisionNotFound")
        files = self.hub.repos[repo]
        if rest[:1] == ["tree"]:
            return self._json([_tree_entry(path, data) for path, data in files.items()])
        siblings = [_sibling(path, data, blobs="blobs" in query) for path, data in files.items()]
        return self._json({"id": repo, "sha": commit, "siblings": siblings})

    def _resolve(self, repo: str, revision: str, path: str, *, body: bool) -> None:
        data = self.hub.repos.get(repo, {}).get(path)
        if data is None or revision not in ("main", self.hub.commit(repo)):
            return self._json({"error": "Entry not found"}, status=404, code="EntryNotFound")
        linked = {
            "X-Repo-Commit": self.hub.commit(repo),
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{digest(path, data)}"',
        }
        if not path.endswith(LFS_SUFFIXES):
            return self._file(repo, path, body=body, headers=linked)
        return self._head(302, {**linked, "Location": f"{self.hub.cdn}/cdn/{repo}/{path}", "Content-Length": "0"})

    def _file(self, repo: str, path: str, *, body: bool, headers: dict[str, str] | None = None) -> None:
        data = self.hub.repos[repo][path]
        fault = self.hub.fault_for(path) if body else Fault()
        data += bytes(fault.surplus_bytes)
        if fault.status:
            return self._json({"error": "told to"}, status=fault.status)
        start = self._range_start() if not fault.ignore_range else 0
        if start and start >= len(data):
            return self._head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
        status = 206 if start else 200
        headers = {"ETag": f'"{digest(path, data)}"', "Content-Length": str(len(data) - start), **(headers or {})}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(status, headers)
        if body:
            self._send(path, data, start, fault)
        return None

    def _range_start(self) -> int:
        wanted = self.headers.get("Range", "")
        return int(wanted.removeprefix("bytes=").split("-")[0]) if wanted.startswith("bytes=") else 0

    def _send(self, path: str, data: bytes, start: int, fault: Fault) -> None:
        if fault.flip_bit >= 0:
            flipped = bytearray(data)
            flipped[fault.flip_bit // 8] ^= 1 << fault.flip_bit % 8
            data = bytes(flipped)
        end = len(data) if fault.cut_after < 0 else min(len(data), start + fault.cut_after)
        try:
            for position in range(start, end, _CHUNK):
                if self._held():
                    break
                piece = data[position : min(end, position + _CHUNK)]
                self.hub.count(path, len(piece))  # before it goes: who has a whole file finds all of it counted
                self.wfile.write(piece)
                if fault.chunk_delay_s:
                    time.sleep(fault.chunk_delay_s)
        except OSError:  # the client has gone
            self.close_connection = True
        if end < len(data):
            self.close_connection = True

    def _held(self) -> bool:
        """Waits where the test wants it to; True if so, and then whoever was served is done with."""
        at = self.hub.hold_at
        if held := self.hub.bytes_served >= at:
            while self.hub.hold_at == at:
                time.sleep(0.005)
            self.close_connection = True
        return held

    def _invalid_token(self) -> None:
        self._head(401, {"X-Error-Message": "Invalid credentials in Authorization header", "Content-Length": "0"})

    def _json(self, value: object, *, status: int = 200, code: str | None = None) -> None:
        data = json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        self._head(status, headers | ({"X-Error-Code": code} if code else {}))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _sibling(path: str, data: bytes, *, blobs: bool) -> dict[str, object]:
    if not blobs:
        return {"rfilename": path}
    entry = {"rfilename": path, "size": len(data), "blobId": blob_id(data)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"sha256": digest(path, data), "size": len(data), "pointerSize": 134}
    return entry


def _tree_entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": digest(path, data), "size": len(data), "pointerSize": 134}
    return entry


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A running FakeHub; its `endpoint` goes into HF_ENDPOINT."""
    hub = FakeHub()
    servers = [_start(name, hub) for name in ("hub", "cdn")]
    hub.endpoint, hub.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        hub.hold_at = math.inf  # whoever is held goes on, and ends
        for server in servers:
            server.shutdown()
            server.server_close()


def _start(name: str, hub: FakeHub) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "server_name": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    return server
