"""Original files that are packed while they come: what comes of them, what lies on the disk, what an end loses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from huggingface_hub import constants

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.commands import models as commands
from bonsai_mlx.cli.main import main
from bonsai_mlx.conversion import layers
from bonsai_mlx.conversion.download import download_packed
from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import published, session
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.weights.layout import PACKED, TRANSFORMER

from ..fake_hub import Fault
from ..hub.world import ROOT, content
from .conftest import ORIGINAL, SHARD, World, run

WHOLE = "transformer/diffusion_pytorch_model.safetensors"


def files_beside(place: Path) -> dict[str, int]:
    """Weights of the original that lie in `place`, whole or in part, by the bytes of the disk that they take."""
    notes = place / ".cache" / "bonsai-mlx" / "packing"
    found = [*notes.glob("*.incomplete"), *(notes / "source").glob("t*/*.safetensors")]
    return {path.name: path.stat().st_size for path in found if "tokenizer" not in path.parts}


@pytest.mark.slow
def test_it_makes_what_convert_makes_of_the_whole_and_keeps_one_file_at_most(world: World, tmp_path: Path) -> None:
    place, most, whole, largest = tmp_path / "m", 0, 0, max(world.shards.values())
    names: set[str] = set()
    activities = set()
    for progress in download_packed(world.entry, place):
        beside = files_beside(place)
        weights = {name: size for name, size in beside.items() if size > 1 << 16}
        assert len(weights) <= 1
        most = max(most, sum(beside.values()))
        whole = max(whole, sum({path.stat().st_ino: path.stat().st_size for path in place.rglob("*.*")}.values()))
        names |= weights.keys()
        activities.add(progress.activity)
    assert most <= largest
    assert whole <= largest + sum(map(len, world.expected.values())) + 50_000  # notes and configs
    assert len([name for name in names if name.endswith(".safetensors")]) == len(world.shards) == 3  # all were seen
    assert activities == {"downloading", "checking", "packing", "done"}
    assert content(place) == world.expected
    assert not (place / ".cache" / "bonsai-mlx" / "packing").exists()
    served = {path: count for path, count in world.server.served.items() if path in world.shards}
    assert served == world.shards


@pytest.mark.slow
def test_it_draws_under_its_name(world: World) -> None:
    assert hub.status(world.entry).state == "absent"
    last = run(world)[-1]
    assert last.done
    assert last.path == hub.find("klein")
    local = hub.status(world.entry)
    assert (local.state, local.verified, local.packed_from) == ("ready", True, ORIGINAL)
    results = [
        Pipeline.from_pretrained(place).generate("a fox", seed=1, steps=1, width=64, height=64)
        for place in ("klein", world.original)
    ]
    assert results[0].recipe is not None
    assert (results[0].recipe.model, results[0].recipe.repo) == ("klein", ORIGINAL), "what it was made from"
    assert results[0].recipe.revision == world.server.commit(ORIGINAL)
    pictures = [np.asarray(result.image) for result in results]
    assert pictures[0].std() > 10
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 40
    world.server.forget()
    assert [progress.done for progress in run(world)] == [True]
    assert [progress.done for progress in hub.download(world.entry)] == [True]  # the packed one is there already
    assert world.server.requests == []


@pytest.mark.slow
def test_what_has_no_ready_files_is_packed_without_being_told_to(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As klein base in 4 bits: by its name alone, on the command line."""
    alone = replace(world.entry, repo=None, layout=PACKED)
    for place in (published, commands):
        monkeypatch.setattr(place, "CATALOG", (alone, *published.CATALOG[1:]))
    assert main(["models"]) == 0
    assert "packed here from klein-bf16" in capsys.readouterr().out
    with pytest.raises(DownloadError, match=r"is packed here, from klein-bf16; get it with: .* download klein"):
        list(hub.download(alone))
    assert main(["download", "klein"]) == 0
    assert "is ready" in capsys.readouterr().err
    local = hub.status("klein")
    assert (local.state, local.packed_from) == ("ready", ORIGINAL)
    assert local.path is not None
    assert content(local.path) == world.expected
    assert main(["delete", "klein"]) == 0
    assert hub.status("klein").state == "absent"


@pytest.mark.slow
def test_it_goes_on_from_every_point(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at each event that no earlier run came to, in one folder; what was used up never comes again."""
    place, seen, used = tmp_path / "m", set(), set()
    monkeypatch.setattr("bonsai_mlx.hub.progress._EVERY_S", 0)

    def to_a_new_point() -> bool:
        packed = 0
        with closing(download_packed(world.entry, place)) as events:
            for event in events:
                packed = packed + 1 if event.activity == "packing" else 0
                point = (event.file, event.activity, packed // 3)
                if event.done:
                    return False
                if point not in seen:
                    seen.add(point)
                    return True
        raise AssertionError("it ended without a word")

    while to_a_new_point():
        gone = {path.name for path in (place / ".cache/bonsai-mlx/packing").glob("*.packed")}
        assert used <= gone
        used = gone
    assert len(seen) > 50
    assert content(place) == world.expected
    assert all(world.server.served[path] < 2.5 * size + 65536 for path, size in world.shards.items())


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on(world: World, tmp_path: Path) -> None:
    code = "import sys; from tests.conversion.killed import main; main(*sys.argv[1:])"
    environment = {**os.environ, "HF_ENDPOINT": world.server.endpoint, "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    command = [sys.executable, "-c", code, world.server.commit(ORIGINAL), str(tmp_path / "m")]
    total = sum(world.shards.values())
    for path in world.shards:
        world.server.faults[path] = Fault(chunk_delay_s=0.01)
    for share in (0.3, 0.9):
        before = world.server.bytes_served
        with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE) as child:
            until = time.monotonic() + 60
            while world.server.bytes_served < before + share * total / 2 and time.monotonic() < until:
                if child.poll() is not None:
                    break
                time.sleep(0.002)
            child.kill()
    world.server.faults.clear()
    assert run(world, tmp_path / "m")[-1].done
    assert content(tmp_path / "m") == world.expected


@pytest.mark.slow
@pytest.mark.parametrize("path", [SHARD, WHOLE, "vae/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"])
def test_a_file_that_is_not_what_it_should_be_is_never_packed(world: World, tmp_path: Path, path: str) -> None:
    world.server.faults[path] = Fault(flip_bit=8 * (len(world.server.repos[ORIGINAL][path]) // 2))
    with pytest.raises(DownloadError, match=r"what arrived is damaged and was deleted; .*klein --from bf16 --dir"):
        run(world, tmp_path / "m")
    assert not files_beside(tmp_path / "m")
    assert hub.status(world.entry, tmp_path / "m").state == "partial"
    world.server.faults.clear()
    run(world, tmp_path / "m")
    assert content(tmp_path / "m") == world.expected


def test_a_disk_that_is_too_small_is_noticed_before_anything_large_comes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = max(world.shards.values()) + sum(
        len(world.expected[PACKED.weights(component)]) for component in (TRANSFORMER, "text_encoder")
    )
    monkeypatch.setattr(session, "SPARE_BYTES", 0)
    monkeypatch.setattr(session, "free_bytes", lambda folder: needed - 1)
    with pytest.raises(session.NotEnoughSpaceError):
        run(world, tmp_path / "m")
    assert not world.shards.keys() & world.server.served.keys()
    monkeypatch.setattr(session, "free_bytes", lambda folder: needed)
    run(world, tmp_path / "m")
    assert content(tmp_path / "m") == world.expected


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 20, 60])
def test_a_disk_that_fills_up_while_it_packs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls, write = [0], layers.Target.write

    def full(self: layers.Target, *arguments: object) -> float:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(layers.Target, "write", full)
    with pytest.raises(DownloadError, match=r"the disk is full; make room and run it again: .*--from bf16"):
        run(world, tmp_path / "m")
    assert not (tmp_path / "m" / "model_index.json").exists()
    run(world, tmp_path / "m")
    assert content(tmp_path / "m") == world.expected


@pytest.mark.parametrize("move", range(1, 12, 3))
def test_an_end_while_the_whole_is_moved_to_its_place(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: int
) -> None:
    place, moves, replace = tmp_path / "m", [0], Path.replace

    def ends(self: Path, target: Path) -> Path:
        moves[0] += "out" in self.parts
        if moves[0] == move:
            raise OSError(errno.EIO, "ended here")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", ends)
    with pytest.raises(DownloadError, match="ended here"):
        run(world, place)
    assert hub.status(world.entry, place).state == "partial"
    moves[0] = 100
    world.server.forget()
    run(world, place)
    assert world.server.served == {}
    assert content(place) == world.expected


def changed(change: Callable[[dict[str, mx.array]], None]) -> Callable[[World, Path], str]:
    def change_shard(world: World, folder: Path) -> str:
        path = folder / "changed.safetensors"
        path.write_bytes(world.server.repos[ORIGINAL][SHARD])
        tensors = dict(mx.load(str(path)))  # type: ignore[arg-type]
        change(tensors)  # type: ignore[arg-type]
        mx.save_safetensors(str(path), tensors)  # type: ignore[arg-type]
        world.server.repos[ORIGINAL][SHARD] = path.read_bytes()
        return SHARD

    return change_shard


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(lambda tensors: tensors.pop("model.norm.weight")), r"tensor model\.norm\.weight is missing"),
        (changed(lambda tensors: tensors.update({"extra.weight": mx.zeros(4)})), r"extra\.weight"),
        (changed(lambda tensors: tensors.update({"model.norm.weight": mx.zeros(4)})), r"model\.norm\.weight"),
    ],
    ids=["a tensor too few", "one too many", "another shape"],
)
def test_weights_of_another_shape_are_refused_by_name(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[World, Path], str], words: str
) -> None:
    change(world, tmp_path)
    source = replace(lookup("klein-bf16"), revision=world.server.commit(ORIGINAL))
    monkeypatch.setattr(published, "CATALOG", (world.entry, source))
    with pytest.raises(CheckpointError, match=words):
        run(world, tmp_path / "m")
    assert not (tmp_path / "m" / "model_index.json").exists()
