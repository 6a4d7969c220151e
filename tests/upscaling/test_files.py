"""Upscaler files: the kinds that are known are opened; whatever else a file may be is an error in words."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.errors import UpscalerError
from bonsai_mlx.upscaling.files import open_upscaler
from bonsai_mlx.upscaling.tiled import TILE_PX, upscaled

from .files import compact, rrdbnet, saved


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1] // 2, size[0] // 2, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def made(picture: Image.Image, path: Path, by: int) -> Image.Image:
    work = upscaled(picture, open_upscaler(path), by)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            found: Image.Image = stop.value
            return found


@pytest.mark.parametrize(
    ("kind", "scale"), [("rrdbnet", 2), ("rrdbnet", 4), ("compact", 2), ("compact", 3), ("compact", 4)]
)
def test_any_size_comes_out_as_it_was_asked_for(kind: str, scale: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.safetensors", (rrdbnet if kind == "rrdbnet" else compact)(scale=scale, width=8))
    for by in (2, 4):
        assert made(photo((33, 21)), path, by).size == (33 * by, 21 * by)


def test_types_of_files_are_the_same_network(tmp_path: Path) -> None:
    tensors = compact(width=8)
    pixels = mx.array(np.random.default_rng(1).random((1, 8, 8, 3), dtype=np.float32))
    exact = np.array(open_upscaler(saved(tmp_path / "a.safetensors", tensors))(pixels))
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    assert np.abs(np.array(open_upscaler(saved(tmp_path / "b.safetensors", halves))(pixels)) - exact).max() < 0.01


def test_tiles_of_a_large_picture_are_those_of_the_whole(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.safetensors", compact(scale=2, width=8, convolutions=2))
    picture = photo((2 * TILE_PX + 30, TILE_PX + 20))
    whole = np.array(open_upscaler(path)(mx.array(np.asarray(picture))[None].astype(mx.float32) / 255))[0]
    tiled = np.asarray(made(picture, path, 2)).astype(float)
    assert np.abs(tiled - np.clip(whole, 0, 1) * 255).max() < 8  # of 255, at the very edge of a tile
    assert np.abs(tiled - np.clip(whole, 0, 1) * 255).mean() < 0.3


def test_a_pipeline_uses_one_alone_and_below_what_is_redrawn(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    pipe = Pipeline.from_pretrained(tiny_checkpoint(model_index={"recommended_size": [64, 64]}))
    path = saved(tmp_path / "4x.safetensors", compact(width=8))
    learned = pipe.enlarge(photo((32, 24)), 4, method="learned", upscaler=path)
    assert learned.image == made(photo((32, 24)), path, 4)
    assert learned.recipe is not None
    assert learned.recipe.parameters["upscaler"] == "4x.safetensors"
    how: dict[str, Any] = {"method": "refine", "prompt": "a fox", "seed": 1, "steps": 1, "strength": 0.1}
    plain, upon = pipe.enlarge(photo((32, 32)), **how), pipe.enlarge(photo((32, 32)), upscaler=path, **how)
    assert (np.asarray(plain.image) != np.asarray(upon.image)).any()


def without(tensors: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in tensors.items() if key != name}


WRONG: list[tuple[str, dict[str, np.ndarray], str]] = [
    ("nothing known", {"model.weight": np.zeros((2, 2), np.float32)}, "no upscaler of a kind that is known"),
    ("empty", {}, "no upscaler of a kind that is known"),
    ("a tensor is missing", without(rrdbnet(), "conv_hr.bias"), "lacks conv_hr.bias"),
    (
        "a block is missing in between",
        without(rrdbnet(blocks=3), "body.1.rdb2.conv3.weight"),
        "lacks body.1.rdb2.conv3",
    ),
    ("a tensor too many", rrdbnet() | {"evil": np.zeros(1, np.float32)}, "holds 'evil'"),
    ("another shape", compact() | {"body.2.bias": np.zeros(3, np.float32)}, "body.2.bias is F32 [3]"),
    ("another type", compact() | {"body.1.weight": np.zeros(16, np.int32)}, "body.1.weight is I32"),
    ("another number of colours", compact() | {"body.0.weight": np.zeros((16, 4, 3, 3), np.float32)}, "no upscaler"),
    ("huge", {"conv_first.weight": np.zeros((257, 3, 1, 1), np.float32)}, "no upscaler"),
    ("no such scale", compact() | {"body.8.weight": np.zeros((75, 16, 3, 3), np.float32)}, "no upscaler"),
    ("not finite", compact() | {"body.2.bias": np.full(16, np.inf, np.float32)}, "not finite"),
    ("a number that is none", compact() | {"body.x.weight": np.zeros(1, np.float32)}, "body.x.weight"),
]


@pytest.mark.parametrize(("tensors", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_no_upscaler_is_refused(tensors: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    with pytest.raises(UpscalerError) as caught:
        open_upscaler(saved(tmp_path / "x.safetensors", tensors))
    assert words in str(caught.value)
    assert str(caught.value).startswith("x.safetensors: ")


def hostile(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HOSTILE = {
    "no file of the kind": b"PK\x03\x04 a zip",
    "nothing": b"",
    "a header beyond the file": struct.pack("<Q", 2**63) + b"{}",
    "a deep header": hostile(b"[" * 100_000),
    "offsets beyond the file": hostile({"body.0.weight": ENTRY | {"data_offsets": [0, 2**40]}}, bytes(4)),
    "a shape that overflows": hostile({"body.0.weight": ENTRY | {"shape": [2**62, 2**62]}}, bytes(4)),
    "a negative shape": hostile({"body.0.weight": ENTRY | {"shape": [-1]}}, bytes(4)),
    "one name twice": hostile(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "terminal's orders in a name": hostile({"\x1b[2Jbody": ENTRY, "body.0.weight": ENTRY}, bytes(4)),
    "digits of another script": hostile({"body.0.weight": ENTRY, "body.²": ENTRY | {"data_offsets": [4, 8]}}, bytes(8)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(UpscalerError) as caught:
        open_upscaler(path)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(UpscalerError):
            open_upscaler(path)
