"""A SOCKS5 proxy on loopback (RFC 1928, CONNECT without authentication)."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import struct
import threading
from typing import Any


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        near: socket.socket = self.request
        _, count = _exactly(near, 2)
        _exactly(near, count)
        near.sendall(b"\x05\x00")
        *_, kind = _exactly(near, 4)
        host = socket.inet_ntoa(_exactly(near, 4)) if kind == 1 else _exactly(near, _exactly(near, 1)[0]).decode()
        (port,) = struct.unpack(">H", _exactly(near, 2))
        with socket.create_connection((host, port)) as far:
            near.sendall(b"\x05\x00\x00\x01" + bytes(6))
            self.server.connections += 1  # type: ignore[attr-defined]
            _join(near, far)


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += stream.recv(count - len(data)) or _end()
    return data


def _end() -> bytes:
    raise ConnectionError("closed early")


def _join(near: socket.socket, far: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            for stream in select.select([near, far], [], [])[0]:
                data = stream.recv(65_536)
                if not data:
                    return
                (far if stream is near else near).sendall(data)


class SocksProxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = 0
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exception: Any) -> None:
        self.shutdown()
        super().__exit__(*exception)
