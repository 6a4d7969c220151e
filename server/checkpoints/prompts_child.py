"""The process that counts a prompt's tokens: a tokenizer takes a hundred megabytes, which the server does without.

One question a line, one answer a line, as JSON. It ends when the server is gone, or nothing was asked for a while.
"""

from __future__ import annotations

import json
import os
import select
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.text.tokenizer import Tokenizer
from bonsai_mlx.weights.layout import TOKENIZER

from ..engine.child_process import leave_signals_to_server

IDLE_S = 60.0


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[Tokenizer, int]:
    checkpoint = Checkpoint.open(folder)
    return Tokenizer.from_folder(checkpoint.folders[TOKENIZER]), checkpoint.max_sequence_length


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """`tokens`, `limit` and `read_chars` of a prompt; nothing where the checkpoint cannot be read."""
    try:
        tokenizer, limit = _opened(Path(question["folder"]))
        length = tokenizer.measure(question["prompt"], limit)
    except (BonsaiError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  the server's log
        return {}
    return {"tokens": length.tokens, "limit": limit, "read_chars": length.read_chars}


def main() -> None:
    leave_signals_to_server()
    source = os.fdopen(0, "rb", buffering=0, closefd=False)  # select() knows nothing of what a buffer holds
    waiting = b""
    while select.select([source], [], [], IDLE_S)[0]:
        read = source.read(1 << 16)
        if not read:
            return
        *lines, waiting = (waiting + read).split(b"\n")
        for line in lines:
            sys.stdout.buffer.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
