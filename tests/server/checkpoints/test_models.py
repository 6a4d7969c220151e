"""Downloads as child processes: progress, pause, resume, failure, restart. The child here is a small script."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from bonsai_mlx.hub import catalog, location, published
from bonsai_mlx.hub.entry import CheckpointFile
from server.checkpoints.models import Models
from tests.server.checkpoints.conftest import Serve, calls, intent, state
from tests.server.conftest import LiveServer, eventually
from tests.stand_in import stand_in

pytestmark = pytest.mark.slow


def test_the_catalog_on_this_machine(serve: Serve, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    body = live.client.get("/models").json()
    assert [m["name"] for m in body["models"]] == list(catalog.known_names())
    assert body["default"] == "seedling-ternary"
    assert body["disk_free_bytes"] > 0
    states = {m["name"]: m["state"] for m in body["models"]}
    assert states == {entry.name: "ready" if entry.embedded else "absent" for entry in published.CATALOG}
    ternary = body["models"][0]
    assert ternary["bytes_total"] > 3_000_000_000
    assert ternary["note"]
    assert live.client.get("/models/gpt").status_code == 404
    for action in ("pause", "verify"):
        assert live.client.post(f"/models/ternary/{action}").status_code == 409
    assert live.client.delete("/models/seedling-ternary").status_code == 409
    assert live.client.post("/models/seedling-ternary/download").json()["state"] == "ready"


def test_a_page_knows_whether_a_model_was_downloaded(serve: Serve, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    assert live.studio.models.any_downloaded() is False
    assert 'class="levels several"' not in live.client.get("/").text
    stand_in(tmp_path / "models", "binary")
    eventually(live.studio.models.any_downloaded)
    assert 'class="levels several"' in live.client.get("/").text


def test_progress_pause_and_resume(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    (downloader / "held").touch()
    assert live.client.post("/models/ternary/download").json()["state"] == "downloading"
    model = eventually(lambda: (m := live.client.get("/models/ternary").json())["download"]["bytes_done"] > 2 and m)
    assert (model["download"]["file"], model["download"]["speed_bps"]) == ("model.safetensors", 50.0)
    assert live.client.post("/models/ternary/download").json()["state"] == "downloading"  # once is enough
    live.client.post("/models/ternary/pause")
    paused_at = int((downloader / "progress").read_text())
    assert state(live) == "absent"  # the script makes no files, so there is nothing partial
    assert intent(live) == "paused"
    (downloader / "held").unlink()
    live.client.post("/models/ternary/resume")
    eventually(lambda: state(live) != "downloading")
    assert paused_at < 20
    assert (downloader / "progress").read_text() == "20"
    expected = ["download", "ternary", str(tmp_path / "models" / "ternary")]
    assert calls(downloader) == [expected, expected]


def test_a_model_can_be_made_of_the_original_s_files(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    live, folder = serve(models_dir=tmp_path / "models"), tmp_path / "models" / "klein"
    model = live.client.get("/models/klein").json()
    original = catalog.lookup("klein-bf16")
    assert model["original_bytes"] == original.bytes_total
    assert model["original"] == "bf16"
    assert model["passing_bytes"] == 7_751_109_744
    assert live.client.get("/models/ternary").json()["original_bytes"] is None
    for name, origin, words in (
        ("ternary", "bf16", "is not made from 'bf16'"),
        ("klein", "fp8", "or give 'bf16'"),
    ):
        refused = live.client.post(f"/models/{name}/download", params={"from": origin})
        assert refused.status_code == 422
        assert refused.json()["error"]["field"] == "from"
        assert words in refused.text
    (downloader / "held").touch()
    started = live.client.post("/models/klein/download", params={"from": "bf16"})
    assert started.json()["state"] == "downloading"
    eventually(lambda: (downloader / "calls").exists())
    live.client.post("/models/klein/pause")
    # what was begun so goes on so, whoever asks
    begun = location.packing_location(location.folder_location(folder))
    files = tuple(CheckpointFile(file.path, file.size, "0" * 64) for file in original.files)
    location.Manifest(original.repo or "", original.revision, original.revision, files).write(begun.manifest_path)
    model = live.client.get("/models/klein").json()
    assert (model["state"], model["packed_from"]) == ("paused", original.repo)
    assert model["bytes_total"] == catalog.lookup("klein").bytes_total
    (downloader / "held").unlink()
    live.client.post("/models/klein/resume")
    eventually(lambda: len(calls(downloader)) == 2)
    eventually(lambda: state(live, "klein") != "downloading")
    assert calls(downloader) == [["pack", "klein", str(folder)]] * 2
    assert live.client.delete("/models/klein").json()["state"] == "absent"


def test_what_is_packed_here_alone_is_got_so_by_every_way(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    model = live.client.get("/models/klein-base-4bit").json()
    assert (model["repo"], model["original"], model["embedded"], model["kind"]) == (None, "bf16", False, "model")
    assert model["original_bytes"] == catalog.lookup("klein-base").bytes_total
    for way in ({}, {"from": "bf16"}):
        (downloader / "progress").unlink(missing_ok=True)
        started = live.client.post("/models/klein-base-4bit/download", params=way).json()
        assert started["state"] == "downloading"
        eventually(lambda: state(live, "klein-base-4bit") != "downloading")
    assert calls(downloader) == [["pack", "klein-base-4bit", str(tmp_path / "models" / "klein-base-4bit")]] * 2


def test_parts_come_as_models_do(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    """Listed apart, since nothing is drawn with one alone; and got, paused, resumed and refused in the same ways."""
    live = serve(models_dir=tmp_path / "models")
    listed = live.client.get("/models").json()
    assert {part["name"]: part["kind"] for part in listed["parts"]} == {
        "ternary-bonsai": "text encoder",
        "bonsai-1bit": "text encoder",
        "small-decoder": "decoder",
        "taef2": "preview decoder",
    }
    assert {part["state"] for part in listed["parts"]} == {"absent"}
    assert {model["kind"] for model in listed["models"]} == {"model"}
    (downloader / "held").touch()
    assert live.client.post("/models/small/download").json()["state"] == "downloading"  # an alias
    eventually(lambda: live.client.get("/models/small-decoder").json()["download"]["bytes_done"] > 2)
    live.client.post("/models/small-decoder/pause").raise_for_status()
    assert state(live, "small-decoder") == "absent"
    live.__exit__()
    (downloader / "held").unlink()
    (downloader / "failing").touch()
    again = serve(models_dir=tmp_path / "models")
    again.client.post("/models/small-decoder/resume").raise_for_status()
    eventually(lambda: state(again, "small-decoder") == "failed")
    assert again.client.get("/models/small-decoder").json()["download"]["error"] == "the network went away"
    assert calls(downloader) == [["download", "small-decoder", str(tmp_path / "models" / "small-decoder")]] * 2
    assert again.client.post("/models/taef2/verify").status_code == 409
    refused = again.client.post("/models/taef2/download", params={"from": "bf16"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "from")
    drawn = again.client.post("/jobs", json={"prompt": "a fox", "model": "taef2"})
    assert (drawn.status_code, drawn.json()["error"]["field"]) == (422, "model")


def test_a_part_s_download_goes_on_after_a_restart(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    first = serve(models_dir=tmp_path / "models")
    (downloader / "held").touch()
    first.client.post("/models/taef2/download")
    eventually((downloader / "progress").exists)
    first.__exit__()
    (downloader / "held").unlink()
    second = serve(models_dir=tmp_path / "models")
    eventually(lambda: state(second, "taef2") != "downloading")
    assert (downloader / "progress").read_text() == "20"


def test_a_failure_is_shown_and_can_be_resumed(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    (downloader / "failing").touch()
    live.client.post("/models/binary/download")
    eventually(lambda: state(live, "binary") == "failed")
    assert live.client.get("/models/binary").json()["download"]["error"] == "the network went away"
    (downloader / "failing").unlink()
    live.client.post("/models/binary/resume")
    eventually(lambda: state(live, "binary") == "absent")
    assert (downloader / "progress").read_text() == "20"


@pytest.mark.parametrize("end", ["failing", "none"])
@pytest.mark.parametrize(
    "noise",
    [
        b"a library that prints\n",
        b"{}\n",
        b"[]\n",
        b'"text"\n',
        b'{"bytes_done": "many", "bytes_total": null, "speed_bytes_s": 1, "eta_s": 1, "file": 1}\n',
        b"\xff\xfe\n",
        b"x" * 300_000 + b"\n",
        b"\n\n",
    ],
)
def test_a_line_that_cannot_be_read_is_passed_over(
    serve: Serve, downloader: Path, tmp_path: Path, noise: bytes, end: str
) -> None:
    """The page learns of what comes after it, and of the end."""
    live = serve(models_dir=tmp_path / "models")
    (downloader / "noise").write_bytes(noise)
    (downloader / end).touch()
    live.client.post("/models/binary/download")
    eventually(lambda: state(live, "binary") == ("failed" if end == "failing" else "absent"))
    if end == "failing":
        assert live.client.get("/models/binary").json()["download"]["error"] == "the network went away"


def test_a_download_goes_on_after_a_restart(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    first = serve(models_dir=tmp_path / "models")
    (downloader / "held").touch()
    first.client.post("/models/ternary/download")
    eventually((downloader / "progress").exists)
    first.__exit__()
    assert int((downloader / "progress").read_text()) < 20
    second = serve(models_dir=tmp_path / "models")
    assert state(second) == "downloading"
    (downloader / "held").unlink()
    eventually(lambda: state(second) != "downloading")
    assert (downloader / "progress").read_text() == "20"
    second.__exit__()
    third = serve(models_dir=tmp_path / "models")
    assert state(third) == "absent"
    assert len(calls(downloader)) == 2


def test_a_paused_download_stays_paused_after_a_restart(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    first = serve(models_dir=tmp_path / "models")
    (downloader / "held").touch()
    first.client.post("/models/ternary/download")
    eventually((downloader / "progress").exists)
    first.client.post("/models/ternary/pause")
    first.__exit__()
    second = serve(models_dir=tmp_path / "models")
    assert state(second) != "downloading"
    assert len(calls(downloader)) == 1


def test_cancelling_forgets(serve: Serve, downloader: Path, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    live.client.post("/models/ternary/download")
    assert live.client.post("/models/ternary/cancel").json()["state"] == "absent"
    assert intent(live) is None


def damaged_checkpoint(folder: Path) -> Path:
    """The ternary one, complete (without a byte on the disk for most of it) but for a byte too many in one file."""
    for file in catalog.lookup("ternary").files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file.path).open("wb") as sparse:
            sparse.truncate(file.size + (file.path == "vae/config.json"))
    return folder


@pytest.mark.parametrize("begun", ["nothing", "download", "verify"])
def test_cancelling_deletes_nothing(serve: Serve, downloader: Path, tmp_path: Path, begun: str) -> None:
    folder = damaged_checkpoint(tmp_path / "models" / "ternary")
    before = {path: path.stat().st_size for path in folder.rglob("*")}
    live = serve(models_dir=tmp_path / "models")
    assert state(live) == "damaged"
    assert "vae/config.json has 822 bytes instead of 821" in live.client.get("/models/ternary").json()["problems"][0]
    (downloader / "held").touch()
    if begun != "nothing":
        live.client.post(f"/models/ternary/{begun}").raise_for_status()
    assert live.client.post("/models/ternary/cancel").json()["state"] == "damaged"
    assert {path: path.stat().st_size for path in folder.rglob("*")} == before
    assert intent(live) is None


@pytest.mark.parametrize("text", ['{"format": 1, "repo": "prism-', "[" * 200_000, "sizes"])
def test_one_bad_folder_is_one_bad_line(serve: Serve, tmp_path: Path, text: str) -> None:
    entry = catalog.lookup("ternary")
    notes = location.folder_location(damaged_checkpoint(tmp_path / "models" / "ternary")).manifest_path
    notes.parent.mkdir(parents=True)
    files = [{"path": file.path, "size": str(file.size), "digest": file.digest} for file in entry.files]
    manifest = {"format": 1, "repo": entry.repo, "revision": entry.revision, "commit": entry.revision, "verified": {}}
    notes.write_text(json.dumps(manifest | {"files": files}) if text == "sizes" else text)
    live = serve(models_dir=tmp_path / "models")
    for path in ("/models", "/models/ternary", "/connect", "/api/tags", "/v1/models"):
        assert live.client.get(path).status_code == 200, path
    with live.client.stream("GET", "/events") as events:
        assert events.status_code == 200
    models = {model["name"]: model for model in live.client.get("/models").json()["models"]}
    assert models["ternary"]["state"] == "damaged"
    assert any("manifest.json is damaged" in problem for problem in models["ternary"]["problems"])
    assert models["seedling-ternary"]["state"] == "ready"


def test_too_small_a_disk(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    monkeypatch.setattr(Models, "disk_free_bytes", lambda _self: 1_000)
    refused = live.client.post("/models/ternary/download")
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_full")


def test_files_that_can_be_shared_need_no_room(
    serve: Serve, downloader: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The binary checkpoint beside the ternary one: only its own files count, and only where they are going to be."""
    cache = tmp_path / "cache"
    blobs = cache / "models--prism-ml--ternary" / "blobs"
    blobs.mkdir(parents=True)
    for file in catalog.lookup("ternary").files:
        with (blobs / file.digest).open("wb") as blob:
            blob.truncate(file.size)  # takes no room itself
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    live, free = serve(), {cache: 900_000_000}
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(Path(path), 0)))
        assert live.client.get("/models").json()["disk_free_bytes"] == 900_000_000
        refused = live.client.post("/models/binary/download")
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_full")
        assert " MB, but the disk has only " in refused.json()["error"]["message"]
        free[cache] = 1_000_000_000
        assert live.client.post("/models/binary/download").json()["state"] == "downloading"


# what is asked for at the same moment


def test_verifying_an_embedded_checkpoint_with_the_real_child(live: LiveServer) -> None:
    assert live.client.post("/models/seedling-ternary/verify").json()["state"] == "verifying"
    eventually(lambda: state(live, "seedling-ternary") == "ready")


def test_files_of_the_user_are_not_the_child(live: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    live.client.post("/models/seedling-ternary/verify").raise_for_status()
    eventually(lambda: state(live, "seedling-ternary") == "ready")
    assert live.studio.models._failures == {}


def test_a_model_in_use_is_not_deleted(gate: Path, live: LiveServer) -> None:
    live.running(live.post_job("hold")["id"])
    assert live.client.delete("/models/seedling-ternary").json()["error"]["code"] == "conflict"


def test_a_pasted_address_is_a_model(serve: Serve, tmp_path: Path) -> None:
    live = serve(models_dir=tmp_path / "models")
    address = "https://huggingface.co/prism-ml/bonsai-image-ternary-4B-mlx-2bit/tree/main"
    refused = live.client.post("/jobs", json={"prompt": "a fox", "model": address})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_missing")
    unknown = live.client.post("/jobs", json={"prompt": "a fox", "model": "https://huggingface.co/acme/fox"})
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (422, "model")
