"""Two checkpoints share the files they have in common, and deleting one leaves the other whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, location

from ..fake_hub import FakeHub
from .world import (
    BINARY,
    TERNARY,
    TEXT_ENCODER,
    TRANSFORMER,
    content,
    damage,
    needed,
    pinned_entry,
    run,
    size,
    stop_within,
)


@pytest.mark.parametrize("place", ["cache", "folder", "folder from cache"])
def test_the_second_variant_downloads_only_what_differs(server: FakeHub, tmp_path: Path, place: str) -> None:
    first = tmp_path / "m" / "ternary" if place == "folder" else None
    second = tmp_path / "m" / "binary" if place != "cache" else None
    run(TERNARY, folder=first)
    server.forget()
    path = run(BINARY, folder=second)[-1].path
    assert path is not None
    assert content(path) == needed(server.repos[BINARY])
    assert set(server.served) == {TRANSFORMER, "transformer-packed-mflux/quantization_config.json"}
    assert (path / TEXT_ENCODER).samefile((first or hub.find(TERNARY)) / TEXT_ENCODER)  # stored once, too


def test_shared_files_are_copied_where_links_are_impossible(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TERNARY)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    server.forget()
    run(BINARY, folder=tmp_path / "m")
    assert TEXT_ENCODER not in server.served
    assert content(tmp_path / "m") == needed(server.repos[BINARY])
    assert not (tmp_path / "m" / TEXT_ENCODER).samefile(hub.find(TERNARY) / TEXT_ENCODER)


def test_a_cache_without_symbolic_links_works_and_stores_files_once(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    for repo in (TERNARY, BINARY):
        run(repo)
        list(hub.verify(repo))
        assert content(hub.find(repo)) == needed(server.repos[repo])
    assert not any(path.is_symlink() for path in Path(constants.HF_HUB_CACHE).rglob("*"))
    assert server.served[TEXT_ENCODER] == 300_000
    assert 200_000 <= hub.delete(TERNARY) < 220_000
    assert content(hub.find(BINARY)) == needed(server.repos[BINARY])


def test_files_that_the_hubs_client_keeps_for_several_repositories_are_shared_and_left_alone(server: FakeHub) -> None:
    run(TERNARY)
    blob = (hub.find(TERNARY) / TEXT_ENCODER).resolve()
    payload = Path(constants.HF_HUB_CACHE) / "blobs" / "ab" / "xet"
    payload.parent.mkdir(parents=True)
    blob.rename(payload)
    blob.symlink_to(os.path.relpath(payload, blob.parent))
    assert hub.status(TERNARY).verified
    run(BINARY)
    assert server.served[TEXT_ENCODER] == 300_000
    assert (hub.find(BINARY) / TEXT_ENCODER).samefile(payload)
    hub.delete(TERNARY)
    assert content(hub.find(BINARY)) == needed(server.repos[BINARY])


def test_a_folder_may_lie_in_one_that_cannot_be_listed(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of one's own below one of mode 711, as administrators make them."""
    listed = Path.iterdir

    def closed(folder: Path) -> Iterator[Path]:
        if folder == tmp_path / "shared":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(Path, "iterdir", closed)
    mine = tmp_path / "shared" / "mine"
    assert hub.bytes_to_download(pinned_entry(server), mine) == size(server.repos[TERNARY])
    run(TERNARY, folder=mine)
    assert content(mine) == needed(server.repos[TERNARY])


def test_a_neighbour_that_cannot_be_read_is_not_shared(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TERNARY, folder=tmp_path / "m" / "theirs")
    monkeypatch.setattr(os, "access", lambda path, _: "theirs" not in Path(path).parts)
    server.forget()
    run(BINARY, folder=tmp_path / "m" / "mine")
    assert content(tmp_path / "m" / "mine") == needed(server.repos[BINARY])
    assert server.served[TEXT_ENCODER] == 300_000


def test_a_damaged_neighbour_is_not_shared(server: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    run(TERNARY)
    damage(hub.find(TERNARY) / TEXT_ENCODER)
    run(BINARY)
    assert content(hub.find(BINARY)) == needed(server.repos[BINARY])
    assert "damaged" in caplog.text


@pytest.mark.parametrize("place", ["cache", "folder"])
def test_deleting_one_variant_keeps_the_other_intact(server: FakeHub, tmp_path: Path, place: str) -> None:
    folders = {repo: tmp_path / "m" / repo if place == "folder" else None for repo in (TERNARY, BINARY)}
    for repo, folder in folders.items():
        run(repo, folder=folder)
    freed = hub.delete(TERNARY, folders[TERNARY])
    assert 200_000 <= freed < 220_000  # the transformer and the notes; the rest is still in use
    assert hub.status(TERNARY, folders[TERNARY]).state == "absent"
    assert content(folders[BINARY] or hub.find(BINARY)) == needed(server.repos[BINARY])
    list(hub.verify(BINARY, folders[BINARY]))
    assert 600_000 <= hub.delete(BINARY, folders[BINARY]) < 640_000
    assert hub.delete(BINARY) == 0


def test_deleting_takes_half_finished_downloads_along(server: FakeHub) -> None:
    stop_within(hub.download(TERNARY), TRANSFORMER)
    assert hub.delete(TERNARY) > 1_000
    assert not list((Path(constants.HF_HUB_CACHE)).glob("models--*"))


def test_deleting_leaves_what_is_not_ours(server: FakeHub, tmp_path: Path) -> None:
    run(TERNARY, folder=tmp_path / "m")
    (tmp_path / "m" / "vae" / "mine.txt").write_text("keep")
    hub.delete(TERNARY, tmp_path / "m")
    assert content(tmp_path / "m") == {"vae/mine.txt": b"keep"}
    with pytest.raises(CheckpointError, match="did not download"):
        hub.delete(TERNARY, tmp_path / "m")


def test_what_finder_leaves_in_a_cache_is_no_snapshot(server: FakeHub) -> None:
    run(TERNARY)
    entry = catalog.resolve(TERNARY)
    snapshots = location.repository_folder(entry.repo) / "snapshots"
    (snapshots / ".DS_Store").touch()
    assert location.cached_commits(entry.repo, "another") == [
        path.name for path in snapshots.iterdir() if path.is_dir()
    ]
