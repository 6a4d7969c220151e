"""`bonsai-mlx generate` on a terminal: which model, where to, the progress line, and what is said at the end.

Everything that can be refused is refused before anything is drawn. stdout carries the result, stderr the progress and
the notes, so that `file=$(bonsai-mlx generate ... --quiet)` works. MLX is imported once all that is checked.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..hub import api as hub
from ..hub.catalog import lookup
from ..images.metadata import TEMPORARY_PREFIX, MetadataMode, SaveError, encode_png, save_picture
from ..printable import printable
from ..request import TRUNCATED, Event, GenerationRequest, GenerationResult, consecutive_seeds, random_seed
from ..runtime.environment import is_terminal
from .download import format_bytes

if TYPE_CHECKING:
    from ..pipeline import Pipeline

_PHASES = {"load": "Loading", "encode": "Reading the prompt", "denoise": "Drawing", "decode": "Developing"}
_BAR_CHARS = 24


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for; None leaves the choice to the checkpoint, or to chance for the seed."""

    prompt: str
    model: str | None = None  # a folder, a Hub repository or a catalog name; overrides `variant`
    variant: str = "ternary"
    seed: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    output: Path | None = None
    count: int = 1
    memory_limit_bytes: int | None = None
    metadata: MetadataMode = "full"
    quiet: bool = False


def generate_command(order: Order) -> int:
    """Draw and save `order.count` pictures. Returns 0, or raises the BonsaiError that says why it cannot."""
    requests = _requests(order)
    check_output(order.output)
    model = _ready_or_seedling(order.variant) if order.model is None else order.model

    from ..pipeline import Pipeline  # the first thing that needs MLX

    pipe = Pipeline.from_pretrained(model, memory_limit_bytes=order.memory_limit_bytes)
    for request in requests:
        _say(order, f"{pipe.name}, {_settings(pipe, request)}")
        result = _follow(pipe.run(request), order.quiet)
        if result.truncated:
            _say(order, TRUNCATED)
        path = _save(pipe, result, order)
        _report(order, result, path)
    return 0


def _requests(order: Order) -> list[GenerationRequest]:
    """One for each picture, all checked, with seeds that count up; after the largest comes 0."""
    first = GenerationRequest(
        order.prompt, seed=order.seed, steps=order.steps, width=order.width, height=order.height
    ).validated()
    seed = random_seed() if first.seed is None else first.seed
    return [replace(first, seed=each) for each in consecutive_seeds(seed, order.count)]


def check_output(output: Path | None) -> None:
    """Raise SaveError unless a picture can be written to `output`: a .png file, a folder, or None for here."""
    folder = _folder(output)
    if output and not output.is_dir() and output.suffix.lower() != ".png":
        raise SaveError(f"cannot save {output}: only PNG files are written; name it {output.stem or 'picture'}.png")
    if not folder.is_dir():
        raise SaveError(f"cannot save into {folder}: there is no such folder")
    try:
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder):
            pass
    except OSError as error:
        raise SaveError(f"cannot save into {folder}: {error.strerror}; choose another folder with -o") from error


def _folder(output: Path | None) -> Path:
    if output is None:
        return Path()
    return output if output.is_dir() else output.parent


def _ready_or_seedling(variant: str) -> str:
    """The variant's checkpoint if it is complete, else the embedded one, which is then announced for what it is."""
    entry, seedling = lookup(variant), lookup(f"seedling-{variant}")
    local = hub.status(entry)
    if local.state == "ready":
        return entry.name
    lack = "is not downloaded yet" if local.state == "absent" else f"is here but {_word(local.state)}"
    sys.stderr.write(
        f"{entry.title} {lack}, so this uses the seedling: a tiny demonstration model that comes with the program.\n"
        'It draws simple things and scenes, such as "a red house", "two yellow stars" or "maple bonsai in autumn", at '
        f"{'x'.join(map(str, seedling.recommended_size))} pixels, and knows nothing else.\n"
        f"Get the real one ({format_bytes(local.bytes_total)}) with: {hub.remedy(entry)}\n"
    )
    return seedling.name


def _word(state: str) -> str:
    return "incomplete" if state == "partial" else state


def _settings(pipe: Pipeline, request: GenerationRequest) -> str:
    """What will be drawn, with the model's own choices filled in."""
    filled = pipe.model.resolve(request)
    steps = "1 step" if filled.steps == 1 else f"{filled.steps} steps"
    return f"seed {filled.seed}, {steps}, {filled.width}x{filled.height}"


def _follow(events: Iterable[Event], quiet: bool) -> GenerationResult:
    """Run to the end, showing where it stands."""
    result = None
    with suppress_progress() if quiet else ProgressLine(sys.stderr) as line:
        for event in events:
            line.show(event)
            result = event.result
    assert result is not None  # noqa: S101  the last event carries it
    return result


class ProgressLine:
    """On a terminal one line that is kept up to date; in a log a line for each phase that is over."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._terminal = stream is not None and is_terminal(stream)
        self._seen_s = self._phase_s = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._stream:
            self._stream.write("\r\x1b[K")

    def show(self, event: Event) -> None:
        """Tell of one event. An event comes after its work, so the time before it is its phase's."""
        if self._stream is None:
            return
        self._phase_s += event.elapsed_s - self._seen_s
        self._seen_s = event.elapsed_s
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{progress_text(event)[:width]}\x1b[K")
        if event.step == event.steps:
            if not self._terminal and event.phase != "done":
                self._stream.write(f"{_PHASES[event.phase]}: {self._phase_s:.1f} s\n")
            self._phase_s = 0.0
        self._stream.flush()


def suppress_progress() -> ProgressLine:
    """A progress line that shows nothing."""
    return ProgressLine(None)


def progress_text(event: Event) -> str:
    """ "Drawing  [############............] 2/4  1.3 s"."""
    if event.phase == "done":
        return ""
    share = event.step / event.steps if event.steps else 0.0
    bar = ("#" * int(share * _BAR_CHARS)).ljust(_BAR_CHARS, ".")
    return f"{_PHASES[event.phase]:<18} [{bar}] {event.step}/{event.steps}  {event.elapsed_s:.1f} s"


def _save(pipe: Pipeline, result: GenerationResult, order: Order) -> Path:
    png = encode_png(result.image, pipe.recipe(result), order.metadata)
    if order.output is None or order.output.is_dir():
        path = free_name(_folder(order.output), result.seed)
    elif order.count > 1:
        path = order.output.with_name(f"{order.output.stem}-{result.seed}{order.output.suffix}")
    else:
        path = order.output
    try:
        save_picture(path, png)
    except SaveError:
        with suppress(FileNotFoundError):  # a name that was claimed and stays empty
            if path.stat().st_size == 0 and path != order.output:
                path.unlink()
        raise
    return path


def free_name(folder: Path, seed: int) -> Path:
    """bonsai-<seed>.png, or bonsai-<seed>-2.png and so on: a name that is nobody else's, claimed with an empty file."""
    number = 1
    while True:
        path = folder / (f"bonsai-{seed}.png" if number == 1 else f"bonsai-{seed}-{number}.png")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            number += 1
        except OSError as error:
            raise SaveError(f"cannot save {path}: {error.strerror}") from error
        else:
            return path


def _report(order: Order, result: GenerationResult, path: Path) -> None:
    if order.quiet:
        sys.stdout.write(f"{path}\n")
    else:
        sys.stdout.write(
            f"seed {result.seed}   {_times(result.timings)}   peak memory {format_bytes(result.memory['peak_bytes'])}\n"
            f"Saved {printable(path)}\n"
        )
    sys.stdout.flush()


def _times(timings: Mapping[str, float]) -> str:
    parts = [f"{name} {seconds:.1f} s" for name, seconds in timings.items() if name not in ("total", "done")]
    return f"{', '.join(parts)}, in all {timings['total']:.1f} s"


def _say(order: Order, text: str) -> None:
    if not order.quiet:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
