"""What was packed while it came is kept, checked, repaired and deleted like any other model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from bonsai_mlx.cli.main import main
from bonsai_mlx.conversion.download import download_packed
from bonsai_mlx.errors import CheckpointError, DownloadError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import incoming, published
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.hub.entry import CheckpointFile
from bonsai_mlx.weights.layout import PACKED, TRANSFORMER

from ..hub.world import ROOT, content, damage
from .conftest import ORIGINAL, SHARD, World, run


@pytest.mark.slow
def test_what_another_folder_has_comes_from_there_and_stays_there(world: World, tmp_path: Path) -> None:
    list(hub.download("klein-bf16", tmp_path / "klein-bf16"))
    before = content(tmp_path / "klein-bf16")
    world.server.forget()
    run(world, tmp_path / "klein")
    assert world.server.served == {}
    assert content(tmp_path / "klein") == world.expected
    assert content(tmp_path / "klein-bf16") == before


def test_what_is_half_made_is_told_and_can_be_deleted(world: World) -> None:
    for progress in download_packed(world.entry):
        if progress.activity == "packing" and progress.file == SHARD:
            break
    local = hub.status(world.entry)
    size = sum(map(len, world.server.repos[ORIGINAL].values()))
    assert local.state == "partial"
    assert size * 0.8 < local.bytes_present <= local.bytes_total <= size
    with pytest.raises(CheckpointError, match=r"files of acme/original are packed\); finish it with: .*--from bf16"):
        hub.find("klein")
    assert hub.delete("klein") > 100_000
    assert hub.status(world.entry).state == "absent"
    assert not incoming.packed_folder("klein").exists()


@pytest.mark.slow
def test_it_is_verified_repaired_and_deleted_like_others(world: World) -> None:
    place = run(world)[-1].path
    assert place is not None
    assert list(hub.verify("klein"))[-1].done
    damage(place / PACKED.weights(TRANSFORMER))
    with pytest.raises(CheckpointError, match=r"is damaged and was deleted; repair it with: .*klein --from bf16"):
        list(hub.verify("klein"))
    assert hub.status("klein").state == "partial"
    run(world)
    assert content(place) == world.expected
    assert hub.delete("klein") > 100_000
    assert hub.status("klein").state == "absent"


def test_one_folder_holds_one_model(world: World, tmp_path: Path) -> None:
    list(hub.download("klein-bf16", tmp_path / "m"))
    with pytest.raises(DownloadError, match="m holds acme/original; choose another folder for Klein, or delete that"):
        run(world, tmp_path / "m")
    with pytest.raises(DownloadError, match="Original is not made from another model; download it as it is"):
        list(download_packed("klein-bf16", tmp_path / "n"))


def test_on_the_command_line(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "m")
    assert main(["download", "klein", "--from", "bf16", "--dir", place]) == 0
    assert f"Klein is ready: {place}" in capsys.readouterr().err
    assert content(tmp_path / "m") == world.expected
    assert main(["download", "klein", "--from", "bf16", "--dir", place, "--json"]) == 0
    assert '"done": true' in capsys.readouterr().out
    assert main(["download", "klein", "--from", "bf16", "--revision", "v2"]) != 0
    assert "--revision: is not taken with --from" in capsys.readouterr().err
    assert main(["download", "klein-bf16", "--from", "bf16"]) == 1
    assert "is not made from another model" in capsys.readouterr().err


@pytest.mark.slow
def test_the_server_s_child_does_it(world: World, tmp_path: Path) -> None:
    code = (
        "import sys; from tests.conversion.killed import prepare; prepare(sys.argv[1]);"
        "from server.checkpoints.transfer_child import end_process, main; end_process(main(sys.argv[2:]))"
    )
    environment = {**os.environ, "HF_ENDPOINT": world.server.endpoint, "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    command = [sys.executable, "-c", code, world.server.commit(ORIGINAL), "pack", "klein", str(tmp_path / "m")]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = [json.loads(line) for line in child.stdout]
        assert child.wait(60) == 0
    assert said[-1]["done"] is True
    assert "packing" in {event["activity"] for event in said}
    assert content(tmp_path / "m") == world.expected


def test_what_a_download_takes_is_known_without_asking(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(CheckpointFile(path, len(data)) for path, data in world.server.repos[ORIGINAL].items())
    source = replace(lookup("klein-bf16"), files=files)
    made = replace(world.entry, files=(CheckpointFile("model", 1_000_000),))
    monkeypatch.setattr(published, "CATALOG", (made, source))
    assert hub.bytes_to_download("klein", tmp_path / "m", packed=True) == 1_000_000 + max(world.shards.values())
    with closing(download_packed("klein", tmp_path / "m")) as events:
        next(event for event in events if event.activity == "packing")
    left = hub.bytes_to_download("klein", tmp_path / "m", packed=True)
    taken = hub.bytes_of_packing(lookup("klein"), tmp_path / "m")
    assert taken > 1_000_000
    assert left == max(0, 1_000_000 + max(world.shards.values()) - taken)
