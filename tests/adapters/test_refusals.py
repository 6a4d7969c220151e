"""Files of other families, broken ones and hostile ones: one sentence each that says what it is."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonsai_mlx.adapters.file import AdapterError, AdapterFile
from bonsai_mlx.adapters.fitting import fitted, origin_of
from bonsai_mlx.flux2.parts.config import TransformerConfig

from .files import lora_tensors, saved

BONSAI = TransformerConfig(128, 5, 20, 128, 24, 7680, (32, 32, 32, 32)).linears()
Tensors = dict[str, np.ndarray]


def pair(stem: str, inputs: int, outputs: int, rank: int = 2, *, old: bool = False) -> Tensors:
    down, up = ("lora_down", "lora_up") if old else ("lora_A", "lora_B")
    shapes = {f"{stem}.{down}.weight": (rank, inputs), f"{stem}.{up}.weight": (outputs, rank)}
    return {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}


def many(template: str, count: int, inputs: int, outputs: int, **more: Any) -> Tensors:
    return {k: v for index in range(count) for k, v in pair(template.format(index), inputs, outputs, **more).items()}


def flux1() -> Tensors:
    return many("diffusion_model.double_blocks.{}.img_attn.qkv", 19, 3072, 9216) | many(
        "diffusion_model.single_blocks.{}.linear1", 38, 3072, 21504
    )


QUERY, KEY = "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_q.lora_A.weight"
GOOD = lora_tensors(BONSAI, rank=2, only=[QUERY])
FOREIGN: dict[str, tuple[Callable[[], Tensors], str]] = {
    "FLUX.1": (
        flux1,
        "made for FLUX.1: 19 double blocks and 38 single blocks; this model has 5 double and 20 single blocks of width "
        "3072, and takes adapters for FLUX.2 [klein] 4B or Bonsai",
    ),
    "FLUX.1 of kohya's": (
        lambda: many("lora_unet_double_blocks_{}_img_mod_lin", 3, 3072, 18432, old=True),
        "made for FLUX.1: 3 double blocks",
    ),
    "FLUX.2 [dev]": (
        lambda: many("diffusion_model.double_blocks.{}.img_attn.qkv", 8, 6144, 18432),
        "made for FLUX.2 [dev]: 8 double blocks",
    ),
    "klein 9B, some of whose names are known": (
        lambda: many("transformer.transformer_blocks.{}.attn.to_q", 4, 4096, 4096),
        "made for FLUX.2 [klein] 9B: 4 double blocks; this model has 5 double and 20 single blocks of width 3072",
    ),
    "Stable Diffusion XL": (
        lambda: many("lora_unet_down_blocks_1_attentions_{}_transformer_blocks_0_attn2_to_k", 2, 2048, 640, old=True),
        "made for Stable Diffusion XL",
    ),
    "Stable Diffusion 1.5": (
        lambda: many("lora_unet_down_blocks_1_attentions_{}_transformer_blocks_0_attn2_to_k", 2, 768, 640, old=True),
        "made for Stable Diffusion 1.5",
    ),
    "Qwen-Image": (
        lambda: many("transformer_blocks.{}.img_mlp.net.0.proj", 60, 3072, 12288),
        "made for Qwen-Image: 60 double blocks",
    ),
    "Z-Image": (lambda: many("diffusion_model.layers.{}.attention.to_q", 30, 3840, 3840), "made for Z-Image"),
    "Wan": (lambda: many("diffusion_model.blocks.{}.self_attn.q", 30, 1536, 1536), "made for Wan"),
    "Stable Diffusion 3": (
        lambda: many("diffusion_model.joint_blocks.{}.x_block.attn.qkv", 24, 1536, 4608),
        "made for Stable Diffusion 3",
    ),
    "a text encoder": (
        lambda: GOOD | many("text_encoder.model.layers.{}.self_attn.q_proj", 36, 2560, 4096),
        "made for a text encoder",
    ),
    "a checkpoint": (
        lambda: {"double_blocks.0.img_attn.qkv.weight": np.zeros((9, 3), np.float32)},
        "it is no adapter but weights of a model (a FLUX.2 of another size: 1 double block), such as "
        "'double_blocks.0.img_attn.qkv.weight'; choose it with --model",
    ),
    "a DoRA": (
        lambda: GOOD | {f"{QUERY}.lora_magnitude_vector": np.ones(3072, np.float32)},
        "it is a DoRA, made for FLUX.2 [klein] 4B or Bonsai: 1 double block; LoRA and LoKr are what can be used here",
    ),
    "a LoHa": (
        lambda: {f"{QUERY}.hada_w1_a": np.ones((3, 2), np.float32)},
        "it is a LoHa, made for a FLUX.2: 1 double block",
    ),
    "a LoKr of another width": (
        lambda: {f"{QUERY}.lokr_w{n}": np.ones((4, 4 if n == 1 else 1024), np.float32) for n in (1, 2)},
        "made for FLUX.2 [klein] 9B: 1 double block",
    ),
    "an unknown linear": (
        lambda: (
            many("transformer_blocks.{}.attn.to_q", 5, 3072, 3072)
            | many("single_transformer_blocks.{}.attn.to_out", 20, 12288, 3072)
            | pair("transformer_blocks.0.attn.norm_k", 3072, 3072)
        ),
        "changes 'transformer_blocks.0.attn.norm_k', which this model does not have",
    ),
}
WRONG: dict[str, tuple[Callable[[], Tensors], str]] = {
    "one half": (lambda: {KEY: GOOD[KEY]}, "has only one half of what makes a change: up is missing; get it again"),
    "a key more": (
        lambda: GOOD | {"step": np.zeros(1, np.float32)},
        "holds something that no LoRA or LoKr has, such as 'step'",
    ),
    "the same twice": (
        lambda: GOOD | pair("double_blocks.0.img_attn.qkv", 3072, 9216),
        "changes transformer_blocks.0.attn.to_q twice",
    ),
    "the same key twice": (lambda: GOOD | {f"transformer.{KEY}": GOOD[KEY]}, "say the same thing twice"),
    "different ranks": (lambda: GOOD | {KEY: np.zeros((3, 3072), np.float32)}, "does not fit: "),
    "a rank beyond all": (lambda: pair(QUERY, 3072, 3072, rank=2049), "has rank 2049; at most 2048 is read"),
    "no matrix": (lambda: GOOD | {KEY: np.zeros((2, 3072, 1), np.float32)}, "which is no matrix"),
    "no values": (lambda: GOOD | {KEY: np.zeros((0, 3072), np.float32)}, "which is no matrix"),
    "another type": (
        lambda: GOOD | {KEY: np.zeros((2, 3072), np.int8)},
        "has numbers of the type I8; get the adapter in BF16, F16 or F32",
    ),
    "not a number": (
        lambda: GOOD | {KEY: np.full((2, 3072), np.nan, np.float32)},
        f"the tensor {KEY} holds values that are no finite numbers; the file is damaged",
    ),
    "infinite in half precision": (
        lambda: GOOD | {KEY: np.full((2, 3072), np.inf, np.float16)},
        f"the tensor {KEY} holds values that are no finite numbers",
    ),
    "an alpha that is no number": (
        lambda: GOOD | {f"{QUERY}.alpha": np.array(np.nan, np.float32)},
        "alpha holds values that are no finite numbers",
    ),
    "an alpha of many numbers": (lambda: GOOD | {f"{QUERY}.alpha": np.ones(3, np.float32)}, "not one number"),
    "a LoRA and a LoKr at once": (lambda: GOOD | {f"{QUERY}.lokr_w1": np.ones((4, 4), np.float32)}, "at once"),
    "a LoKr without a half": (
        lambda: {f"{QUERY}.lokr_w1": np.ones((4, 4), np.float32)},
        "has only one half of what makes a change: w2 is missing",
    ),
    "a LoKr that does not fit": (
        lambda: {f"{QUERY}.lokr_w{n}": np.ones((4, 4 if n == 1 else 768), np.float32) for n in (1, 2)},
        "its factors are [4, 4] and [4, 768]",
    ),
    "nothing": (dict, "there is no adapter in it, it is an empty file; get it again"),
}


def refusal(path: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        fitted(AdapterFile.open(path), BONSAI)
    return str(caught.value)


@pytest.mark.parametrize("case", FOREIGN | WRONG)
def test_a_file_that_does_not_fit_says_what_it_is(case: str, tmp_path: Path) -> None:
    make, said = (FOREIGN | WRONG)[case]
    message = refusal(saved(tmp_path / "style.safetensors", make()))
    assert message.startswith("style.safetensors: ")
    assert said in message
    assert len(message) < 400


def test_a_file_that_fits_says_what_it_is(tmp_path: Path) -> None:
    file = AdapterFile.open(saved(tmp_path / "style.safetensors", lora_tensors(BONSAI, rank=2)))
    adapter = fitted(file, BONSAI)
    assert adapter.kind == "LoRA, rank 2"
    assert origin_of(file) == "FLUX.2 [klein] 4B or Bonsai: 5 double blocks and 20 single blocks"
    assert adapter.parts.keys() == BONSAI.keys()
    assert sum(adapter.values(name) for name in BONSAI) == sum(2 * (out + inner) for out, inner in BONSAI.values())


def test_broken_and_hostile_files(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.safetensors", GOOD).read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    moved = json.dumps({name: entry | {"data_offsets": [0, 2**40]} for name, entry in header.items()}).encode()
    twice = whole[8 : 8 + length].rstrip()[:-1] + b', "a": {}, "a": {}}'
    for name, data in {
        "it is empty": b"",
        "it is a web page, such as one that asks to sign in": b"<!DOCTYPE html><title>Sign in</title>",
        "it is a text in JSON": b'{"error": "not found"}',
        "it is the note that Git LFS leaves": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
        "it is a GGUF file; let its name end in .gguf": b"GGUF\3\0\0\0\0\0\0\0",
        "it is an archive, as PyTorch writes it": b"PK\3\4\x14\0\0\0\0\0",
        "it is a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 20,
        "cut": whole[:-5],
        "longer": whole + b"\0",
        "an endless header": struct.pack("<Q", 2**63) + whole[8:],
        "offsets outside": struct.pack("<Q", len(moved)) + moved + whole[8 + length :],
        "a name twice": struct.pack("<Q", len(twice)) + twice + whole[8 + length :],
        "deep": struct.pack("<Q", 60_000) + b"{" + b"[" * 59_998 + b"}",
    }.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        assert refusal(path).startswith(f"{name}.safetensors: not a whole safetensors file (")
        assert name in refusal(path).split("(", 1)[1] or not name.startswith("it is")
    assert "there is no such file" in refusal(tmp_path / "nowhere.safetensors")
    (tmp_path / "a folder.safetensors").mkdir()
    assert "it is a folder, not a file" in refusal(tmp_path / "a folder.safetensors")
    (tmp_path / "old.ckpt").write_bytes(whole)
    assert "can carry code and are never read" in refusal(tmp_path / "old.ckpt")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("[1]", "not a JSON object"),
        ("{", "not a JSON object"),
        ('{"lora_alpha": "much"}', "has the alpha 'much', which is no number"),
        ('{"lora_alpha": 1e999}', "which is no number"),
        ('{"use_dora": true}', "is a DoRA"),
    ],
)
def test_settings_in_the_header_are_not_believed(said: str, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "style.safetensors", GOOD, {"lora_adapter_metadata": said})
    assert message in refusal(path)


def test_a_pattern_of_alphas_is_read_as_a_name(tmp_path: Path) -> None:
    evil = {"r": 2, "lora_alpha": 6, "alpha_pattern": {"(a+)+$": 5, "^transformer_blocks.0.attn.to_q": 8}}
    path = saved(tmp_path / "style.safetensors", GOOD, {"lora_adapter_metadata": json.dumps(evil)})
    assert fitted(AdapterFile.open(path), BONSAI).parts[QUERY].scale == 4


def test_a_file_that_changes_after_it_was_chosen_is_not_used(tmp_path: Path) -> None:
    path = saved(tmp_path / "style.safetensors", GOOD)
    file = AdapterFile.open(path)
    file.verified()
    saved(path, lora_tensors(BONSAI, rank=3, only=[QUERY]))
    with pytest.raises(AdapterError, match="has changed or is gone"):
        file.read(KEY)
