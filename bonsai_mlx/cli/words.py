"""What is done with words before they are drawn: `bonsai-mlx styles`, and `write`, proposals for a prompt."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError
from ..hub import api as hub
from ..pipelines.chains import Write
from ..pipelines.styles import Style, StyleBook
from ..printable import printable
from ..request import MAX_SEED, random_seed
from ..writing.files import writer_in, writer_of
from ..writing.limits import MAX_PROPOSALS
from .generate import GenerateOptions, model_of, say


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What the command line asks for; None: the default model, a random seed."""

    prompt: str
    model: str | None = None
    writer: Path | None = None
    seed: int | None = None
    count: int = 3
    memory_limit_bytes: int | None = None
    quiet: bool = False


def write_command(options: WriteOptions) -> int:
    """Print the proposals, each a line on stdout. Returns 0, or raises the BonsaiError that says why it cannot."""
    from ..writing.writer import Writer

    if not 1 <= options.count <= MAX_PROPOSALS:
        raise RequestError("--count", f"{options.count} is out of range; give 1 to {MAX_PROPOSALS}")
    if options.seed is not None and not 0 <= options.seed <= MAX_SEED:
        raise RequestError("--seed", f"{options.seed} is out of range; give a whole number from 0 to {MAX_SEED}")
    files = writer_in(options.writer) if options.writer else writer_of(_folder(options.model))
    seed = random_seed() if options.seed is None else options.seed
    writer = Writer(files, options.memory_limit_bytes)
    try:
        with closing(writer.write(options.prompt, seed=seed, count=options.count)) as pieces:
            for piece in pieces:
                if piece.kept is None:
                    _show(piece.text, options)
                    continue
                _show("\r\x1b[K" if sys.stderr.isatty() else "", options)
                print(printable(piece.text), flush=True)
                if piece.kept.sentence and not options.quiet:
                    sys.stderr.write(f"  {printable(piece.kept.sentence)}\n")
    finally:
        writer.close()
    return 0


def written(options: GenerateOptions, step: Write, model: str | None) -> str:
    """The text of a step that writes, shown as it is used. The BonsaiErrors of `write_command`."""
    from ..writing.writer import Writer

    files = writer_of(_folder(options.model or model))
    writer = Writer(files, options.memory_limit_bytes)
    try:
        *_, whole = writer.write(step.prompt, seed=step.seed, count=1)
    finally:
        writer.close()
    say(options, f"Written: {printable(whole.text)}")
    if whole.kept and whole.kept.sentence:
        say(options, printable(whole.kept.sentence))
    return whole.text


def _show(text: str, options: WriteOptions) -> None:
    """The words as they come, on a terminal; the line is replaced by the whole text."""
    if text and sys.stderr.isatty() and not options.quiet:
        sys.stderr.write(text if text.startswith("\r") else printable(text))
        sys.stderr.flush()


def _folder(model: str | None) -> Path:
    """The default model's where none is named, or the seedling's where that is not here."""
    name = model or model_of(GenerateOptions(prompt=None))
    return hub.as_folder(name) or hub.find(name)


def styles_command(*, save: tuple[str, str] | None, delete: str | None, restore: bool, as_json: bool) -> int:
    book = StyleBook.open()
    if restore:
        book = book.restore()
    if delete is not None:
        book = book.delete(delete)
    if save is not None:
        book = book.save(Style(*save))
    if as_json:
        rows = [style.as_json() | {"ours": book.is_ours(style)} for style in book.styles]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for style in book.styles:
        print(f"{printable(style.name):<18} {printable(style.text)}")
    print(f"\nYours are kept in {printable(book.path)}")
    return 0
