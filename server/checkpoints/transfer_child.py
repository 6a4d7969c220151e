"""The child process behind a download: `python -m server.checkpoints.transfer_child ACTION NAME [FOLDER]`.

ACTION is "download", "pack" (the files of the model that it is made from are packed while they come) or "verify".

One line of JSON per progress event on stdout, the last with `done` or `error`. Pausing is ending the process: nothing
is lost, the next run goes on from there. It ends with the server, however that ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog
from bonsai_mlx.hub.entry import Entry
from bonsai_mlx.hub.progress import Progress

from ..engine.child import die_with_parent, end_process
from ..engine.child_process import leave_signals_to_server


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields, default=str) + "\n")
    sys.stdout.flush()


def _work(action: str) -> Callable[[Entry, str | None], Progress]:
    if action == "pack":
        from bonsai_mlx.conversion.download import download_packed  # the one that needs MLX

        return download_packed
    return hub.verify if action == "verify" else hub.download


def main(arguments: list[str]) -> int:
    """Exit status 0: complete and right; 1: not, with the reason on stdout."""
    leave_signals_to_server()
    action, name, *rest = arguments
    die_with_parent()
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        for progress in _work(action)(catalog.to_download(name), rest[0] if rest else None):
            _say(**asdict(progress))
    except BonsaiError as error:
        _say(error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
