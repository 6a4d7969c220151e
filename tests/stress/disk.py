"""The disk fills up while pictures are saved and while a checkpoint is downloaded: clear words, and life goes on.

With a real small disk the index, the thumbnails and the server's own start run out of space as well; where none can be
made, the server may not write files as large as the engine's pictures, and the download none of more than a page or
two.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from bonsai_mlx.errors import DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import session
from tests.fake_hub import Fault
from tests.hub.world import TERNARY, hub_with_checkpoints, needed
from tests.server.conftest import ROOT, ServerProcess

from ._engine import ENGINE, NOTES
from ._small_disk import FULL, SmallDisk, small_disk
from ._world import NO_BLAS, ended, is_picture, logged_server_process, pictures, post_job, temporary_files
from .case import Case, Figures

_SAVE_BYTES, _DOWNLOAD_BYTES = 2 << 20, 1 << 20
_TRIES = 12  # pictures until one finds no room
_PAGES = ("/", "/health", "/images", "/gallery", "/jobs", "/memory")


def run(rounds: int, rng: random.Random, folder: Path) -> Figures:
    """In each round one disk fills up under a server, another one under a download."""
    sums = dict.fromkeys(
        ("unnoticed", "unclear", "pages_failed", "not_recovered", "corrupt", "temporary_files", "index_lost"), 0
    )
    downloads = ("never_full", "unnoticed", "unclear", "not_recovered")
    sums |= dict.fromkeys(("start_unclear", *(f"download_{figure}" for figure in downloads)), 0)
    real = True
    for number in range(rounds):
        with small_disk(folder / f"{number}-save", _SAVE_BYTES) as disk:
            _save(disk, rng, folder, sums)
            real = disk.real
        with small_disk(folder / f"{number}-download", _DOWNLOAD_BYTES, ours=True) as disk:
            _download(disk, rng, sums)
    return {"real_disk": real, **sums}


def _save(disk: SmallDisk, rng: random.Random, folder: Path, sums: dict[str, int]) -> None:
    output = disk.folder / "out"
    environment = {"BONSAI_ENGINE": ENGINE, NOTES: str(folder / "notes"), FULL: str(disk.gate), **NO_BLAS}
    with disk.limited(), logged_server_process(output, folder / "server.log", **environment) as server:
        favourite = post_job(server, "plain")
        ended(server, favourite)
        server.client.patch(f"/images/{favourite}", json={"favourite": True}).raise_for_status()
        disk.fill(rng.randrange(10) if disk.real else 0)
        said = list(_until_full(server))
        sums["unnoticed"] += not said
        sums["unclear"] += any("space" not in words and "disk is full" not in words for words in said)
        sums["pages_failed"] += sum(server.client.get(path).status_code != 200 for path in _PAGES)
        disk.empty()
        sums["not_recovered"] += ended(server, post_job(server, "plain"))["status"] != "done"
        server.end()
    if disk.real:
        disk.fill(rng.randrange(60))
        sums["start_unclear"] += not _start_is_refused(output)
        disk.empty()
    with logged_server_process(output, folder / "server.log", **environment) as server:
        found = server.client.get("/images", params={"favourite": True}).json()["images"]
        sums["index_lost"] += [image["id"] for image in found] != [favourite]
    sums["corrupt"] += sum(not is_picture(path) for path in pictures(output))
    sums["temporary_files"] += len(temporary_files(output))


def _until_full(server: ServerProcess) -> Iterator[str]:
    """Ask for pictures until some cannot be saved; yields what is said about those."""
    for _ in range(_TRIES):
        answer = server.client.post("/jobs", json={"prompt": "plain"})
        if answer.status_code == httpx.codes.INSUFFICIENT_STORAGE:
            yield answer.json()["error"]["message"]
            return
        job = ended(server, answer.raise_for_status().json()["jobs"][0]["id"])
        if job["status"] != "done":
            yield job["error"]["message"] if job["error"] and job["error"]["code"] == "disk_full" else "no reason"
            return


def _start_is_refused(output: Path) -> bool:
    """Whether a start on the full disk ends with one line that names the folder."""
    command = [sys.executable, "-m", "server", "--port", "0", "--no-browser", "--output", str(output)]
    try:
        started = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:  # it serves
        return False
    return started.returncode == 2 and str(output) in started.stderr and started.stderr.count("\n") == 1


def _download(disk: SmallDisk, rng: random.Random, sums: dict[str, int]) -> None:
    spare, session.SPARE_BYTES = session.SPARE_BYTES, 0  # what keeps this from happening: not in the way here
    try:
        with hub_with_checkpoints(disk.folder) as server:
            right = needed(server.repos[TERNARY])
            when, filled = rng.uniform(0.1, 0.4) * sum(map(len, right.values())), False
            server.faults = {path: Fault(chunk_delay_s=0.02) for path in right}  # else it is over before it is seen
            try:
                for event in hub.download(TERNARY):
                    if event.bytes_done >= when and not filled:
                        disk.fill(rng.randrange(8))
                        filled = True
                sums["download_unnoticed"] += 1
                sums["download_never_full"] += not filled
            except DownloadError as error:
                sums["download_unclear"] += "disk is full" not in str(error) and "too large" not in str(error)
            disk.empty()
            server.faults = {}
            sums["download_unnoticed"] += hub.status(TERNARY).state == "ready"
            list(hub.download(TERNARY))
            folder = hub.find(TERNARY)
            sums["download_not_recovered"] += any((folder / path).read_bytes() != right[path] for path in right)
    finally:
        session.SPARE_BYTES = spare


CASE = Case(
    name="disk",
    what="the disk is full while saving, while downloading, and at a start",
    rounds=20,
    reduced=1,
    bars=dict.fromkeys(
        (
            "unnoticed",
            "unclear",
            "pages_failed",
            "not_recovered",
            "corrupt",
            "temporary_files",
            "index_lost",
            "start_unclear",
            "download_never_full",
            "download_unnoticed",
            "download_unclear",
            "download_not_recovered",
        ),
        "== 0",
    ),
    run=run,
)
