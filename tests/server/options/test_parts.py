"""Another text encoder, another decoder: chosen at the start or in between, and seen in the pictures that come out."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from bonsai_mlx.decoding import decode
from bonsai_mlx.flux2.parts.config import VaeConfig
from bonsai_mlx.hub.catalog import lookup, part
from bonsai_mlx.hub.location import repository_folder
from bonsai_mlx.images.metadata import read
from bonsai_mlx.images.recipe import Recipe
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, VAE
from bonsai_mlx.weights.random import write_random_weights
from tests.server.conftest import LiveServer
from tests.stand_in import as_downloaded, stand_in

Serve = Callable[..., LiveServer]
REAL = {"engine": "server.engine.backend:mlx_backend", "progress_unknown_s": 120.0, "heartbeat_kill_s": 30.0}
COMMON = Path(lookup("seedling").embedded_folder or "").parent / "common"


def dark_decoder(folder: Path) -> Path:
    """The seedling's VAE, whose decoder paints everything darker."""
    shutil.copytree(COMMON / PACKED.folder(VAE), folder)
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors: dict[str, mx.array] = mx.load(str(path))  # type: ignore[assignment]
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + mx.array(-0.6, mx.bfloat16)
    mx.save_safetensors(str(path), {name: mx.array(array) for name, array in tensors.items()})
    return folder


def narrow_decoder(folder: Path) -> Path:
    config = json.loads((COMMON / PACKED.folder(VAE) / "config.json").read_text())
    groups = config["norm_num_groups"]
    config["decoder_block_out_channels"] = [max(groups, width // 4) for width in config["block_out_channels"]]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    tensors = decode(VaeConfig, config).tensors()
    write_random_weights(folder / "diffusion_pytorch_model.safetensors", tensors, bits=None, seed=1, writer="pt")
    return folder


def deaf_encoder(folder: Path) -> Path:
    """The seedling's text encoder, to which every word means the opposite."""
    shutil.copytree(COMMON / PACKED.folder(TEXT_ENCODER), folder)
    path = folder / "model.safetensors"
    tensors: dict[str, mx.array] = mx.load(str(path))  # type: ignore[assignment]
    for name in ("model.embed_tokens.scales", "model.embed_tokens.biases"):
        tensors[name] = -tensors[name]
    mx.save_safetensors(str(path), {name: mx.array(array) for name, array in tensors.items()})
    return folder


def drawn(live: LiveServer, model: str = "ternary") -> tuple[np.ndarray[Any, Any], Recipe]:
    body = {"prompt": "a green star", "seed": 5, "model": model, "width": 64, "height": 64, "steps": 1}
    content = live.client.post("/generate", json=body, timeout=300).raise_for_status().content
    found = read(content)
    assert found is not None
    assert found.recipe is not None
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int), found.recipe


@pytest.fixture
def models(tmp_path: Path) -> Path:
    stand_in(tmp_path / "models", "ternary")
    return tmp_path / "models"


@pytest.mark.slow
def test_options_of_the_start_are_seen_in_the_picture(serve: Serve, models: Path, tmp_path: Path) -> None:
    decoder, encoder = dark_decoder(tmp_path / "dark"), deaf_encoder(tmp_path / "deaf")
    own = serve(models_dir=models, output=tmp_path / "own", **REAL)
    before, recipe = drawn(own)
    seedling = drawn(own, "seedling")[0]
    assert (recipe.text_encoder, recipe.decoder) == (None, None)
    other = serve(models_dir=models, output=tmp_path / "other", decoder=str(decoder), text_encoder=str(encoder), **REAL)
    said = other.client.get("/settings").json()
    assert (said["decoder"], said["text_encoder"]) == (str(decoder), str(encoder))
    assert {"decoder", "text_encoder"} <= set(said["fixed"])
    after, recipe = drawn(other)
    assert (recipe.text_encoder, recipe.decoder) == ("deaf", "dark")
    assert (before - after).mean() > 30, "darker"
    assert np.std(before - after) > 10, "and another drawing"
    assert np.array_equal(drawn(other, "seedling")[0], seedling), "embedded models keep their own"
    refused = other.client.patch("/settings", json={"decoder": None})
    assert (refused.status_code, refused.json()["error"]["field"]) == (409, "decoder")
    assert "--decoder" in refused.text


@pytest.mark.slow
def test_they_are_changed_while_the_server_runs(
    serve: Serve, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))  # of the process that draws
    live = serve(models_dir=models, **REAL)
    before = drawn(live)[0]
    for field, name in (("decoder", "small"), ("text_encoder", "ternary-bonsai")):
        absent = live.client.patch("/settings", json={field: name})
        assert (absent.status_code, absent.json()["error"]["code"]) == (409, "model_missing")
        assert "bonsai-mlx download" in absent.json()["error"]["remedy"]
    page = live.client.get("/preferences").text
    assert "FLUX.2 small decoder is not on this computer; get it on the page" in page
    for name, make in (("small-decoder", dark_decoder), ("ternary-bonsai", deaf_encoder)):
        entry = part(name)
        assert entry is not None
        commit = entry.revision if len(entry.revision) == 40 else "0" * 40
        make(repository_folder(entry.repo or "") / "snapshots" / commit)
    assert live.client.patch("/settings", json={"decoder": "small"}).json()["decoder"] == "small-decoder"
    dark, recipe = drawn(live)
    assert recipe.decoder == "small-decoder"
    assert (before - dark).mean() > 30
    assert live.client.patch("/settings", json={"text_encoder": "ternary-bonsai"}).status_code == 200
    both, recipe = drawn(live)
    assert (recipe.text_encoder, recipe.decoder) == ("ternary-bonsai", "small-decoder")
    assert np.abs(both - dark).mean() > 1
    assert json.dumps("small-decoder") in live.client.get("/preferences").text
    live.client.patch("/settings", json={"text_encoder": None, "decoder": None})
    assert np.array_equal(drawn(live)[0], before)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [("decoder", "ternary-bonsai", 422), ("text_encoder", "small", 422), ("decoder", "/etc", 422), ("decoder", 3, 422),
     ("text_encoder", "", 422)],
)  # fmt: skip
def test_a_request_names_known_parts_and_no_paths(shared: LiveServer, field: str, value: Any, status: int) -> None:
    refused = shared.client.patch("/settings", json={field: value})
    assert (refused.status_code, refused.json()["error"]["field"]) == (status, field)
    assert shared.client.get("/settings").json()[field] is None


@pytest.mark.slow
def test_the_plan_counts_with_them(serve: Serve, models: Path, tmp_path: Path) -> None:
    """A narrower decoder holds less while it decodes."""
    size = {"width": 1024, "height": 1024, "model": "ternary"}
    wide = serve(models_dir=models, output=tmp_path / "wide").client.get("/fit", params=size).json()["peak_bytes"]
    narrowed = serve(models_dir=models, output=tmp_path / "small", decoder=str(narrow_decoder(tmp_path / "narrow")))
    assert narrowed.client.get("/fit", params=size).json()["peak_bytes"] < wide


@pytest.mark.slow
def test_parts_in_the_folder_of_models_count(serve: Serve, models: Path, tmp_path: Path) -> None:
    """Where the server downloads them to; the recipe has their names."""
    entry = part("small-decoder")
    assert entry is not None
    live = serve(models_dir=models, output=tmp_path / "out", **REAL)
    before = drawn(live)[0]
    as_downloaded(dark_decoder(models / entry.name), entry)
    assert live.client.patch("/settings", json={"decoder": "small"}).json()["decoder"] == "small-decoder"
    after, recipe = drawn(live)
    assert recipe.decoder == "small-decoder"
    assert (before - after).mean() > 30
    shutil.rmtree(models / entry.name)
    assert live.client.get("/settings").json()["decoder"] is None
    assert np.array_equal(drawn(live)[0], before), "what is gone counts as nothing"
    as_downloaded(dark_decoder(models / entry.name), entry)
    other = serve(models_dir=models, output=tmp_path / "other", decoder="small", **REAL)
    assert np.array_equal(drawn(other)[0], after)
