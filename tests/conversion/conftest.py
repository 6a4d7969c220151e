"""A Hub with a model's original files in the published layout, and what `convert` makes of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from bonsai_mlx.conversion.convert import convert
from bonsai_mlx.conversion.download import download_packed
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.hub import published
from bonsai_mlx.hub.entry import Entry
from bonsai_mlx.hub.progress import DownloadProgress
from bonsai_mlx.weights.layout import DIFFUSERS, MFLUX

from ..fake_hub import FakeHub
from ..hub.world import content, hub_with_checkpoints
from ..layouts import write_diffusers

ORIGINAL = "acme/original"
FEW_LAYERS: dict[str, Any] = {
    "transformer": {"num_layers": 1, "num_single_layers": 1},
    "text_encoder": {"num_hidden_layers": 4},
    "vae": {"block_out_channels": [8] * 4, "norm_num_groups": 4},
    "model_index": {"text_encoder_out_layers": [1, 2, 3]},
}
SHARD = "text_encoder/model-00002-of-00002.safetensors"


@dataclass(frozen=True)
class World:
    """`expected` is the whole folder, converted."""

    server: FakeHub
    original: Path
    expected: dict[str, bytes]
    entry: Entry

    @property
    def shards(self) -> dict[str, int]:
        files = self.server.repos[ORIGINAL].items()
        return {path: len(data) for path, data in files if path.endswith(".safetensors") and "vae" not in path}


def entries(commit: str) -> tuple[Entry, Entry]:
    """What is made, and of what."""
    made = Entry("klein", "Klein", "A test.", "4-bit", "acme/ready", made_from="klein-bf16", layout=MFLUX)
    return made, Entry("klein-bf16", "Original", "A test.", "bf16", ORIGINAL, commit, layout=DIFFUSERS)


@pytest.fixture(scope="session")
def original(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusers(tiny_checkpoint("bf16", **FEW_LAYERS), tmp_path_factory.mktemp("published") / "original")


@pytest.fixture(scope="session")
def expected(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("converted") / "whole"
    list(convert(Checkpoint.open(original), out, 4, encoder_bits=4))
    return content(out)


@pytest.fixture(scope="session")
def connections() -> Iterator[None]:
    yield
    close_session()


@pytest.fixture
def world(
    connections: None,
    original: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    with hub_with_checkpoints(tmp_path) as server:
        server.repos[ORIGINAL] = content(original)
        made, source = entries(server.commit(ORIGINAL))
        monkeypatch.setattr(published, "CATALOG", (made, source))
        yield World(server, original, expected, made)


def run(world: World, place: Path | None = None) -> list[DownloadProgress]:
    return list(download_packed(world.entry, place))
