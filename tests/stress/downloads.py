"""Downloads that are cut, damaged on the way, or killed: noticed every time, and the next run makes them whole.

While a download runs and after each failure, every file that has its final name must be the right one to the last byte,
and nobody is told that the checkpoint is ready.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

from huggingface_hub import constants

from bonsai_mlx.errors import BonsaiError, CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub
from tests.fake_hub import FakeHub, Fault
from tests.hub.world import TERNARY, TEXT_ENCODER, TRANSFORMER, VAE, needed, start_script
from tests.hub.world import hub_with_checkpoints as hub_with
from tests.hub.world import run as download
from tests.hub.world import size as size_of

from .case import Case, Figures

_LARGE = (TRANSFORMER, TEXT_ENCODER, VAE)
_KINDS = ("cut", "cut for good", "flip", "kill")
_KILL_WITHIN_S = 60.0


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """One misfortune a round, in a fresh cache each time."""
    sums = dict.fromkeys(("undetected", "not_repaired", "half_files", "ready_too_early", "all_over_again"), 0)
    for number in range(rounds):
        place = folder / str(number)
        with hub_with(place) as server:
            kind = _KINDS[number % len(_KINDS)]
            sums["undetected"] += not _misfortune(server, kind, rng, place, sums)
            _look(server, sums)
            server.faults.clear()
            server.forget()
            sums["not_repaired"] += not _repaired(server)
            sums["all_over_again"] += kind != "cut" and server.bytes_served >= size_of(server.repos[TERNARY])
    return {**sums}


def _misfortune(server: FakeHub, kind: str, rng: random.Random, place: Path, sums: dict[str, int]) -> bool:
    """Whether it was noticed: by an error that says so, by an end, or, a single cut, by going on from there."""
    if kind == "kill":
        return _kill(server, rng, place / "cache", sums)
    path = rng.choice(_LARGE)
    length = len(server.repos[TERNARY][path])
    if kind == "flip":
        server.faults[path] = Fault(flip_bit=rng.randrange(8 * length), times=1)
    else:
        times = 1 if kind == "cut" else 1_000
        server.faults[path] = Fault(cut_after=rng.randrange(length // (1 if kind == "cut" else 20)), times=times)
    try:
        download(TERNARY)
    except DownloadError as error:
        return path in str(error) and ("damaged" in str(error)) == (kind == "flip")
    return kind == "cut" and server.faults[path].times == 0


def _kill(server: FakeHub, rng: random.Random, cache: Path, sums: dict[str, int]) -> bool:
    """kill -9 after some number of bytes; the folder is looked at all the while."""
    server.faults = {path: Fault(chunk_delay_s=0.005) for path in _LARGE}
    enough = rng.randrange(50_000, size_of(server.repos[TERNARY]) - 20_000)  # the first files are in place by then
    server.hold_at = enough
    deadline = time.monotonic() + _KILL_WITHIN_S
    with start_script(server, cache, TERNARY, "--json") as process:
        try:
            while server.bytes_served < enough and process.poll() is None and time.monotonic() < deadline:
                _look(server, sums)
                time.sleep(0.01)
        finally:
            process.kill()
    server.hold_at = math.inf
    return process.returncode == -9


def _look(server: FakeHub, sums: dict[str, int]) -> None:
    """Count files that have their final name and not their content, and a readiness that is none."""
    right = needed(server.repos[TERNARY])
    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{TERNARY.replace('/', '--')}" / "snapshots"
    present = {
        path: file for path, file in ((p, snapshots / server.commit(TERNARY) / p) for p in right) if file.exists()
    }
    sums["half_files"] += sum(file.read_bytes() != right[path] for path, file in present.items())
    try:
        hub.find(TERNARY)
    except CheckpointError:
        return
    sums["ready_too_early"] += len(present) < len(right)


def _repaired(server: FakeHub) -> bool:
    """Whether the next run makes the checkpoint whole."""
    try:
        download(TERNARY)
        folder = hub.find(TERNARY)
    except BonsaiError:
        return False
    return all((folder / path).read_bytes() == data for path, data in needed(server.repos[TERNARY]).items())


CASE = Case(
    name="downloads",
    what="downloads cut, bit-flipped and killed at random points, against a Hub on loopback",
    rounds=100,
    reduced=6,
    bars={
        "undetected": "== 0",
        "not_repaired": "== 0",
        "half_files": "== 0",
        "ready_too_early": "== 0",
        "all_over_again": "== 0",
    },
    run=run,
)
