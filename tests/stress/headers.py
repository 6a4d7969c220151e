"""Weight files with hostile headers: our check, and MLX on what it lets through, in a process that may die of them."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.server.conftest import ROOT

from ._hostile_headers import hostile_file
from ._safetensors_spec import reason_to_refuse
from .case import Case, Figures

_PATIENCE_S = 60.0  # for one file; starting anew is in it
_COMMAND = (sys.executable, "-m", "tests.stress._header_reader")


class _Reader:
    """The process, started again when a file was its end."""

    def __init__(self) -> None:
        self.slowest_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: Path) -> str:
        """The process's word on a file, or "crashed" or "hung"."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        started = time.perf_counter()
        process.stdin.write(os.fsencode(path) + b"\n")
        if not select.select([process.stdout], [], [], _PATIENCE_S)[0]:
            self.end()
            return "hung"
        verdict = process.stdout.readline().decode().rstrip("\n")
        if not verdict:
            self.end()
            return "crashed"
        self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
        return verdict

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"BONSAI_BLAS": "none"}
        return subprocess.Popen(
            _COMMAND, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """One file a round. Those that did harm stay in `folder`, named by what they did."""
    verdicts: Counter[str] = Counter()
    forbidden = accepted_forbidden = 0
    reader, path = _Reader(), folder / "hostile.safetensors"
    try:
        for number in range(rounds):
            content = hostile_file(rng)
            path.write_bytes(content)
            verdict = reader.read(path).split()[0]
            reason = reason_to_refuse(content)
            forbidden += reason is not None
            wrongly = reason is not None and verdict != "refused"
            accepted_forbidden += wrongly
            verdicts[verdict] += 1
            if wrongly or verdict not in ("refused", "unloadable", "read"):
                path.rename(folder / f"{verdict}-{number}.safetensors")
    finally:
        reader.end()
    return {
        "forbidden": forbidden,
        **{name: verdicts[name] for name in ("refused", "read", "unloadable", "crashed", "hung", "differs", "broke")},
        "accepted_forbidden": accepted_forbidden,
        "slowest_ms": 1e3 * reader.slowest_s,
    }


CASE = Case(
    name="headers",
    what="safetensors headers changed by their grammar: checked, and what is accepted is loaded and touched",
    rounds=20_000,
    reduced=600,
    bars={
        "read": ">= 1",
        "crashed": "== 0",
        "hung": "== 0",
        "differs": "== 0",
        "broke": "== 0",
        "accepted_forbidden": "== 0",
    },
    run=run,
)
