"""What draws the previews of downloaded models: the model itself, TAEF2, or a file that is named; and none at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.hub.catalog import lookup, part
from server.__main__ import main
from tests.server.conftest import FAKE_ENGINE, LiveServer, ServerProcess, eventually
from tests.stand_in import as_downloaded
from tests.tiny_decoder import write_taef2

Serve = Callable[..., LiveServer]
Spawn = Callable[..., ServerProcess]
ENGINE = "server.engine.backend:mlx_backend"
REAL = {"engine": ENGINE, "progress_unknown_s": 120.0, "heartbeat_kill_s": 30.0}
DRAWN = {"prompt": "a fox", "seed": 1, "width": 128, "height": 64, "steps": 1}


def last_preview(client: httpx.Client, **fields: Any) -> httpx.Response:
    """The answer for the last preview of a picture that has been drawn."""
    job = client.post("/jobs", json=DRAWN | fields, timeout=300).raise_for_status().json()["jobs"][0]
    eventually(lambda: client.get(f"/jobs/{job['id']}").json()["status"] == "done", 120)
    return client.get(f"/jobs/{job['id']}/preview")


def previews(live: LiveServer) -> list[Image.Image]:
    """The last of two pictures, one of a downloaded model and one of the seedling."""
    answers = [last_preview(live.client, model=model).raise_for_status() for model in ("ternary", "seedling")]
    return [Image.open(io.BytesIO(answer.content)) for answer in answers]


def expected_preview(model: Path, **parts: Path) -> np.ndarray[Any, Any]:
    pipe = Pipeline.from_pretrained(model, **parts)
    shown = [event.preview for event in pipe.run(GenerationRequest(**DRAWN), preview=True) if event.preview]
    return np.asarray(shown[-1]).astype(int)


@pytest.mark.slow
def test_previews_are_drawn_by_taef2_once_it_is_here(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))
    models, entry = tmp_path / "models", part("taef2")
    assert entry is not None
    as_downloaded(make_checkpoint(models / "ternary", vae={"latent_channels": 32}), lookup("ternary"))
    live = serve(models_dir=models, output=tmp_path / "out", **REAL)
    assert [preview.size for preview in previews(live)] == [(16, 8), (16, 8)]
    assert "they show more" in live.client.get("/preferences").text
    size = {"width": 2048, "height": 2048, "model": "ternary"}
    small = live.client.get("/fit", params=size).json()["peak_bytes"]
    as_downloaded(write_taef2(models / entry.name), entry)
    shown, seedling = previews(live)
    assert (shown.size, seedling.size) == ((128, 64), (16, 8)), "the seedling has latents of its own"
    expected = expected_preview(models / "ternary", preview_decoder=models / "taef2")
    assert np.abs(np.asarray(shown).astype(int) - expected).max() <= 1, "by it, of the same latents"
    assert "they show more" not in live.client.get("/preferences").text
    assert live.client.get("/fit", params=size).json()["peak_bytes"] >= small


@pytest.mark.slow
def test_a_preview_decoder_is_named_on_the_command_line(spawn: Spawn, tmp_path: Path) -> None:
    """Another one than TAEF2 of the downloads, which is here too."""
    models, entry = tmp_path / "models", part("taef2")
    assert entry is not None
    as_downloaded(make_checkpoint(models / "ternary", vae={"latent_channels": 32}), lookup("ternary"))
    as_downloaded(write_taef2(models / entry.name), entry)
    own = write_taef2(tmp_path / "own", seed=7)
    server = spawn("--models-dir", str(models), "--preview-decoder", str(own), BONSAI_ENGINE=ENGINE)
    shown = np.asarray(Image.open(io.BytesIO(last_preview(server.client, model="ternary").content))).astype(int)
    assert np.abs(shown - expected_preview(models / "ternary", preview_decoder=own)).max() <= 1
    others = expected_preview(models / "ternary", preview_decoder=models / "taef2")
    assert np.abs(shown - others).mean() > 5


@pytest.mark.slow
def test_without_previews_none_is_drawn_or_counted(serve: Serve, tmp_path: Path) -> None:
    """Switched off at the start or on the page of settings."""
    models = tmp_path / "models"
    as_downloaded(make_checkpoint(models / "ternary", vae={"latent_channels": 32}), lookup("ternary"))
    options = {"models_dir": models, "preview_decoder": str(write_taef2(tmp_path / "own")), **REAL}
    live = serve(output=tmp_path / "on", **options)
    assert last_preview(live.client, model="ternary").status_code == 200
    small = {"width": 128, "height": 64, "model": "ternary"}
    counted = live.client.get("/fit", params=small).json()["peak_bytes"]
    live.client.patch("/settings", json={"preview": False}).raise_for_status()
    refused = last_preview(live.client, model="ternary")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert live.client.get("/fit", params=small).json()["peak_bytes"] < counted
    off = serve(
        output=tmp_path / "off", preview=False, **options | {"engine": FAKE_ENGINE}
    )  # which draws them if asked
    assert last_preview(off.client, model="ternary").status_code == 404


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("preview-decoder", "nothing-such", "there is no such preview decoder; give the path of one, or taef2"),
        ("preview-decoder", "gone/taef2.safetensors", "there is no such preview decoder"),
        ("preview-decoder", "notes.txt", "not a complete safetensors file"),
        ("preview-decoder", "cut", "not a complete safetensors file"),
        ("preview-decoder", "lacking", "tensor decoder.layers.3"),
        ("preview-decoder", "taef2", "is not on this machine; get it (10.7 MB) with: "),
        ("decoder", "nothing-such", "there is no such decoder; give the path of one, or small-decoder"),
        ("decoder", "notes.txt", "there is no such decoder; give the folder of a VAE"),
        ("decoder", "cut", "the file is missing; give another one with --decoder"),
        ("text-encoder", "small", "there is no such text encoder; give the path of one, or ternary-bonsai"),
        ("text-encoder", "notes.txt", "not a complete safetensors file"),
        ("text-encoder", "cut", "no weights of FLUX.2 [klein] (the tensor "),
        ("text-encoder", "pickled", "files of this type can carry code"),
    ],
)
def test_a_part_that_is_none_ends_the_start_with_one_line(
    option: str,
    name: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("server.__main__.serve", lambda *_, **__: pytest.fail("it started with a part that is none"))
    Path("notes.txt").write_text("hello")
    write_taef2(Path("lacking"), lambda tensors: {key: one for key, one in tensors.items() if "layers.3." not in key})
    file = write_taef2(Path("cut")) / "taef2.safetensors"
    file.write_bytes(file.read_bytes()[:-5] if option == "preview-decoder" else file.read_bytes())
    Path("pickled").mkdir()
    Path("pickled/pytorch_model.bin").touch()
    with pytest.raises(SystemExit) as ended:
        main([f"--{option}", name, "--output", "out", "--no-browser"])
    told = capsys.readouterr().err.splitlines()
    assert (ended.value.code, len(told)) == (2, 1)
    assert told[0].startswith(f"bonsai: --{option}: {'' if name == 'taef2' else name}")
    assert said in told[0]
    assert not Path("out").exists()
