"""What is said of a checkpoint on this machine without hashing it or asking anybody."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from huggingface_hub import constants

from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub

from ..fake_hub import FakeHub
from .world import (
    BINARY,
    TERNARY,
    TEXT_ENCODER,
    partial_of,
    pinned_entry,
    run,
    size,
    stop_within,
)


def test_what_a_download_takes_is_known_without_asking(server: FakeHub, tmp_path: Path) -> None:
    ternary, binary = pinned_entry(server), pinned_entry(server, BINARY)
    own = sum(file.size for file in {*binary.files} - {*ternary.files})
    for folder in (None, tmp_path / "binary"):
        assert hub.bytes_to_download(binary, folder) == size(server.repos[BINARY])
    run(ternary)
    assert hub.bytes_to_download(ternary) == 0
    for folder in (None, tmp_path / "binary"):
        assert hub.bytes_to_download(binary, folder) == own
    run(binary)
    for folder in (None, tmp_path / "binary"):  # all of it can be shared
        assert hub.bytes_to_download(binary, folder) == 0


def test_what_the_rest_of_a_download_takes_is_known(server: FakeHub) -> None:
    """The digests are those that the download has noted; the catalog need not know any."""
    estimates = pinned_entry(server)
    estimates = replace(estimates, revision="main", files=tuple(replace(f, digest="") for f in estimates.files))
    assert hub.bytes_to_download(estimates) == size(server.repos[TERNARY])
    stop_within(hub.download(estimates), TEXT_ENCODER)
    arrived = partial_of(server, TEXT_ENCODER).stat().st_size  # of the largest file, which comes last
    assert arrived > 0
    assert hub.bytes_to_download(estimates) == 300_000 - arrived


def test_a_revision_is_asked_about_by_its_name(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pinned_entry(server)
    run(entry)
    assert hub.status(entry, revision="main").state == "absent"
    server.repos[TERNARY]["vae/config.json"] = b'{"latent_channels": 16}'
    commit = server.commit(TERNARY)
    path = run(entry, revision="main")[-1].path
    for revision in ("main", commit):
        local = hub.status(entry, revision=revision)
        assert (local.path, local.commit, local.verified) == (path, commit, True)
        assert next(hub.verify(entry, revision=revision)).bytes_total == size(server.repos[TERNARY])
    assert hub.status(entry).commit == entry.revision
    with pytest.raises(CheckpointError, match=r"^Tiny at v2 is not .* with: bonsai-mlx download tiny --revision v2$"):
        list(hub.verify(entry, revision="v2"))
    server.forget()
    assert run(entry, revision=commit)[-1].path == path  # a commit cannot change, so nobody is asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(entry, revision="main")[-1].path == path
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE.*bonsai-mlx download tiny --revision v2$"):
        run(entry, revision="v2")
    assert server.requests == []


def test_asking_what_is_here_reads_no_weights_and_needs_no_network(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TERNARY)
    server.forget()
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("something was hashed"))
    assert hub.status(TERNARY).state == "ready"
    assert server.requests == []


def test_asking_loads_neither_mlx_nor_an_http_client() -> None:
    code = (
        "import sys; from bonsai_mlx.hub import api as hub; hub.status('ternary'); hub.find('seedling');"
        "print({'mlx', 'httpx2', 'torch', 'numpy'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (finished.stdout, finished.stderr) == ("set()\n", "")


@pytest.mark.slow
def test_asking_while_a_download_moves_its_files(server: FakeHub) -> None:
    """A partial file may go to its place between the look whether it is there and the one how large it is."""
    entry = pinned_entry(server)
    stop_within(hub.download(entry), TEXT_ENCODER)
    partial, asked = partial_of(server, TEXT_ENCODER), Event()
    arrived = partial.stat().st_size

    def move_to_and_fro() -> None:
        while not asked.is_set():
            partial.rename(partial.with_suffix(".elsewhere"))
            partial.with_suffix(".elsewhere").rename(partial)

    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(move_to_and_fro)
        try:
            states = {hub.status(entry).state for _ in range(400)}
            left = {hub.bytes_to_download(entry) for _ in range(400)}
        finally:
            asked.set()
        moved.result()
    assert states == {"partial"}
    assert left <= {300_000, 300_000 - arrived}
