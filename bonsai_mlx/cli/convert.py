"""`bonsai-mlx convert`: a checkpoint written in another precision, with a bar and the error of each matrix."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, RequestError
from ..hub import api as hub
from ..printable import printable
from ..runtime.environment import is_terminal
from ..weights.spec import bits_of
from ..wording import format_duration

if TYPE_CHECKING:
    from ..conversion.convert import Converted
    from ..flux2.checkpoint import Checkpoint

_BAR_CHARS = 24
_PRECISIONS = {"ternary": "ternary", "binary": "binary", "2": "2-bit", "bf16": "bf16"} | {
    str(bits): f"{bits}-bit" for bits in (3, 4, 6, 8)
}
PRECISIONS = ("binary", "ternary", "2", "3", "4", "6", "8", "bf16")


def convert_command(
    source: str, out: Path, to: str, group_size: int, companion: str | None, encoder_bits: int | None = None
) -> int:
    """Returns 0, or raises the BonsaiError or OSError that says why not; the same call goes on where it stopped."""
    from ..conversion.convert import convert  # the first thing that needs MLX

    affine = to == "2"
    bits = 2 if affine else bits_of(_PRECISIONS[to])
    checkpoint = _opened(source, companion)
    _follow(convert(checkpoint, out, bits, group_size, affine=affine, encoder_bits=encoder_bits))
    sys.stdout.write(f"{printable(out)}\n")
    return 0


def gguf_command(source: str, out: Path, to: str, companion: str | None, rest: str) -> int:
    """The same for the transformer alone as a GGUF file. What is not exact (8 bits) may be made of any weights."""
    from ..conversion.convert import write_gguf

    if to not in ("binary", "ternary", "8", "bf16"):
        raise RequestError("--to", f"a GGUF is written in binary, ternary, 8 bits or bf16 here, not in {to} bits")
    checkpoint = _opened(source, companion)
    blocks = {"8": "Q8_0", "bf16": "BF16"}.get(to, "")
    if not blocks and checkpoint.precision != _PRECISIONS[to]:
        have = f"{source}: its weights are {checkpoint.precision}, not {_PRECISIONS[to]}"
        raise CheckpointError(f"{have}; convert them without --gguf first")
    if out.exists() or out.suffix != ".gguf":
        raise CheckpointError(f"{out}: give a new file that ends in .gguf")
    _follow(write_gguf(checkpoint, out, blocks=blocks, rest="Q8_0" if rest == "8" else "BF16"))
    sys.stdout.write(f"{printable(out)}\n")
    return 0


def _opened(source: str, companion: str | None) -> Checkpoint:
    from ..flux2.checkpoint import Checkpoint

    other = None if companion is None else hub.find(companion)
    return Checkpoint.open(hub.as_folder(source) or hub.find(source), companion=other)


def _follow(matrices: Iterable[Converted]) -> None:
    """A line for each matrix and, on a terminal, a bar below them; at the end what all of it has lost."""
    stream, terminal, began = sys.stderr, is_terminal(sys.stderr), time.monotonic()
    errors = []
    try:
        for matrix in matrices:
            errors.append(matrix.error)
            line = f"{matrix.done}/{matrix.total}  {printable(matrix.name)}  error {matrix.error:.2%}"
            stream.write(f"\r\x1b[K{line}\n{_bar(matrix, began, len(errors))}" if terminal else f"{line}\n")
            stream.flush()
    finally:
        if terminal and errors:
            stream.write("\r\x1b[K")
    if not errors:
        return
    mean, most = sum(errors) / len(errors), max(errors)
    words = f"error of a matrix {mean:.2%} on average, {most:.2%} at most" if most else "without loss"
    stream.write(f"{len(errors)} matrices, {words}\n")


def _bar(matrix: Converted, began: float, here: int) -> str:
    """`here` counts what this run has done; what was there before took it no time."""
    share = matrix.done / matrix.total
    bar = ("#" * int(share * _BAR_CHARS)).ljust(_BAR_CHARS, ".")
    left = (time.monotonic() - began) / here * (matrix.total - matrix.done)
    line = f"[{bar}] {share:4.0%}  {format_duration(left)} left"
    return line[: shutil.get_terminal_size().columns - 1]
