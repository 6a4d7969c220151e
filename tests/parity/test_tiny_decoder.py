"""TAEF2's decoder against its network as torch has it, written from the description of the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bonsai_mlx.flux2 import preview
from bonsai_mlx.flux2.parts.components import Components
from bonsai_mlx.flux2.preview import TinyDecoder
from tests.tiny_decoder import write_taef2


class Block(nn.Module):
    def __init__(self, *, pools: bool = False) -> None:
        super().__init__()
        convs = [nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
        widened = [nn.Conv2d(64, 256, 1, bias=False), nn.GroupNorm(4, 256), nn.ReLU()]
        self.pool = nn.Sequential(*widened, nn.Conv2d(256, 64, 1, bias=False)) if pools else None

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.pool is None else x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def larger() -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1, bias=False)]


def reference(path: Path) -> nn.Sequential:
    blocks = [Block(pools=True) for _ in range(3)] + [Block() for _ in range(7)]
    twin = nn.Sequential(
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), *blocks[:3], *larger(), *blocks[3:6], *larger(), *blocks[6:9],
        *larger(), blocks[9], nn.Conv2d(64, 3, 3, padding=1),
    )  # fmt: skip
    prefix = "decoder.layers."
    stored = {name.removeprefix(prefix): v for name, v in load_file(path).items() if name.startswith(prefix)}
    twin.load_state_dict(stored, strict=True)
    return twin.eval()


def ours(folder: Path) -> TinyDecoder:
    part = Components("get it again").preview(folder)
    tensors = part.config.tensors()
    checkpoint = SimpleNamespace(load=lambda _: part.source.load(tensors))
    return TinyDecoder(checkpoint, mx.float32)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "height", "strip_values"),
    [(64, 64, 1 << 17), (64, 64, 1 << 22), (96, 160, 1 << 17), (272, 48, 1 << 13), (272, 48, 1 << 22)],
)
@torch.no_grad()
def test_equal_to_torch(
    width: int,
    height: int,
    strip_values: int,
    tmp_path: Path,
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one piece, and in strips of a row or two: they borrow what they need of each other."""
    everywhere: Mapping[str, int] = {"cpu": strip_values, "metal": strip_values, "cuda": strip_values}
    monkeypatch.setattr(preview, "PREVIEW_STRIP_VALUES", everywhere)
    folder = write_taef2(tmp_path)
    packed = noise(128, width, height)
    latents = torch.from_numpy(packed).reshape(1, 32, 2, 2, height // 16, width // 16)
    latents = latents.permute(0, 1, 4, 2, 5, 3).reshape(1, 32, height // 8, width // 8)
    expected = reference(folder / "taef2.safetensors")(torch.tanh(latents / 3) * 3)[0].permute(1, 2, 0).numpy()
    found = np.concatenate([np.array(strip[0]) for strip in ours(folder).strips(mx.array(packed))])
    assert found.shape == (height, width, 3)
    assert expected.std() > 0.05
    assert np.abs(found - expected).max() <= 1e-4
    picture = np.asarray(ours(folder)(mx.array(packed))).astype(int)
    assert np.abs(picture - np.clip(expected, 0, 1) * 255).max() <= 0.6
