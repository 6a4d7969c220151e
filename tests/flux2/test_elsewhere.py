"""Text encoders and decoders that take the place of a model's own: read in any precision, used, named and refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.conversion.layers import packed_values
from bonsai_mlx.decoding import decode
from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2 import text_encoder
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.parts.config import VaeConfig
from bonsai_mlx.flux2.synthesis import PRESETS
from bonsai_mlx.hub.published import DECODERS, TEXT_ENCODERS
from bonsai_mlx.images.metadata import read
from bonsai_mlx.request import Draw
from bonsai_mlx.text.tokenizer import TokenizedPrompt, Tokenizer
from bonsai_mlx.weights.layout import TEXT_ENCODER, TOKENIZER, Elsewhere
from bonsai_mlx.weights.packing import pack
from bonsai_mlx.weights.random import write_random_weights
from tests.cli.conftest import NARROW
from tests.flux2.test_text_encoder import finish, whole_model

pytestmark = pytest.mark.slow

# as wide as the widest group
WIDE = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4}


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(text_encoder=WIDE, transformer=NARROW["transformer"])


@pytest.fixture(scope="module")
def values(tiny_checkpoint: Callable[..., Path]) -> tuple[dict[str, Any], dict[str, mx.array]]:
    """The config and the values of another text encoder of the same shape."""
    checkpoint = Checkpoint.open(tiny_checkpoint(seed=5, text_encoder=WIDE))
    stored, config = checkpoint.load(TEXT_ENCODER), checkpoint.text_encoder
    plain = {}
    for name, tensor in stored.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and f"{layer}.scales" in stored:
            parts = (stored[f"{layer}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            plain[name] = mx.dequantize(tensor, *parts, group_size=config.group_size, bits=config.bits)
        elif kind == "weight":
            plain[name] = tensor.astype(mx.float32)
    said = json.loads((checkpoint.folders[TEXT_ENCODER] / "config.json").read_text())
    return {name: value for name, value in said.items() if "quantization" not in name}, plain


def write_encoder(folder: Path, values: tuple[dict[str, Any], dict[str, mx.array]], bits: int, group: int) -> Path:
    """As mlx-lm writes it: everything packed, the embeddings too, or all of it bfloat16."""
    config, plain = values
    tensors: dict[str, mx.array] = {}
    for name, tensor in plain.items():
        layer = name.removesuffix(".weight")
        if tensor.ndim == 1 or bits == 16:
            tensors[name] = tensor.astype(mx.bfloat16)
        elif bits < 3:
            codes, scales, biases = packed_values(np.array(tensor), bits, group)
            tensors[name] = mx.array(pack(codes, bits))
            tensors[f"{layer}.scales"] = mx.array(scales).astype(mx.bfloat16)
            tensors[f"{layer}.biases"] = mx.array(biases).astype(mx.bfloat16)
        else:
            packed = mx.quantize(tensor.astype(mx.bfloat16), group_size=group, bits=bits)
            tensors |= {
                f"{layer}.{part}": one for part, one in zip(("weight", "scales", "biases"), packed, strict=True)
            }
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, {"format": "mlx"})
    stated = {} if bits == 16 else {"quantization": {"group_size": group, "bits": bits}}
    (folder / "config.json").write_text(json.dumps(config | stated))
    return folder


def read_prompt(checkpoint: Checkpoint) -> TokenizedPrompt:
    return Tokenizer.from_folder(checkpoint.folders[TOKENIZER]).encode_prompt("a red house and two stars", 64)


def encoded(checkpoint: Checkpoint) -> np.ndarray[Any, Any]:
    """What the model reads of a prompt."""
    prompt = read_prompt(checkpoint)
    _, embeddings = finish(text_encoder.encode(checkpoint, prompt, mx.float32))
    return np.array(embeddings[:, : prompt.length])


def encoded_by_mlx_lm(checkpoint: Checkpoint) -> np.ndarray[Any, Any]:
    """The same by mlx-lm's Qwen3 on widened weights."""
    prompt = read_prompt(checkpoint)
    whole = whole_model(checkpoint)
    hidden, states = whole.embed_tokens(mx.array([prompt.ids[: prompt.length]])), []
    mask = nn.MultiHeadAttention.create_additive_causal_mask(prompt.length)
    for index, layer in enumerate(whole.layers, start=1):
        hidden = layer(hidden, mask)
        states += [hidden] if index in checkpoint.prompt_layers else []
    return np.array(mx.concatenate(states, axis=-1))


@pytest.mark.parametrize(
    ("bits", "groups"),
    [(1, [32, 128]), (2, [32, 64, 128]), (3, [64]), (4, [32, 64, 128]), (6, [128]), (8, [32, 64]), (16, [1])],
)
def test_a_text_encoder_of_any_precision_and_group(
    bits: int, groups: list[int], model: Path, values: Any, tmp_path: Path
) -> None:
    for group in groups:
        folder = write_encoder(tmp_path / f"of {group}", values, bits, group)
        opened = Checkpoint.open(model, elsewhere=Elsewhere(text_encoder=folder))
        expected = encoded_by_mlx_lm(opened)
        for told in (True, False):  # by its config.json, or by its tensors alone
            if not told:
                (folder / "config.json").unlink()
            checkpoint = Checkpoint.open(model, elsewhere=Elsewhere(text_encoder=folder))
            assert (checkpoint.text_encoder.bits, checkpoint.text_encoder.group_size) == (bits, group)
            found = encoded(checkpoint)
            assert np.linalg.norm(found - expected) <= 2e-5 * np.linalg.norm(expected)
    assert Checkpoint.open(model).text_encoder.bits == 4


def drawn(*words: str) -> np.ndarray[Any, Any]:
    assert main([*words, "--quiet"]) == 0
    return np.asarray(Image.open(words[words.index("-o") + 1]).convert("RGB")).astype(int)


def test_a_text_encoder_is_used_named_and_asked_for_again(
    model: Path, values: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    near = write_encoder(tmp_path / "near", values, 8, 64)
    shutil.copytree(near, tmp_path / "a checkpoint" / "text_encoder")
    options = ["--model", str(model), "--seed", "1", "--steps", "1", "--size", "64x64"]
    own = drawn("generate", "a fox", *options, "-o", "own.png")
    other = drawn("generate", "a fox", *options, "-o", "other.png", "--text-encoder", "near")
    inner = drawn("generate", "a fox", *options, "-o", "inner.png", "--text-encoder", "a checkpoint")
    assert (own != other).any()
    assert (other == inner).all()
    found = read(Path("other.png"))
    assert found is not None
    assert found.recipe is not None
    assert (found.recipe.text_encoder, found.recipe.decoder) == ("near", None)
    assert main(["show", "other.png"]) == 0
    assert re.search(r"^Text encoder +near$", capsys.readouterr().out, re.MULTILINE)
    again = ["again", "other.png", "-o", "again.png", "--model", str(model)]
    assert main(again) == 1
    assert "it was drawn with another text encoder, near; give that with --text-encoder" in capsys.readouterr().err
    assert (drawn(*again, "--text-encoder", "near") == other).all()


def test_encoders_are_measured(
    model: Path, values: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for bits in (8, 2):
        write_encoder(tmp_path / f"{bits}-bit", values, bits, 64)
    whole = write_encoder(tmp_path / "whole", values, 16, 1)
    base = Path(shutil.copytree(model, tmp_path / "base"))  # a model whose own encoder those are roundings of
    shutil.rmtree(base / "text_encoder-mlx-4bit")
    shutil.copytree(whole, base / "text_encoder")
    words = ["encoders", "8-bit", "2-bit", "--model", "./base", "--prompts", "3"]
    assert main([*words, "--json"]) == 0
    own, eight, two = json.loads(capsys.readouterr().out)
    assert own["mean_cosine"] == pytest.approx([1, 1, 1])
    assert min(eight["mean_cosine"]) > 0.99 > min(two["mean_cosine"])
    assert eight["layers"] == [2, 4, 6]
    assert eight["worst_cosine"] <= eight["mean_cosine"]
    assert own["disk_bytes"] > eight["disk_bytes"] > two["disk_bytes"] > 0
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 0 for row in (own, eight, two))
    assert main(words) == 0
    assert re.search(r"8-bit \(8-bit\)  layer 2: (1.00|0.99)", capsys.readouterr().out)
    assert main(["encoders", "8-bit", "--prompts", "51", "--model", "./base"]) == 1
    assert "give a whole number from 1 to 50" in capsys.readouterr().err


def write_decoder(folder: Path, channels: list[int], **fields: Any) -> Path:
    """As the published small decoder: the whole encoder, and a decoder of other widths."""
    config = dict(PRESETS["tiny"].vae) | {"decoder_block_out_channels": channels} | fields
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {n: s for n, s in decode(VaeConfig, config).tensors().items() if not n.startswith("bn.")}
    write_random_weights(folder / "diffusion_pytorch_model.safetensors", tensors, bits=None, seed=9, writer="pt")
    return folder


def test_another_decoder_draws(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_decoder(tmp_path / "narrow", [8, 8, 16, 16])
    options = ["--model", str(model), "--seed", "1", "--steps", "1", "--size", "128x128"]
    own = drawn("generate", "a fox", *options, "-o", "own.png")
    other = drawn("generate", "a fox", *options, "-o", "other.png", "--decoder", "narrow")
    assert (own != other).any()
    assert other.std() > 5
    found = read(Path("other.png"))
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.decoder == "narrow"
    full, narrow = (Pipeline.from_pretrained(model, decoder=one) for one in (None, tmp_path / "narrow"))
    request = {"seed": 1, "steps": 1, "width": 128, "height": 128}
    assert (np.asarray(narrow.generate("a fox", **request).image) == other).all()
    plans = [pipe.plan(Draw("a fox", **request)).phases["decode"] for pipe in (full, narrow)]
    assert plans[1] < plans[0]


def test_what_does_not_fit_is_refused_by_name(
    model: Path, tiny_checkpoint: Callable[..., Path], values: Any, tmp_path: Path
) -> None:
    narrow = tiny_checkpoint() / "text_encoder-mlx-4bit"
    cut = write_encoder(tmp_path / "cut", values, 4, 64)
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-9])
    unsafe = write_encoder(tmp_path / "unsafe", values, 4, 64)
    (unsafe / "model.bin").write_bytes(b"")
    wrong = write_decoder(tmp_path / "wrong", [8, 8, 16, 16], latent_channels=4)
    odd = write_decoder(tmp_path / "odd", [8, 12, 16, 20])
    for given, told in (
        ({"text_encoder": narrow}, "the text encoder's hidden_size, the prompt layers and joint_attention_dim"),
        ({"text_encoder": cut}, "not a complete safetensors file .* give another one with --text-encoder, or none"),
        ({"text_encoder": unsafe}, "files of this type can carry code"),
        (
            {"text_encoder": tmp_path / "gone"},
            "gone: there is no such text encoder; give the path of one, or ternary-b",
        ),
        ({"text_encoder": tmp_path / "wrong"}, "give another one with --text-encoder"),
        ({"decoder": tmp_path / "gone"}, "gone: there is no such decoder; give the path of one, or small-decoder"),
        ({"decoder": wrong}, "the decoder's latents and the VAE's do not agree"),
        ({"decoder": odd}, "the decoder's channels and norm_num_groups do not agree"),
        ({"decoder": narrow}, "give another one with --decoder"),
    ):
        with pytest.raises(CheckpointError, match=told):
            Pipeline.from_pretrained(model, **given)


def test_parts_of_the_catalog_are_found_by_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for entries, option in ((TEXT_ENCODERS, "text_encoder"), (DECODERS, "decoder")):
        for entry in entries:
            for name in entry.names:
                with pytest.raises(CheckpointError, match=f"get it .* with: .*download {entry.name}"):
                    Pipeline.from_pretrained("seedling", **{option: name})
    with pytest.raises(CheckpointError, match="there is no such decoder"):
        Pipeline.from_pretrained("seedling", decoder="ternary-bonsai")
