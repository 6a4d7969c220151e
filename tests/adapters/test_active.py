"""Adapters in a model: whole and cut, resident and streamed, changed and taken away, and in the plan."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.adapters.file import AdapterError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.transformer import Transformer
from bonsai_mlx.nn.shards import Sharded
from bonsai_mlx.request import GenerationRequest
from bonsai_mlx.runtime import device

from ..cli.conftest import NARROW
from .files import lokr_tensors, lora_tensors, saved

WIDE: dict[str, Any] = {"attention_head_dim": 128, "num_attention_heads": 8, "axes_dims_rope": [32] * 4}
WIDE |= {"num_layers": 1, "num_single_layers": 1}  # wide enough to be cut on a CPU
SMALL: dict[str, Any] = {"seed": 7, "steps": 1, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def wide(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(**NARROW | {"transformer": WIDE})


@pytest.fixture(scope="module")
def styles(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A LoRA and a LoKr on every linear."""
    linears, folder = Checkpoint.open(wide).transformer.linears(), tmp_path_factory.mktemp("loras")
    lokr = lokr_tensors(linears, seed=1)
    return saved(folder / "ink.safetensors", lora_tensors(linears)), saved(folder / "kron.safetensors", lokr)


def drawn(pipe: Pipeline, *loras: tuple[Path, float], **fields: Any) -> np.ndarray:
    return np.asarray(pipe.generate("a fox", loras=loras, **SMALL | fields).image).astype(int)


@pytest.mark.slow
def test_blocks_that_are_cut_whole_and_streamed_draw_the_same(
    wide: Path, styles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loras = [(styles[0], 0.7), (styles[1], -0.5)]
    pipe = Pipeline.from_pretrained(wide, dtype=mx.float32)
    plain, found = drawn(pipe), drawn(pipe, *loras)
    assert isinstance(pipe.model.transformer(streamed=False).blocks().single(0).attn, Sharded)
    assert np.abs(found - plain).mean() > 3
    plan = pipe.plan(GenerationRequest("a fox", loras=tuple(loras), **SMALL))
    streamed = Pipeline.from_pretrained(wide, dtype=mx.float32, memory_limit_bytes=int(0.8 * plan.peak_bytes))
    assert streamed.plan(GenerationRequest("a fox", loras=tuple(loras), **SMALL)).level == "stream"
    assert np.array_equal(drawn(streamed, *loras), found)
    monkeypatch.setattr("bonsai_mlx.flux2.loading.shares", lambda _: 1)
    whole = Pipeline.from_pretrained(wide, dtype=mx.float32)
    assert np.abs(drawn(whole, *loras) - found).max() <= 1
    assert np.array_equal(drawn(whole, (styles[0], 0.0)), drawn(whole))


@pytest.mark.slow
def test_adapters_come_and_go_without_the_model_being_loaded_again(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linears = Checkpoint.open(wide).transformer.linears()
    blocks = [name for name in linears if "blocks" in name]
    ink = saved(tmp_path / "ink.safetensors", lora_tensors(linears, only=blocks))
    kron = saved(tmp_path / "kron.safetensors", lokr_tensors(linears, only=blocks))
    loads, init = [], Transformer.__init__
    monkeypatch.setattr(Transformer, "__init__", lambda *a, **more: (loads.append(1), init(*a, **more))[1])
    pipe = Pipeline.from_pretrained(wide, dtype=mx.float32)
    plain = drawn(pipe)
    gc.collect()
    before = mx.get_active_memory()
    first = drawn(pipe, (ink, 0.7))
    held = pipe.plan(GenerationRequest("a fox", loras=((ink, 0.7),), **SMALL)).resident_bytes
    held -= pipe.plan(GenerationRequest("a fox", **SMALL)).resident_bytes
    gc.collect()
    assert mx.get_active_memory() - before == pytest.approx(held, rel=0.1)
    stronger = drawn(pipe, (ink, 1.4))
    assert np.abs(stronger - plain).mean() > np.abs(first - plain).mean()
    drawn(pipe, (kron, 1.0), (ink, 0.7))
    assert np.array_equal(drawn(pipe, (ink, 0.7)), first)
    assert np.array_equal(drawn(pipe), plain)
    gc.collect()
    assert mx.get_active_memory() <= before * 1.001
    assert len(loads) == 1


@pytest.mark.slow
@pytest.mark.parametrize("names", [(), ("ink",), ("kron",), ("ink", "kron")])
def test_the_plan_knows_what_adapters_take(
    names: tuple[str, ...], wide: Path, styles: tuple[Path, Path], two_threads: None
) -> None:
    gc.collect()
    before, pipe = mx.get_active_memory(), Pipeline.from_pretrained(wide)
    loras = tuple((path, 0.5) for path in styles if path.stem in names)
    request = GenerationRequest("a fox", loras=loras, **SMALL | {"width": 128, "height": 128})
    *_, last = pipe.run(request)
    assert last.result is not None
    predicted, measured = pipe.plan(request).phases, last.result.memory["phases"]
    for phase in ("load", "denoise"):
        assert measured[phase] - before <= 1.05 * predicted[phase], phase
    assert measured["denoise"] - before >= 0.6 * predicted["denoise"]


@pytest.mark.slow
def test_a_file_that_goes_while_it_is_needed_leaves_the_model_as_it_was(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linears = Checkpoint.open(wide).transformer.linears()
    path = saved(tmp_path / "gone.safetensors", lora_tensors(linears))
    pipe = Pipeline.from_pretrained(wide)
    plain, events = drawn(pipe), pipe.run(GenerationRequest("a fox", loras=((path, 1.0),), **SMALL))
    next(events)
    path.unlink()
    with pytest.raises(AdapterError, match="has changed or is gone"):
        list(events)
    assert np.array_equal(drawn(pipe), plain)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_the_path_of_a_gpu_draws_the_same(
    dtype: mx.Dtype, tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_checkpoint(**NARROW)  # narrow: a CPU takes its time for bfloat16
    linears = Checkpoint.open(folder).transformer.linears()
    ink = saved(tmp_path / "ink.safetensors", lora_tensors(linears))
    kron = saved(tmp_path / "kron.safetensors", lokr_tensors(linears, seed=1))
    loras = [(ink, 0.7), (kron, -0.5)]
    exact = drawn(Pipeline.from_pretrained(folder, dtype=mx.float32), *loras, steps=1)
    monkeypatch.setattr("bonsai_mlx.flux2.loading.shares", lambda _: 1)
    monkeypatch.setattr(device, "has_quantized_kernel", lambda *_: True)
    found = drawn(Pipeline.from_pretrained(folder, dtype=dtype), *loras, steps=1)
    if dtype == mx.float32:
        assert np.abs(found - exact).max() <= 1
    else:
        assert 10 * np.log10(255**2 / np.mean((found - exact) ** 2)) >= 30
