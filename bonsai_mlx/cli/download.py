"""`bonsai-mlx download`: checkpoints that come.

`scripts/download_model.py` is this command too. A parent that reads the JSON lines pauses by
ending the process (SIGTERM): nothing needs to be cleaned up, the next run goes on from there.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from ..errors import BonsaiError, CheckpointError, RequestError
from ..hub import api as hub
from ..hub.catalog import published_names, to_download
from ..hub.entry import Entry
from ..hub.progress import DownloadProgress
from ..hub.published import kind_of
from ..printable import printable
from ..runtime.environment import is_terminal
from ..wording import command, format_bytes, format_duration

_EVERY_S = {True: 0.2, False: 5.0}  # between two updates, on a terminal and in a log
_BAR_CHARS = 24
Show = Callable[[Iterable[DownloadProgress]], None]


def progress_line(title: str, progress: DownloadProgress) -> str:
    share = min(1.0, progress.bytes_done / progress.bytes_total) if progress.bytes_total else 1.0
    bar = ("#" * int(share * _BAR_CHARS)).ljust(_BAR_CHARS, ".")
    parts = [
        f"{title} [{bar}] {share:4.0%}",
        f"{format_bytes(progress.bytes_done)} of {format_bytes(progress.bytes_total)}",
        f"{format_bytes(progress.speed_bytes_s)}/s" if progress.speed_bytes_s else "",
        f"{left} left" if (left := format_duration(progress.eta_s)) and not progress.done else "",
        f"{progress.activity} {printable(progress.file)}".strip(),
    ]
    return "  ".join(part for part in parts if part)


def show_progress(events: Iterable[DownloadProgress], title: str, stream: TextIO | None = None) -> None:
    """Draw `events` on a terminal as one line that is kept up to date, or in a log as a line every few seconds."""
    stream = stream or sys.stderr
    terminal = is_terminal(stream)
    shown_s, open_line = 0.0, False
    try:
        for progress in events:
            if not progress.done and time.monotonic() - shown_s < _EVERY_S[terminal]:
                continue
            shown_s, open_line = time.monotonic(), terminal
            line = progress_line(title, progress)
            width = shutil.get_terminal_size().columns - 1
            stream.write(f"\r{line[:width]}\x1b[K" if terminal else f"{line}\n")
            stream.flush()
    finally:
        if open_line:  # whatever comes next, an error perhaps, starts on a line of its own
            stream.write("\n")


def write_json(events: Iterable[DownloadProgress], title: str, stream: TextIO | None = None) -> None:
    """One JSON object per event and line, with the fields of DownloadProgress and the checkpoint's `name`."""
    stream = stream or sys.stdout
    shown_s = 0.0
    for progress in events:
        if progress.done or time.monotonic() - shown_s >= _EVERY_S[True]:
            shown_s = time.monotonic()
            stream.write(json.dumps({"name": title, **asdict(progress)}, default=str) + "\n")
            stream.flush()


def download_command(
    which: str,
    *,
    origin: str | None = None,
    folder: Path | None = None,
    revision: str | None = None,
    token: str | None = None,
    verify: bool = False,
    as_json: bool = False,
) -> int:
    """Download a checkpoint, "both" published ones or a Hub repository, telling the terminal; returns the exit status.

    0: everything is there and right; 1: it is not, with the reason on stderr (and as JSON, if asked for); 2: there is
    no checkpoint of that name; 130: interrupted. `verify` hashes again what was there already. `both` makes a folder
    for each in `folder`.
    """
    try:
        entries = [to_download(name) for name in (published_names() if which == "both" else (which,))]
    except CheckpointError as error:
        return _fail(error, 2, as_json=as_json)
    for entry in entries:
        place = folder / entry.name if folder and len(entries) > 1 else folder
        try:
            if origin or (entry.made_from and not entry.repo):
                _download_packed(entry, place, revision, token, as_json=as_json)
            else:
                _download_one(entry, place, revision, token, verify=verify, as_json=as_json)
        except BonsaiError as error:
            return _fail(error, 1, as_json=as_json)
        except KeyboardInterrupt:
            sys.stderr.write(
                f"Stopped. Nothing is lost; this goes on from there: {hub.remedy(entry, place, revision, origin)}\n"
            )
            return 130
    return 0


def _download_one(
    entry: Entry, place: Path | None, revision: str | None, token: str | None, *, verify: bool, as_json: bool
) -> None:
    before = hub.status(entry, place, revision)
    show = write_json if as_json else show_progress
    show(hub.download(entry, place, revision, token), entry.name)
    if verify and before.state != "absent":  # what has just come was hashed a moment ago
        show(hub.verify(entry, place, revision), entry.name)
    if not as_json:
        sys.stderr.write(_ready_words(entry, place, revision))


def _download_packed(
    entry: Entry, place: Path | None, revision: str | None, token: str | None, *, as_json: bool
) -> None:
    from ..conversion.download import download_packed  # the one download that needs MLX

    if revision is not None:
        raise RequestError("--revision", "is not taken with --from: it packs the known good one")
    show = write_json if as_json else show_progress
    show(download_packed(entry, place, token), entry.name)
    if not as_json:
        sys.stderr.write(_ready_words(entry, place, None))


def _ready_words(entry: Entry, place: Path | None, revision: str | None) -> str:
    """Where it is, and how to use it where its name stands for something else.

    The name means the cache, and there the catalog's own revision if the cache has that too.
    """
    path = hub.status(entry, place, revision).path
    words = f"{printable(entry.title)} is ready: {printable(path)}\n"
    if path is None or entry.embedded:
        return words
    kind = kind_of(entry)
    if kind == "preview decoder":
        return f"{words}Downloaded models draw their previews with it from now on.\n" if place is None else words
    if kind != "model":
        option = kind.replace(" ", "-")
        value = entry.name if place is None else shlex.quote(str(path.absolute()))
        return f"{words}Use it with: {command()} generate --{option} {printable(value)} PROMPT\n"
    use = f"{command()} generate --model {printable(shlex.quote(str(path.absolute())))} PROMPT\n"
    if place:
        return f"{words}Use it with: {use}"
    named = hub.status(entry).path
    if revision is None or path == named:
        return words
    name, standing = printable(entry.name), printable(named)
    return f"{words}The name {name} goes on standing for {standing}; use this revision with: {use}"


def _fail(error: BonsaiError, status: int, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        sys.stdout.flush()
    sys.stderr.write(f"{error}\n")
    return status
