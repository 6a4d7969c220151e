"""The child process behind a download: `python -m server.checkpoints.transfer_child download|verify NAME [FOLDER]`.

One line of JSON per progress event on stdout, the last with `done` or `error`. Pausing is ending the process: nothing
is lost, the next run goes on from there. It ends with the server, however that ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict

from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.hub import api as hub

from ..engine.child import die_with_parent, end_process
from ..engine.child_process import leave_signals_to_server


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields, default=str) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Exit status 0: complete and right; 1: not, with the reason on stdout."""
    leave_signals_to_server()
    action, name, *rest = arguments
    die_with_parent()
    threading.Thread(target=_end_with_input, daemon=True).start()
    work = hub.verify if action == "verify" else hub.download
    try:
        for progress in work(name, rest[0] if rest else None):
            _say(**asdict(progress))
    except BonsaiError as error:
        _say(error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
