"""Checkpoints as other programs lay them out: what is read equals what was written, and a picture comes of each."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.weights.layout import TEXT_ENCODER, TRANSFORMER, VAE
from tests.cli.conftest import NARROW
from tests.layouts import bfl_names, dense, write_bfl, write_gguf, write_mflux

WIDE = {"attention_head_dim": 64, "axes_dims_rope": [16, 16, 16, 16]}  # 256 channels, which every GGUF type divides
DEFAULTS: dict[str, Any] = {  # for folders that say nothing of themselves
    "model_index": {"text_encoder_out_layers": [9, 18, 27], "max_sequence_length": 512},
    "text_encoder": {
        "num_hidden_layers": 28,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
    },
    "vae": {"block_out_channels": [32, 32, 64, 64], "norm_num_groups": 32},
}


@pytest.fixture(scope="module")
def source(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("bf16", transformer=WIDE, **{name: NARROW[name] for name in ("text_encoder", "model_index")})


def drawn(path: Path, companion: Path | None = None) -> np.ndarray[Any, Any]:
    pipe = Pipeline.from_pretrained(path, companion=companion, dtype=mx.float32)
    return np.asarray(pipe.generate("a fox", seed=1, steps=1, width=64, height=64).image).astype(int)


drawn_once = functools.cache(drawn)  # of a checkpoint that stays as it is


def expanded(path: Path, companion: Path | None = None) -> dict[str, mx.array]:
    """Our transformer's tensors in float32, whatever they are stored in."""
    checkpoint = Checkpoint.open(path, companion=companion)
    tensors, out = checkpoint.load(TRANSFORMER), {}
    for name in checkpoint.expected(TRANSFORMER):
        layer, _, kind = name.rpartition(".")
        stored = checkpoint.transformer.storage(layer)
        if kind == "weight" and stored.packed and "norm_" not in name:
            scales, biases = (tensors[f"{layer}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            out[name] = mx.dequantize(tensors[name], scales, biases, group_size=stored.group_size, bits=stored.bits)
        elif kind == "weight":
            out[name] = tensors[name].astype(mx.float32)
    return out


def assert_near(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], most: float = 1.0) -> None:
    assert np.abs(found - expected).mean() <= most
    assert expected.std() > 20  # there is something to compare


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_one_file_of_black_forest_labs(source: Path, tmp_path: Path, prefix: str) -> None:
    path = write_bfl(source, tmp_path / "flux-2-klein.safetensors", prefix=prefix)
    found, written = expanded(path, source), dense(source)
    assert found.keys() == written.keys()
    assert all(mx.array_equal(found[name], written[name]) for name in written)
    assert np.array_equal(drawn(path, source), drawn_once(source))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [None, 0.01])
def test_eight_bit_floats(source: Path, tmp_path: Path, scale: float | None) -> None:
    path = write_bfl(source, tmp_path / "fp8.safetensors", fp8=True, scale=scale)
    found, written = expanded(path, source), dense(source)
    for name, values in written.items():
        assert mx.abs(found[name] - values).max() <= 0.08 * mx.abs(values).max()  # 3 bits of mantissa
    assert_near(drawn(path, source), drawn_once(source), 12)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q2_K"])
def test_gguf_is_what_its_own_package_reads(source: Path, tmp_path: Path, kind: str) -> None:
    path, values = write_gguf(source, tmp_path / f"klein-{kind}.gguf", kind)
    found = bfl_names(expanded(path, source))
    assert found.keys() == values.keys()
    for name, expected in values.items():
        near = {"Q4_K": 2e-3, "Q2_K": 4e-3}.get(kind, 0)  # products of factors, in float16; in bfloat16
        assert np.abs(found[name] - expected).max() <= near * np.abs(expected).max(), name
    pipe = Pipeline.from_pretrained(path, companion=source)
    assert pipe.model.describe().precision == {"Q8_0": "8-bit", "Q4_0": "4-bit", "Q4_K": "4-bit"}.get(kind, "bf16")
    if kind in ("F16", "BF16", "Q8_0"):
        assert_near(drawn(path, source), drawn_once(source), 4)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_the_other_mlx_program_s_folder(bits: int, tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    ours = tiny_checkpoint("bf16", **DEFAULTS)
    folder = write_mflux(ours, tmp_path / "klein-4bit", bits)
    checkpoint = Checkpoint.open(folder)
    assert (checkpoint.precision, checkpoint.distilled) == (f"{bits}-bit", True)
    assert checkpoint.text_encoder.bits == bits
    assert checkpoint.transformer.storage("double_stream_modulation_img.linear").bits == bits
    for component in (TEXT_ENCODER, VAE):
        expected, found = dense(ours, component), checkpoint.load(component)
        for name in ("model.norm.weight", "decoder.conv_in.weight", "decoder.mid_block.attentions.0.to_out.0.bias"):
            assert name not in expected or mx.array_equal(found[name].astype(mx.float32), expected[name])
    if bits == 8:
        assert_near(drawn(folder), drawn_once(ours), 6)
    else:
        assert drawn(folder).std() > 20
    assert Checkpoint.open(folder.rename(tmp_path / "klein-base")).distilled is False


@pytest.mark.slow
def test_streamed_blocks_make_the_same_picture(source: Path, tmp_path: Path) -> None:
    path, _ = write_gguf(source, tmp_path / "klein.gguf", "Q8_0")
    for place in (source, path):
        pipe = Pipeline.from_pretrained(place, companion=source, dtype=mx.float32)
        whole = pipe.generate("a fox", seed=1, steps=1, width=64, height=64)
        pipe.memory_limit_bytes = int(whole.memory["peak_bytes"] * 0.75)
        streamed = pipe.generate("a fox", seed=1, steps=1, width=64, height=64)
        assert streamed.memory["peak_bytes"] < pipe.memory_limit_bytes
        assert whole.image.tobytes() == streamed.image.tobytes()


def save(path: Path, tensors: dict[str, mx.array]) -> None:
    mx.save_safetensors(str(path), tensors, {"format": "pt"})


def _other_family(path: Path) -> None:
    save(path, {"double_blocks.0.img_mod.lin.weight": mx.zeros((8, 8))})


def _vae(path: Path) -> None:
    save(path, {"decoder.conv_in.weight": mx.zeros((8, 8, 3, 3))})


def _text_encoder(path: Path) -> None:
    save(path, {f"model.layers.{n}.self_attn.q_proj.weight": mx.zeros((8, 8)) for n in range(3)})


def _sdxl(path: Path) -> None:
    block = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    save(path, {block: mx.zeros((8, 2048)), "conditioner.embedders.0.bias": mx.zeros(3)})


def _adapter(path: Path) -> None:
    save(path, {f"transformer.transformer_blocks.0.attn.to_q.lora_{one}.weight": mx.zeros((2, 2)) for one in "AB"})


def _nonsense(path: Path) -> None:
    save(path, {"a.weight": mx.zeros((2, 2))})


def _no_model(path: Path) -> None:
    save(path, {"a": mx.zeros(2)})


def _empty(path: Path) -> None:
    save(path, {})


def _page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>Sign in</title>")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _extra(path: Path) -> None:
    save(path, dict(mx.load(str(path))) | {"double_blocks.0.img_attn.extra.weight": mx.zeros(4)})


def _fewer(path: Path) -> None:
    tensors = dict(mx.load(str(path)))
    del tensors["single_blocks.1.linear2.weight"]
    save(path, tensors)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_other_family, "it is FLUX.1: 1 double block; what draws here are Bonsai and FLUX.2 .klein., such as those "),
        (_vae, "it is a VAE; what draws here"),
        (_text_encoder, "it is a text encoder; what draws here"),
        (_sdxl, "it is Stable Diffusion XL; what draws here"),
        (_adapter, r"it is an adapter, made for a FLUX.2: 1 double block; a model takes it with --lora"),
        (_nonsense, "it is something unknown, with names such as 'a'; what draws here"),
        (_no_model, "it is no model; what draws here"),
        (_empty, r"no weights of FLUX.2 .klein. .the tensor x_embedder.weight is missing"),
        (_page, "it is a web page, such as one that asks to sign in"),
        (_cut, "not a complete safetensors file .its end is missing, or something follows it.; get the checkpoint"),
        (_extra, "the tensor double_blocks.0.img_attn.extra.weight is none of FLUX"),
        (_fewer, r"tensor single_transformer_blocks.1.attn.to_out.weight is missing"),
    ],
)
def test_a_bad_file_is_refused_by_name(
    damage: Callable[[Path], None], reason: str, source: Path, tmp_path: Path
) -> None:
    path = write_bfl(source, tmp_path / "klein.safetensors")
    damage(path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        Pipeline.from_pretrained(path, companion=source)
    assert str(path) in str(caught.value)


def test_a_file_needs_a_companion(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bfl(source, tmp_path / "klein.safetensors")
    with pytest.raises(CheckpointError, match=r"name a checkpoint with a text encoder \(--companion"):
        Checkpoint.open(path)
    options = ["--model", str(path), "--steps", "1", "--size", "64x64", "-o", str(tmp_path / "a.png"), "--quiet"]
    assert main(["generate", "a fox", *options, "--companion", str(source)]) == 0
    assert (tmp_path / "a.png").exists()


def test_a_shard_that_is_missing_or_named_twice(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_mflux(tiny_checkpoint("bf16", **DEFAULTS), tmp_path / "klein", 8)
    shutil.copy(folder / "transformer/1.safetensors", folder / "transformer/2.safetensors")
    with pytest.raises(CheckpointError, match=r"2\.safetensors: tensor .* is in 1\.safetensors as well"):
        Checkpoint.open(folder)
    for name in ("1", "2"):
        (folder / f"transformer/{name}.safetensors").unlink()
    with pytest.raises(CheckpointError, match="transformer"):
        Checkpoint.open(folder)
