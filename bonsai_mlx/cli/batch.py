"""`bonsai-mlx batch`: the pictures of a file, one after the other; stopped at any moment, it goes on from there."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ..editing.pictures import PictureSet
from ..errors import BonsaiError, CheckpointError, OutOfMemory, PictureError, RequestError
from ..hub import api as hub
from ..images.metadata import SaveError, encode
from ..pipelines.batch import BatchError, Manifest, Row, keys, read_rows
from ..pipelines.styles import styled
from ..printable import printable
from ..request import Draw
from ..result import TRUNCATED, Event, GenerationResult
from ..runtime.environment import is_terminal
from ..wording import format_duration
from .generate import GenerateOptions, model_of
from .output import save_claimed

if TYPE_CHECKING:
    from ..pipeline import Pipeline

_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_BAR_CHARS = 24
_LOCK = ".manifest.lock"


@dataclass(slots=True)
class Tally:
    """How far a batch is."""

    total: int
    there: int = 0  # from an earlier run
    drawn: int = 0
    failed: int = 0
    began: float = 0.0

    @property
    def done(self) -> int:
        return self.there + self.drawn + self.failed

    @property
    def left_s(self) -> float | None:
        own = self.drawn + self.failed
        return (time.monotonic() - self.began) / own * (self.total - self.done) if own else None


def batch_command(options: GenerateOptions, source: Path, folder: Path) -> int:
    """Draw what is missing of a batch. Returns 1 where a picture failed; BatchError before anything is drawn."""
    names = ("steps", "width", "height", "guidance", "negative_prompt", "variation_amount", "variation_seed")
    defaults = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in defaults.items() if value is not None}
    given |= {"loras": list(options.loras)} if options.loras else {}
    rows = keys(read_rows(source, given | ({"styles": list(options.styles)} if options.styles else {})))
    _check(source, rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BatchError(f"{folder} is a file; --out takes a folder") from None
    try:
        with FileLock(folder / _LOCK, timeout=0), Manifest(folder, source.name, options.seed) as manifest:
            return _draw_all(options, rows, manifest)
    except Timeout:
        raise BatchError(f"{folder} is in use by another batch; wait for its end, or choose another folder") from None


def _check(source: Path, rows: dict[str, Row]) -> None:
    """Models, styles and pictures that are there. BatchError."""
    for row in rows.values():
        missing = [path for paths in row.pictures.values() for path in paths if not path.is_file()]
        if missing:
            raise BatchError(f"{source}, line {row.line}: {missing[0]}: there is no such file")
        try:
            styled(row.request)
            if row.model is not None:
                hub.find(row.model)
        except (RequestError, CheckpointError) as error:
            raise BatchError(f"{source}, line {row.line}: {error}") from error


def _draw_all(options: GenerateOptions, rows: dict[str, Row], manifest: Manifest) -> int:
    tally = Tally(len(rows), there=sum(manifest.is_done(key) for key in rows), began=time.monotonic())
    left = {key: row for key, row in rows.items() if not manifest.is_done(key)}
    bar = BatchLine(tally, quiet=options.quiet)
    failures = []
    with bar:
        for model in dict.fromkeys(row.model for row in left.values()):  # each is loaded once
            pipe = _opened(options, model)
            for key, row in left.items():
                if row.model != model:
                    continue
                error = _draw_one(options, pipe, manifest, key, row, bar)
                tally.drawn, tally.failed = tally.drawn + (error is None), tally.failed + (error is not None)
                failures += [] if error is None else [f"line {row.line}: {error}"]
                bar.finished(row)
            pipe.unload()
    _report(options, tally, failures, manifest)
    return 1 if failures else 0


def _opened(options: GenerateOptions, model: str | None) -> Pipeline:
    from ..pipeline import Pipeline  # the first thing that needs MLX

    return Pipeline.from_pretrained(model or model_of(options), **options.loading)


def _draw_one(
    options: GenerateOptions, pipe: Pipeline, manifest: Manifest, key: str, row: Row, bar: BatchLine
) -> BonsaiError | None:
    """None, or why this picture could not be made, which keeps no other from being made."""
    try:
        request, pictures = _request(row, manifest.seed_of(key))
        result = _followed(pipe, request, pictures, bar)
        how = options.metadata, options.format or "png", options.quality
        data = encode(result.image, pipe.recipe(result), *how, result.mask, result.code)
    except (RequestError, PictureError, OutOfMemory) as error:
        manifest.note(key, row, status="failed", error=str(error), prompt=row.request.prompt)
        return error
    path = _claimed(manifest.folder, row, _SUFFIXES[options.format or "png"])
    notes = [*pictures.notes, *result.notes, *([TRUNCATED] if result.truncated else [])]
    made = {name: getattr(result.request, name) for name in ("prompt", "seed", "steps", "width", "height")}
    told = {"notes": notes} if notes else {}
    seconds = round(result.timings["total"], 3)
    # before the file is whole: killed behind it, a batch would draw the picture again under another name
    manifest.note(key, row, status="done", file=path.name, **made, model=pipe.name, seconds=seconds, **told)
    try:
        save_claimed(path, data)
    except SaveError as error:
        manifest.note(key, row, status="failed", error=str(error), prompt=row.request.prompt)
        raise
    return None


def _request(row: Row, seed: int) -> tuple[Draw, PictureSet]:
    pictures = PictureSet()
    named: dict[str, Any] = {}
    for name, paths in row.pictures.items():
        add = pictures.add_mask if name == "mask" else pictures.add
        digests = tuple(add(name, path) for path in paths)
        named[name] = digests if name == "references" else digests[0]
    request = replace(row.request, **named)
    return (replace(request, seed=seed) if request.seed is None else request), pictures


def _followed(pipe: Pipeline, request: Draw, pictures: PictureSet, bar: BatchLine) -> GenerationResult:
    result = None
    for event in pipe.run(request, pictures=pictures.by_digest):
        bar.show(event)
        result = event.result
    assert result is not None  # noqa: S101  the last event carries it
    return result


def _claimed(folder: Path, row: Row, suffix: str) -> Path:
    """0012-a-red-fox.png, or the row's own name: one that is nobody else's, claimed with an empty file."""
    words = "".join(c if c.isalnum() else " " for c in (row.name or row.request.prompt)).split()
    stem = "-".join(words).lower()[:60].strip("-") or "picture"
    stem = stem if row.name else f"{row.line:04}-{stem}"
    number = 1
    while True:
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            if _is_empty(path):  # claimed by a batch that was killed before it wrote; the folder's lock is ours
                return path
            number += 1
        else:
            return path


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


class BatchLine:
    """On a terminal one line that is kept up to date; in a log a line for each picture."""

    def __init__(self, tally: Tally, *, quiet: bool) -> None:
        self._tally = tally
        self._quiet = quiet
        self._terminal = is_terminal(sys.stderr)

    def __enter__(self) -> BatchLine:
        if self._tally.there and not self._quiet:
            sys.stderr.write(f"{self._tally.there} of {self._tally.total} pictures are there already.\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and not self._quiet:
            sys.stderr.write("\r\x1b[K")

    def show(self, event: Event) -> None:
        if self._terminal and not self._quiet:
            within = event.step / event.steps if event.phase == "denoise" and event.steps else 0.0
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{batch_text(self._tally, within)[:width]}\x1b[K")
            sys.stderr.flush()

    def finished(self, row: Row) -> None:
        if not self._terminal and not self._quiet:
            sys.stderr.write(f"{batch_text(self._tally, 0.0)}  {printable(row.request.prompt[:60])}\n")
            sys.stderr.flush()


def batch_text(tally: Tally, within: float) -> str:
    """ "[######..................] 12/48  3 min 20 s left"; `within` is the part of the next picture that is drawn."""
    share = min(1.0, (tally.done + within) / tally.total)
    bar = ("#" * int(share * _BAR_CHARS)).ljust(_BAR_CHARS, ".")
    left = tally.left_s
    return f"[{bar}] {tally.done}/{tally.total}" + (f"  {format_duration(left)} left" if left else "")


def _report(options: GenerateOptions, tally: Tally, failures: list[str], manifest: Manifest) -> None:
    for failure in failures:
        sys.stderr.write(f"{printable(failure)}\n")
    if options.quiet:
        print(manifest.path)
        return
    there = f", {tally.there} were there already" if tally.there else ""
    failed = f", {tally.failed} failed; the same command tries them again" if tally.failed else ""
    print(f"{tally.drawn} drawn{there}{failed}. What was made is listed in {printable(manifest.path)}")
