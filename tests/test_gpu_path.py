"""What a GPU computes, computed on the CPU: packed products, fused operations, one evaluation a step, bfloat16.

Where the code asks the device it is told "metal"; MLX has every operation on the CPU too, so that what is drawn can be
compared with what the CPU's own path draws. What only a Mac can show is its speed and its kernels' own rounding.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import bonsai_mlx
from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.bits.autoencoder import Autoencoder
from bonsai_mlx.flux2 import plan, vae
from bonsai_mlx.flux2.preview import TinyDecoder
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.runtime import device
from tests.tiny_decoder import taef2_tensors

PACKAGE = Path(bonsai_mlx.__file__).parent
SMALL: dict[str, Any] = {"seed": 7, "steps": 1, "width": 64, "height": 64}  # bfloat16 is slow on a CPU
# Heads of 32 channels, as in the preset, are no case of the fused attention; and little beside the blocks.
FUSED: dict[str, Any] = {
    "transformer": {"attention_head_dim": 64, "num_attention_heads": 2, "axes_dims_rope": [16] * 4},
    "text_encoder": {"num_hidden_layers": 4},
    "vae": {"block_out_channels": [8] * 4, "norm_num_groups": 4},
    "model_index": {"text_encoder_out_layers": [1, 2, 3], "max_sequence_length": 32},
}
QUESTIONS = ("backend", "activation_dtype", "has_quantized_kernel", "has_fused_attention", "has_vector_exp")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if MLX computed on a GPU."""
    with monkeypatch.context() as patch:
        device.has_quantized_kernel.cache_clear()
        patch.setattr(device, "backend", lambda: "metal")
        yield
    device.has_quantized_kernel.cache_clear()


def few_tokens(folder: Path, **options: Any) -> Pipeline:
    """A pipeline that reads prompts of so many tokens as it takes: a CPU computes all that there is room for."""
    pipe = Pipeline.from_pretrained(folder, **options)
    pipe.model.checkpoint = replace(pipe.model.checkpoint, max_sequence_length=24)
    return pipe


def picture(pipe: Pipeline, level: str = "default", **changes: Any) -> np.ndarray[Any, Any]:
    """The picture by the smallest plan of this level."""
    levels = plan.levels(pipe.model.checkpoint, 64, 64, device.backend(), pipe.model.dtype.size)
    chosen = [candidate for candidate in levels if candidate.level == level][-1]
    pipe.model.plan = lambda *_, **__: chosen  # type: ignore[method-assign]
    *_, last = pipe.run(GenerationRequest("a red house", **SMALL | changes))
    assert last.result
    return np.asarray(last.result.image, dtype=float)


@pytest.fixture
def tiny(variant: str, tiny_checkpoint: Callable[..., Path]) -> Path:
    """Random weights, and few of them: packed products in bfloat16 are slow on a CPU."""
    return tiny_checkpoint(variant, **FUSED)


@pytest.mark.skipif(device.backend() != "cpu", reason="compares with the CPU's own path")
class TestOnTheCpu:
    @pytest.fixture
    def expected(self, seedling: Path) -> np.ndarray[Any, Any]:
        """What the CPU's own path draws, in float32."""
        return picture(few_tokens(seedling))

    @pytest.mark.slow
    def test_in_float32_it_draws_the_same(self, seedling: Path, expected: np.ndarray[Any, Any], gpu: None) -> None:
        assert np.abs(picture(few_tokens(seedling, dtype=mx.float32)) - expected).max() <= 1

    @pytest.mark.slow
    @pytest.mark.parametrize("variant", ["ternary"])
    def test_in_bfloat16_it_draws_nearly_the_same(
        self, seedling: Path, expected: np.ndarray[Any, Any], gpu: None
    ) -> None:
        assert_near(few_tokens(seedling), "default", expected)

    @pytest.mark.slow
    @pytest.mark.parametrize("level", ["default", "stream"])
    def test_so_does_a_narrow_model_by_every_plan(self, tiny: Path, level: str, request: pytest.FixtureRequest) -> None:
        expected = by_the_cpu(tiny)
        request.getfixturevalue("gpu")
        assert_near(Pipeline.from_pretrained(tiny), level, expected)

    @pytest.mark.slow
    @pytest.mark.parametrize("variant", ["ternary"])
    def test_previews_come_too(self, tiny: Path, gpu: None) -> None:
        pipe = Pipeline.from_pretrained(tiny, dtype=mx.float32)
        previews = [event.preview for event in pipe.run(GenerationRequest("a red house", **SMALL), preview=True)]
        assert sum(preview is not None for preview in previews) == 1

    @pytest.mark.slow
    def test_a_step_is_one_evaluation_of_packed_products(
        self, tiny: Path, gpu: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called = counted(monkeypatch, mx, "eval", "quantized_matmul") | counted(
            monkeypatch, mx.fast, "scaled_dot_product_attention"
        )
        pipe = Pipeline.from_pretrained(tiny)
        device.has_quantized_kernel(pipe.model.checkpoint.transformer.bits, 128)  # the probe is asked once
        for event in pipe.run(GenerationRequest("a red house", **SMALL | {"steps": 2})):
            if event.phase == "decode":
                break
            if event.phase == "denoise":
                if event.step:
                    assert len(called["eval"]) == 1
                    config = pipe.model.checkpoint.transformer
                    blocks = config.num_layers + config.num_single_layers
                    assert len(called["scaled_dot_product_attention"]) == blocks
                    # q, k and v of both streams, two outputs, two MLPs of two; or in and out
                    assert len(called["quantized_matmul"]) == 8 * config.num_layers + 2 * config.num_single_layers
                for calls in called.values():
                    calls.clear()

    @pytest.mark.slow
    @pytest.mark.parametrize("variant", ["ternary"])
    def test_each_answer_of_the_device_is_followed(
        self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every place that asks is reached with every answer, so that no branch waits for a Mac to be run."""
        asked: dict[tuple[str, str], set[str]] = defaultdict(set)
        of_bits = Autoencoder.open(make_checkpoint(tmp_path / "bits", "tiny-bits", "binary"))
        with monkeypatch.context() as patch:
            note_who_asks(patch, asked)
            draw_and_decode(tiny, of_bits)
        for absent in (None, 2):  # bits for which the GPU has no kernel
            with monkeypatch.context() as patch:
                patch.setattr(device, "backend", lambda: "metal")
                patch.setattr(device, "has_quantized_kernel", lambda bits, _, absent=absent: bits != absent)
                patch.setattr(device, "has_vector_exp", lambda: True)
                note_who_asks(patch, asked)
                draw_and_decode(tiny, of_bits)
        alike = {place: answers for place, answers in asked.items() if place in places() and len(answers) < 2}
        assert alike == {}
        assert places() - asked.keys() == set()


@functools.cache
def by_the_cpu(folder: Path) -> np.ndarray[Any, Any]:
    """Ask for it before the device is said to be another."""
    assert device.backend() == "cpu"
    return picture(Pipeline.from_pretrained(folder))


def assert_near(pipe: Pipeline, level: str, expected: np.ndarray[Any, Any]) -> None:
    assert pipe.model.dtype == mx.bfloat16
    assert np.abs(picture(pipe, level) - expected).mean() < MEAN_DIFFERENCE


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, *names: str) -> dict[str, list[int]]:
    """The calls of these functions, as lists that grow."""
    calls: dict[str, list[int]] = {name: [] for name in names}
    for name in names:
        original = getattr(module, name)

        def call(*arguments: Any, name: str = name, called: Callable[..., Any] = original, **named: Any) -> Any:
            calls[name].append(1)
            return called(*arguments, **named)

        monkeypatch.setattr(module, name, call)
    return calls


def draw_and_decode(folder: Path, of_bits: Autoencoder) -> None:
    """A picture, latents by themselves, in strips of the device's size, a preview, and a code there and back."""
    of_bits.decode(of_bits.encode(np.zeros((64, 64, 3), np.uint8)))
    pipe = Pipeline.from_pretrained(folder)
    pipe.generate("a red house", **SMALL)
    latents = mx.zeros((1, pipe.model.checkpoint.transformer.in_channels, 4, 4))
    assert len(list(vae.decode(pipe.model.checkpoint, latents, pipe.model.dtype))) > 1
    tiny = SimpleNamespace(load=lambda _: {name: mx.array(values) for name, values in taef2_tensors().items()})
    assert TinyDecoder(tiny, pipe.model.dtype)(mx.zeros((1, 128, 2, 2))).size == (32, 32)  # type: ignore[arg-type]


def note_who_asks(monkeypatch: pytest.MonkeyPatch, asked: dict[tuple[str, str], set[str]]) -> None:
    for name in QUESTIONS:
        original = getattr(device, name)

        def answer(*arguments: Any, question: Callable[..., Any] = original) -> Any:
            given = question(*arguments)
            asker = sys._getframe(1).f_code
            asked[Path(asker.co_filename).name, asker.co_name].add(str(given))
            return given

        monkeypatch.setattr(device, name, answer)


@functools.cache
def places() -> set[tuple[str, str]]:
    """File and function of everything in the engine that asks the device; found in the sources."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name in ("cli", "diagnosis") or path.name == "device.py":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(asks(node) for node in ast.walk(function)):
                found.add((path.name, function.name))
    return found


def asks(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in {("device", question) for question in QUESTIONS}
    )


@pytest.mark.slow
def test_the_places_that_ask_are_known() -> None:
    """A new one is a new branch: the test above must reach it with every answer."""
    assert places() == {
        ("activations.py", "_by_numpy"),  # exponentials by NumPy, in place
        ("autoencoder.py", "dtype"),  # type of the activations
        ("attention.py", "attend"),  # fused, or rows of scores at a time
        ("linear.py", "__call__"),  # packed product, or expanded block by block
        ("linear.py", "blockwise"),  # expanded by a table, or by MLX
        ("model.py", "__init__"),  # type of the activations
        ("model.py", "plan"),  # memory
        ("loading.py", "shares"),  # all cores of a CPU
        ("preview.py", "strips"),  # size of a strip
        ("vae.py", "_cutting"),  # likewise
    }


MEAN_DIFFERENCE = 2.4  # of 255; 1.9 as measured
