"""`python -m server`: options, one line with the address, and a quick, clean end. Exit code 2: it could not start.

`python -m server reindex` makes the gallery's index anew from the image files.
"""

from __future__ import annotations

import gc

gc.disable()  # until all is imported: nothing of that is garbage, and looking for it is a tenth of the start

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import resource
import secrets
import signal
import socket
import sqlite3
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from bonsai_mlx import prepare
from bonsai_mlx.fileio import NotARegularFileError
from bonsai_mlx.hub import catalog
from bonsai_mlx.printable import log_to_stderr, printable
from bonsai_mlx.runtime import environment
from bonsai_mlx.runtime.environment import text
from bonsai_mlx.usage import Parser
from bonsai_mlx.version import __version__
from bonsai_mlx.wording import number, whole

from .app import create_app
from .edge.access import TICKET
from .edge.protocol import Connection
from .events import EventHub
from .gallery.decoder import Decoder
from .gallery.files import FolderInUseError, check_room, lock_folder
from .gallery.gallery import Gallery
from .hosts import address_in_network, in_url
from .index.migrations import IndexVersionError
from .settings import NoHomeError, Settings
from .store import NAME as INDEX
from .store import Store
from .studio import Studio
from .validation import explain

gc.freeze()  # and what was imported stays: no later look at it either
gc.enable()

_ANY = ("0.0.0.0", "::")  # noqa: S104
_ENDING = (signal.SIGHUP, signal.SIGQUIT)  # beside SIGINT and SIGTERM, which uvicorn knows
_ROOM_BYTES = 256 * 1024  # without room for the index's own files there is no point in starting
GRACEFUL_S = 1  # for answers that are being sent when the server is asked to end


def build_parser() -> argparse.ArgumentParser:
    """The options; what is left out comes from `BONSAI_*` variables, then from the defaults."""
    parser = Parser(prog="python -m server", description="The Bonsai image server and its page.")
    parser.add_argument("command", nargs="?", choices=("serve", "reindex"), default="serve", help="default: serve")
    parser.add_argument("--host", help="address to listen on; others than 127.0.0.1 need a token (one is made up)")
    parser.add_argument("--port", type=whole, help="default 8000; 0: any free one")
    parser.add_argument(
        "--output", metavar="FOLDER", help="where images are kept; default: outputs, or bonsai-images in your home"
    )
    parser.add_argument("--models-dir", metavar="FOLDER", help="checkpoints; default: Hugging Face cache")
    parser.add_argument("--upscalers-dir", metavar="FOLDER", help=".safetensors files of ESRGAN's kind; default: none")
    parser.add_argument("--loras", metavar="FOLDER", help="adapters; default: loras, or bonsai-loras in your home")
    published = catalog.published_names()
    parser.add_argument("--variant", choices=published, help=f"the default model; default {published[0]}")
    parser.add_argument(
        "--text-encoder",
        metavar="NAME|PATH",
        help="another one for downloaded models, not measured",
    )
    parser.add_argument("--decoder", metavar="NAME|PATH", help="another one for downloaded models: small, or a folder")
    parser.add_argument(
        "--preview-decoder", metavar="NAME|PATH", help="what draws their previews; default: taef2 if it is downloaded"
    )
    parser.add_argument(
        "--keep-alive", type=number, metavar="MINUTES", help="unload an idle engine; default 10, 0: never"
    )
    parser.add_argument("--memory-limit", metavar="BYTES", help="for the engine, such as 6GB; default: none")
    parser.add_argument("--token", help="what every request must carry; better set BONSAI_TOKEN")
    parser.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        help="keep the pictures from other users of this computer; default: where there is a token",
    )
    parser.add_argument("--allowed-host", action="append", metavar="NAME", help="a further name of this server")
    parser.add_argument("--queue-size", type=whole, metavar="N", help="waiting pictures; default 32")
    parser.add_argument("--no-browser", dest="browser", action="store_false", default=None, help="open no browser")
    parser.add_argument("--no-preview", dest="preview", action="store_false", default=None, help="draw no previews")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _refuse(message: str) -> NoReturn:
    print(f"bonsai: {printable(message)}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


def read_settings(options: dict[str, Any]) -> Settings:
    """Options over variables over defaults. A bad one ends the program with one line."""
    given = {name: value for name, value in options.items() if value not in (None, "") and name != "command"}
    if "allowed_host" in given:
        given["allowed_host"] = tuple(given["allowed_host"])
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        origin = f"--{name.replace('_', '-')}" if name in given else f"BONSAI_{name.upper()}"
        _refuse(f"{origin}: {explain(first).message}")
    except NoHomeError:
        _refuse("this user has no home folder (HOME); choose where images are kept with --output or BONSAI_OUTPUT")
    return settings


def with_token(settings: Settings) -> Settings:
    if settings.loopback or settings.token is not None:
        return settings
    return settings.model_copy(update={"token": secrets.token_urlsafe(24)})


def check_output(folder: Path) -> None:
    """Make the folder of the images and look whether its index opens, or end the program with one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_room(folder, _ROOM_BYTES)
        lock = lock_folder(folder)
        try:
            Store(folder).close()
        finally:
            os.close(lock)
    except (FolderInUseError, IndexVersionError) as error:
        _refuse(str(error))
    except sqlite3.Error as error:
        _refuse(
            f"cannot open {folder / INDEX}: {error}; close what else uses it, or choose another folder with --output"
        )
    except NotARegularFileError as error:
        _refuse(f"cannot open {error.filename}: {error.strerror}; remove it, or choose another folder with --output")
    except OSError as error:
        _refuse(f"cannot write to {folder}: {error.strerror}; choose another folder with --output")


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, or the end of the program with one line."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        if port and _somebody_answers(address):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        # only a socket that is told its protocol gets TCP_NODELAY from asyncio; without, kept connections wait 40 ms
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2_048)  # now: whoever reads the address below may connect at once
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _refuse(f"port {port} is in use; choose another one with --port")
        _refuse(f"cannot listen on {host}, port {port}: {error.strerror}")
    return listener


def _somebody_answers(address: Any) -> bool:
    """macOS lets a program listen on one address beside another that listens on all, and take what was for it."""
    host, port = address[:2]
    places = ("127.0.0.1", "::1", address_in_network()) if host in _ANY else (host,)
    for place in places:
        with contextlib.suppress(OSError), socket.create_connection((place, port), timeout=1):
            return True
    return False


def address_of(settings: Settings, port: int, ticket: str | None = None) -> str:
    """What to open in a browser on this computer, or, where others may come in, on theirs."""
    host = settings.host
    if host in _ANY:
        host = address_in_network()
    return f"http://{in_url(host)}:{port}" + (f"/?{TICKET}={ticket}" if ticket else "")


class Server(uvicorn.Server):
    """Ends the application's own long work before waiting for connections, which would otherwise never close."""

    def __init__(self, config: uvicorn.Config, studio: Studio) -> None:
        super().__init__(config)
        self._studio = studio

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A closed terminal and Ctrl-\\ end the server as SIGTERM does; whoever ignores them (nohup) goes on to."""
        main_thread = threading.current_thread() is threading.main_thread()  # nobody else may ask for signals
        heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        with super().capture_signals():
            before = {number: signal.signal(number, self._end) for number in heard} if main_thread else {}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _end(self, _number: int, frame: FrameType | None) -> None:
        self.handle_exit(signal.SIGTERM, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._studio.stop()
        await super().shutdown(sockets)


def configure(app: FastAPI) -> uvicorn.Config:
    """How uvicorn runs the application: one protocol, no WebSockets, bounded, silent."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=512,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACEFUL_S,
    )


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """An answer that is cut off because the server ends is no error, and neither is that it was waited for."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and "timeout graceful shutdown exceeded" not in str(record.msg)


def allow_open_files(count: int = 4_096) -> None:
    """As many files and connections at once as `count`, if the system lets us: macOS begins with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(settings: Settings, *, made_token: bool) -> None:
    """Run until SIGINT, SIGTERM, SIGHUP or SIGQUIT. A token that was made for this run is shown."""
    check_output(settings.output)
    allow_open_files()
    listener = listen(settings.host, settings.port)
    app = create_app(settings)
    port, tickets = listener.getsockname()[1], app.access.tickets if app.access else None
    address = address_of(settings, port, tickets.issue() if tickets else None)
    print(f"Bonsai is ready: {address}  (images: {printable(settings.output)})", flush=True)  # noqa: T201
    if made_token:
        print(f"That link works once. Other devices and programs need the token: {settings.token}", flush=True)  # noqa: T201
    if settings.browser:
        # one of its own: other users of this computer can read the arguments of its browser
        opened = address_of(settings, port, tickets.issue() if tickets else None)
        threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, after the shutdown that it caused
        Server(configure(app), app.state.studio).run(sockets=[listener])


def reindex(settings: Settings) -> None:
    check_output(settings.output)
    lock = lock_folder(settings.output)
    store = Store(settings.output)
    decoder = Decoder()
    gallery = Gallery(
        settings.output, store, EventHub(1, 1), decoder, settings.trash_days, private=settings.keep_private
    )
    gallery.prepare()
    count = asyncio.run(gallery.rebuild())
    decoder.close()
    store.close()
    os.close(lock)
    print(f"{count} images are in the index of {printable(settings.output)}")  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> None:
    environment.tidy()
    prepare()  # predictions of memory count the threads of the BLAS that the engine will have
    options = vars(build_parser().parse_args(arguments))
    log_to_stderr(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of every malformed request
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    logging.getLogger("bonsai.access").setLevel(logging.WARNING if not text("BONSAI_ACCESS_LOG") else logging.INFO)
    given = read_settings(options)
    settings = with_token(given)
    if options["command"] == "reindex":
        reindex(settings)
    else:
        serve(settings, made_token=settings.token != given.token)


if __name__ == "__main__":
    main()
