"""Repositories that the catalog does not know, in the layouts of folders: downloaded and drawn by their names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.hub import api as hub

from ..fake_hub import FakeHub
from ..layouts import write_diffusers, write_mflux
from .world import content

# What a folder without a model_index.json is taken to be.
DEEP = {"num_hidden_layers": 28, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64}
IN_32_GROUPS = {"norm_num_groups": 32, "block_out_channels": [32, 32, 64, 64]}
AS_PUBLISHED = {"text_encoder_out_layers": [9, 18, 27], "max_sequence_length": 512}
UNTOLD = {"text_encoder": DEEP, "vae": IN_32_GROUPS, "model_index": AS_PUBLISHED}
LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "diffusers": write_diffusers,
    "diffusers in shards": lambda source, out: write_diffusers(source, out, transformer_shards=2),
    "the other MLX program": lambda source, out: write_mflux(source, out, 4),
    "klein-base of the other MLX program": lambda source, out: write_mflux(source, out, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_repository_in_a_layout_that_is_read(
    layout: str, server: FakeHub, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    told = {} if layout.startswith("diffusers") else UNTOLD
    folder = LAYOUTS[layout](tiny_checkpoint("bf16", **told), tmp_path / "klein")
    repo = "acme/" + layout.replace(" ", "-")
    server.repos[repo] = content(folder) | {"modeling.py": b"print()", "unet/model.safetensors": b"x"}
    assert main(["download", repo]) == 0
    local = hub.status(repo)
    assert (local.state, local.content) == ("ready", "listed")
    assert local.path is not None
    assert "modeling.py" not in content(local.path)
    assert "unet/model.safetensors" not in content(local.path)
    pipe = Pipeline.from_pretrained(repo)
    assert pipe.model.describe().recommended_guidance == (4.0 if "base" in repo else 1.0)
    request = {"seed": 1, "steps": 1, "width": 64, "height": 64}
    found = np.asarray(pipe.generate("a fox", **request).image)
    if "base" not in repo:
        assert (found == np.asarray(Pipeline.from_pretrained(folder).generate("a fox", **request).image)).all()
    shutil.rmtree(local.path.parents[1] / "bonsai-mlx")  # as another program has put it there: no notes
    assert hub.status(repo).state == "ready"
