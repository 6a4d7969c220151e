from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import make_checkpoint
from bonsai_mlx.weights import random as random_weights
from bonsai_mlx.weights.layout import PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_checkpoint.py"
# Git blob ids of the published files.
PUBLISHED = {
    "model_index.json": "23fc54204818a55722be53d2a8e6e40c21d878b2",
    f"{PACKED.folder(SCHEDULER)}/scheduler_config.json": "7e53605e2643440b310fa554f087641893883c5f",
    f"{PACKED.folder(TEXT_ENCODER)}/config.json": "032ad326a0daaaeeec00f2a585262acf5f692861",
    f"{PACKED.folder(TEXT_ENCODER)}/model.safetensors.index.json": "07e230a328dd17a09d96ee045d49b27596656aff",
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tokenizer_with(folder: Path, tokens: int) -> Path:
    folder.mkdir()
    content = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": tokens - 1, "content": "<|x|>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a full-size checkpoint whose weight files stop after their headers."""
    monkeypatch.setattr(random_weights, "_chunks", lambda *_: iter(()))
    return lambda variant: make_checkpoint(tmp_path / variant, "bonsai-4b", variant)


def header_and_tensor_bytes(path: Path) -> tuple[int, int]:
    header = json.loads(path.read_bytes()[8:])
    header.pop("__metadata__", None)
    return path.stat().st_size, max(entry["data_offsets"][1] for entry in header.values())


def test_full_size_files_have_the_published_sizes(full_size: Callable[[str], Path]) -> None:
    ternary, binary = full_size("ternary"), full_size("binary")
    header, tensors = header_and_tensor_bytes(ternary / PACKED.weights(TRANSFORMER))
    assert tensors == 1_425_226_752
    assert header + tensors == 1_425_271_472
    assert sum(header_and_tensor_bytes(ternary / PACKED.weights(VAE))) == 168_120_878
    assert sum(header_and_tensor_bytes(binary / PACKED.weights(TRANSFORMER))) == pytest.approx(965.2e6, rel=1e-4)
    header, tensors = header_and_tensor_bytes(ternary / PACKED.weights(TEXT_ENCODER))
    assert header + tensors == pytest.approx(2_263_022_529, rel=1e-6)
    assert header % 2  # tensors start at an odd byte, as published


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_json_files_are_the_published_ones(full_size: Callable[[str], Path], name: str) -> None:
    content = (full_size("ternary") / name).read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    assert blob.hexdigest() == PUBLISHED[name]


def test_a_tiny_checkpoint_opens(tiny_checkpoint: Callable[..., Path], variant: str) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(variant))
    assert checkpoint.precision == variant
    assert checkpoint.prompt_layers == (2, 4, 6)
    assert checkpoint.max_sequence_length == 64


def test_the_quantization_is_described_as_in_a_published_checkpoint(
    tiny_checkpoint: Callable[..., Path], variant: str, seedling: Path
) -> None:
    name = f"{PACKED.folder(TRANSFORMER)}/quantization_config.json"
    assert json.loads((tiny_checkpoint(variant) / name).read_text()) == json.loads((seedling / name).read_text())


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    one, two, other = (make_checkpoint(tmp_path / name, seed=seed) for name, seed in (("1", 3), ("2", 3), ("3", 4)))
    assert files(one) == files(two)
    assert files(one).keys() == files(other).keys()
    for component in (TRANSFORMER, VAE, TEXT_ENCODER):
        assert files(one)[PACKED.weights(component)] != files(other)[PACKED.weights(component)]


def test_variants_of_one_seed_differ_in_the_transformer_alone(tmp_path: Path) -> None:
    ternary, binary = (files(make_checkpoint(tmp_path / v, precision=v)) for v in ("ternary", "binary"))
    assert ternary.keys() == binary.keys()
    assert {name.split("/")[0] for name in ternary if ternary[name] != binary[name]} == {PACKED.folder(TRANSFORMER)}


def test_the_common_files_of_a_second_variant_are_linked(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path / "ternary", precision="ternary", seed=9)
    second = make_checkpoint(tmp_path / "binary", precision="binary", seed=9, common=first)
    assert files(second) == files(make_checkpoint(tmp_path / "alone", precision="binary", seed=9))
    for name in files(second):
        linked = not name.startswith(PACKED.folder(TRANSFORMER)) and name != "model_index.json"
        assert (first / name).samefile(second / name) == linked


def test_common_files_of_another_shape_are_refused(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path / "first")
    with pytest.raises(ValueError, match=r"config\.json differs"):
        make_checkpoint(tmp_path / "second", common=first, text_encoder={"num_hidden_layers": 8})
    with pytest.raises(FileNotFoundError):
        make_checkpoint(tmp_path / "third", common=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not both"):
        make_checkpoint(tmp_path / "fourth", common=first, tokenizer=first / PACKED.folder(TOKENIZER))


def test_overrides_change_a_component_and_what_follows_from_it(tmp_path: Path) -> None:
    folder = make_checkpoint(
        tmp_path / "made",
        transformer={"num_layers": 1, "num_attention_heads": 8},
        text_encoder={"hidden_size": 128},
        vae={"latent_channels": 4},
        model_index={"max_sequence_length": 24, "text_encoder_out_layers": [1, 6]},
    )
    checkpoint = Checkpoint.open(folder)
    assert (checkpoint.transformer.num_layers, checkpoint.transformer.dim) == (1, 256)
    assert (checkpoint.transformer.joint_attention_dim, checkpoint.transformer.in_channels) == (256, 16)
    assert (checkpoint.max_sequence_length, checkpoint.prompt_layers) == (24, (1, 6))


def test_the_embedding_has_a_row_for_every_token(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "made", tokenizer=tokenizer_with(tmp_path / "tokenizer", tokens=1001))
    assert (folder / PACKED.folder(TOKENIZER) / "tokenizer.json").exists()
    assert json.loads((folder / PACKED.folder(TEXT_ENCODER) / "config.json").read_text())["vocab_size"] == 1024


def test_dense_weights_of_four_bytes_are_bfloat16_values(tmp_path: Path) -> None:
    folders = [make_checkpoint(tmp_path / precision, "tiny", precision) for precision in ("bf16", "float32")]
    half, full = (mx.load(str(Checkpoint.open(one).weights_file(TRANSFORMER))) for one in folders)
    assert mx.float32 in {full[name].dtype for name in full if half[name].dtype == mx.bfloat16}
    assert all(mx.array_equal(full[name].astype(mx.float32), half[name].astype(mx.float32)) for name in half)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "huge"}, "unknown preset 'huge'; choose one of bonsai-4b, tiny"),
        ({"precision": "quaternary"}, "unknown precision 'quaternary'; choose one of binary, ternary, 3-bit, 4-bit"),
        ({"decoder": {}}, "unknown component 'decoder'"),
        ({"transformer": {"num_attention_heads": 3}}, "is 96; it must be a multiple of 128"),
        ({"transformer": {"mlp_ratio": 2.5}}, "is 320; it must be a multiple of 128"),
        ({"transformer": {"axes_dims_rope": [8, 8, 8]}}, "must add up to attention_head_dim"),
        ({"text_encoder": {"hidden_size": 96}}, "hidden_size is 96; it must be a multiple of 64"),
        ({"text_encoder": {"num_hidden_layers": 6}}, "must be less than num_hidden_layers"),
    ],
)
def test_arguments_that_make_no_checkpoint(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_checkpoint(tmp_path / "made", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="not empty"):
        make_checkpoint(tmp_path)
    assert files(tmp_path) == {"precious.txt": b"keep me"}


def test_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--variant", "binary", "--seed", "2", "--out", str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{tmp_path / 'made'}: binary tiny" in done.stdout
    assert files(tmp_path / "made") == files(make_checkpoint(tmp_path / "same", precision="binary", seed=2))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert "Traceback" not in again.stderr


def test_a_text_encoder_that_is_not_packed(tmp_path: Path) -> None:
    out = tmp_path / "made"
    command = [sys.executable, str(SCRIPT), "--precision", "bf16", "--encoder", "bf16", "--out", str(out)]
    subprocess.run(command, capture_output=True, check=True)
    checkpoint = Checkpoint.open(out)
    assert (checkpoint.text_encoder.bits, checkpoint.transformer.bits) == (16, 16)
    picture = Pipeline.from_pretrained(out).generate("a fox", seed=1, steps=1, width=64, height=64).image
    assert picture.size == (64, 64)
