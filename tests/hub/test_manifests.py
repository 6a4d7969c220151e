"""Notes beside a checkpoint that somebody else wrote, or that a power cut left: one bad folder stays one bad line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub.entry import Entry
from bonsai_mlx.hub.location import folder_location
from bonsai_mlx.weights.layout import PACKED

from ..fake_hub import FakeHub, digest
from .world import TERNARY, TEXT_ENCODER, TRANSFORMER, content, needed, pinned_entry, run

GOOD = {
    "format": 1,
    "repo": TERNARY,
    "revision": "main",
    "commit": "a" * 40,
    "files": [{"path": path, "size": 3, "digest": "b" * 64} for path in PACKED.required_files],
    "verified": {},
}
FILE = GOOD["files"][0]  # type: ignore[index]
TORN: dict[str, str] = {
    "torn": json.dumps(GOOD)[:-40],
    "deep": "[" * 200_000,
    "deep within": json.dumps(GOOD)[:-1] + ', "x": ' + '{"x":' * 100_000,
    "a size as text": json.dumps(GOOD | {"files": [FILE | {"size": "3"}]}),
    "all sizes as text": json.dumps(GOOD | {"files": [f | {"size": "3"} for f in GOOD["files"]]}),  # type: ignore[attr-defined]
    "sizes below nothing": json.dumps(GOOD | {"files": [f | {"size": -3} for f in GOOD["files"]]}),  # type: ignore[attr-defined]
    "sizes beyond counting": json.dumps(GOOD | {"files": [f | {"size": 10**40} for f in GOOD["files"]]}),  # type: ignore[attr-defined]
    "no files": json.dumps(GOOD | {"files": []}),
    "a file twice": json.dumps(GOOD | {"files": [*GOOD["files"], FILE]}),  # type: ignore[misc]
    "a path as a number": json.dumps(GOOD | {"files": [FILE | {"path": 7}]}),
    "a repository that is a list": json.dumps(GOOD | {"repo": [TERNARY]}),
    "a commit that is a path": json.dumps(GOOD | {"commit": "../../x"}),
    "times as text": json.dumps(GOOD | {"verified": {"model_index.json": "now"}}),
    "marks that are a list": json.dumps(GOOD | {"verified": [1]}),
    "no format": json.dumps({key: value for key, value in GOOD.items() if key != "format"}),
    "another format": json.dumps(GOOD | {"format": 2}),
    "nothing": "",
    "null": "null",
    "a number": "7",
    "bytes of another kind": "\x00\udcff",
}


def plant(folder: Path, text: str) -> Path:
    """A models folder with one checkpoint of which there is nothing but the manifest."""
    path = folder_location(folder).manifest_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


@pytest.mark.parametrize("text", TORN.values(), ids=TORN)
def test_a_manifest_that_nobody_can_read_is_no_manifest(server: FakeHub, tmp_path: Path, text: str) -> None:
    entry = pinned_entry(server)
    plant(tmp_path / "m", text)
    assert hub.status(entry, tmp_path / "m").state == "absent"
    assert hub.bytes_to_download(entry, tmp_path / "m") == entry.bytes_total
    run(entry, folder=tmp_path / "m")  # and it is in nobody's way
    assert hub.status(entry, tmp_path / "m").content == "pinned"
    plant(tmp_path / "m", text)
    local = hub.status(entry, tmp_path / "m")
    assert (local.state, local.content, local.verified) == ("ready", "unchecked", False)
    assert "manifest.json is damaged" in local.problems[0]
    run(entry, folder=tmp_path / "m")
    assert hub.status(entry, tmp_path / "m").verified


def test_the_good_one_is_read(tmp_path: Path) -> None:
    """What the table above spoils is right in everything else."""
    plant(tmp_path / "m", json.dumps(GOOD))
    assert hub.status(TERNARY, tmp_path / "m").bytes_total == 3 * len(PACKED.required_files)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


@pytest.mark.parametrize("make", [_pipe, _device, _folder, _loop, _huge])
def test_what_is_no_file_under_the_manifest_s_name(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = plant(tmp_path / "m", "")
    path.unlink()
    make(path)
    assert hub.status(TERNARY, tmp_path / "m").state == "absent"


def test_a_folder_that_is_closed_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    plant(tmp_path / "m", json.dumps(GOOD))
    monkeypatch.setattr(Path, "is_file", closed)
    local = hub.status(TERNARY, tmp_path / "m")
    assert local.state == "damaged"
    assert "cannot be read: Permission denied" in local.problems[0]
    assert hub.bytes_to_download(TERNARY, tmp_path / "m") == 3 * len(PACKED.required_files)


def own_weights(server: FakeHub, folder: Path) -> Entry:
    """A complete checkpoint with weights of one's own and a manifest to match, under a name that the catalog pins."""
    entry = pinned_entry(server)
    run(entry, folder=folder)
    own = b"\x07" * len(server.repos[TERNARY][TRANSFORMER])
    (folder / TRANSFORMER).write_bytes(own)
    path = folder_location(folder).manifest_path
    manifest = json.loads(path.read_bytes())
    for file in manifest["files"]:
        if file["path"] == TRANSFORMER:
            file["digest"] = digest(TRANSFORMER, own)
    manifest["verified"][TRANSFORMER] = (folder / TRANSFORMER).stat().st_mtime_ns
    path.write_text(json.dumps(manifest))
    return entry


def test_own_weights_under_a_pinned_name_are_unknown_files(server: FakeHub, tmp_path: Path) -> None:
    entry = own_weights(server, tmp_path / "m")
    local = hub.status(entry, tmp_path / "m")
    assert (local.state, local.content, local.verified) == ("ready", "unknown", False)
    assert "unknown files" in local.problems[0]
    with pytest.raises(CheckpointError, match="other files than those of Tiny; get those with"):
        list(hub.verify(entry, tmp_path / "m"))
    assert (tmp_path / "m" / TRANSFORMER).read_bytes()[:1] == b"\x07"  # nobody asked for them to be replaced
    server.forget()
    run(entry, folder=tmp_path / "m")
    assert set(server.served) == {TRANSFORMER}
    assert content(tmp_path / "m") == needed(server.repos[TERNARY])
    assert hub.status(entry, tmp_path / "m").content == "pinned"


def test_the_hub_s_word_is_called_that(server: FakeHub) -> None:
    """Where the catalog knows some files and not all, nothing is verified against it."""
    whole = pinned_entry(server)
    partly = tuple(file for file in whole.files if file.path == TEXT_ENCODER)
    entry = Entry("tiny", "Tiny", "A test.", None, TERNARY, "main", partly)
    run(entry)
    assert (hub.status(entry).content, hub.status(entry).verified) == ("listed", False)
    assert (hub.status(TERNARY).content, hub.status(TERNARY).verified) == ("listed", True)
    assert (hub.status(whole).content, hub.status(whole).verified) == ("pinned", True)


def test_a_reference_that_is_a_pipe_holds_nobody_up(server: FakeHub) -> None:
    run(TERNARY)
    reference = hub.find(TERNARY).parents[1] / "refs" / "main"
    reference.unlink()
    os.mkfifo(reference)
    assert hub.status(TERNARY).state == "ready"
