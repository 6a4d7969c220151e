"""Checkpoints in another precision: exact where they can be, and as MLX itself packs them where not."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.conversion import layers
from bonsai_mlx.conversion.convert import convert, write_gguf
from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER
from bonsai_mlx.weights.spec import bits_of
from tests.layouts import bfl_names, dense, write_diffusers


def converted(source: Path, out: Path, to: str, group_size: int = 128, *, affine: bool = False) -> list[float]:
    return [one.error for one in convert(Checkpoint.open(source), out, bits_of(to), group_size, affine=affine)]


@pytest.mark.parametrize("precision", ["ternary", "binary"])
def test_an_unpacked_bonsai_is_packed_bit_for_bit(
    precision: str, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    packed, unpacked, again = tiny_checkpoint(precision), tmp_path / "unpacked", tmp_path / "again"
    assert max(converted(packed, unpacked, "bf16")) == 0
    assert Checkpoint.open(unpacked).precision == "bf16"
    assert set(converted(unpacked, again, precision)) == {0.0}
    before, after = (Checkpoint.open(folder).load(TRANSFORMER) for folder in (packed, again))
    assert before.keys() == after.keys()
    assert all(mx.array_equal(before[name], after[name]) for name in before)
    encoder = PACKED.weights(TEXT_ENCODER)
    assert (again / encoder).stat().st_ino == (packed / encoder).stat().st_ino  # what is shared is there once


@pytest.mark.parametrize(
    ("to", "group_size", "most"),
    [("8-bit", 64, 0.01), ("6-bit", 128, 0.03), ("4-bit", 64, 0.12), ("3-bit", 32, 0.25), ("ternary", 128, 0.6),
     ("binary", 128, 0.7)],
)  # fmt: skip
def test_ordinary_weights_are_rounded_as_reported(
    to: str, group_size: int, most: float, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = tiny_checkpoint("bf16"), tmp_path / "out"
    errors = converted(source, out, to, group_size)
    assert 0 < max(errors) < most
    name = "single_transformer_blocks.0.attn.to_out.weight"
    checkpoint, values = Checkpoint.open(out), dense(source)[name]
    tensors = checkpoint.load(TRANSFORMER)
    parts = [tensors[f"{name.removesuffix('.weight')}.{part}"].astype(mx.float32) for part in ("scales", "biases")]
    found = mx.dequantize(tensors[name], *parts, group_size=group_size, bits=bits_of(to))
    error = float(mx.sqrt(mx.square(found - values).sum() / mx.square(values).sum()))
    assert min(abs(error - one) for one in errors) < 1e-4
    if bits_of(to) > 2:
        theirs = mx.quantize(values.astype(mx.bfloat16), group_size=group_size, bits=bits_of(to))
        assert mx.array_equal(theirs[0], tensors[name])
    picture = Pipeline.from_pretrained(out).generate("a fox", seed=1, steps=1, width=64, height=64)
    assert np.asarray(picture.image).std() > 10


def test_it_goes_on_where_it_stopped(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    source, whole, stopped = tiny_checkpoint("bf16"), tmp_path / "whole", tmp_path / "stopped"
    steps = len(converted(source, whole, "4-bit"))
    begun = convert(Checkpoint.open(source), stopped, 4)
    for _ in range(steps // 2):
        next(begun)
    begun.close()
    assert not (stopped / "model_index.json").exists()
    (partial,) = stopped.glob("*/*.partial")
    with partial.open("r+b") as file:
        file.truncate(partial.stat().st_size - 1000)  # in the middle of a layer
    assert 0 < len(converted(source, stopped, "4-bit")) < steps
    weights = PACKED.weights(TRANSFORMER)
    assert (stopped / weights).read_bytes() == (whole / weights).read_bytes()
    with pytest.raises(BonsaiError, match="there is something in it already"):
        converted(source, whole, "4-bit")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_the_text_encoder_is_packed_too_where_it_is_asked_for(
    bits: int, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """As mlx-lm packs one: every matrix, the embeddings among them, in groups of 64; the picture stays near."""
    source, out = write_diffusers(tiny_checkpoint("bf16"), tmp_path / "published"), tmp_path
    own = dense(source, TEXT_ENCODER)
    assert main(["convert", str(source), str(out / "m"), "--to", "4", "--encoder-bits", str(bits)]) == 0
    checkpoint = Checkpoint.open(out / "m")
    assert (checkpoint.text_encoder.bits, checkpoint.text_encoder.group_size) == (bits, 64)
    tensors = checkpoint.load(TEXT_ENCODER)
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"):
        theirs = mx.quantize(own[name].astype(mx.bfloat16), group_size=64, bits=bits)
        assert mx.array_equal(theirs[0], tensors[name])
    pictures = [
        np.asarray(Pipeline.from_pretrained(place).generate("a fox", seed=1, steps=1, width=64, height=64).image)
        for place in (source, out / "m")
    ]
    assert pictures[1].std() > 10
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 40


@pytest.mark.slow
def test_a_matrix_is_never_whole_in_memory(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read and written in blocks of rows, whatever their size is, it is the same file."""
    source, whole, blocks = tiny_checkpoint("bf16"), tmp_path / "whole", tmp_path / "blocks"
    converted(source, whole, "4-bit", 64)
    most = [0]
    read = layers.FileValues.__getitem__

    def counted(self: layers.FileValues, rows: slice) -> layers.Values:
        found = read(self, rows)
        most[0] = max(most[0], found.size)
        return found

    monkeypatch.setattr(layers, "_BLOCK_VALUES", 1000)
    monkeypatch.setattr(layers.FileValues, "__getitem__", counted)
    monkeypatch.setattr(layers, "LayerValues", None)  # which MLX would read whole
    converted(source, blocks, "4-bit", 64)
    widest = max(tensor.shape[-1] for tensor in dense(source).values())
    assert most[0] <= max(1000, widest)
    assert (blocks / PACKED.weights(TRANSFORMER)).read_bytes() == (whole / PACKED.weights(TRANSFORMER)).read_bytes()


def test_on_the_command_line(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "eight"
    options = ["--to", "8", "--group-size", "64"]
    assert main(["convert", str(tiny_checkpoint("bf16")), str(out), *options]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(out)
    assert "28 matrices, error of a matrix" in told.err
    assert Checkpoint.open(out).transformer.group_size == 64


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("4", "--to: a GGUF is written in binary, ternary, 8 bits or bf16 here, not in 4 bits"),
        ("binary", "its weights are bf16, not binary; convert them without --gguf first"),
    ],
)
def test_what_no_gguf_is_written_of(
    to: str, said: str, tiny_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(tiny_checkpoint("bf16")), str(tmp_path / "a.gguf"), "--to", to, "--gguf"]) == 1
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if "gguf" in path.name] == []


@pytest.mark.parametrize("precision", ["ternary", "binary"])
def test_through_gguf_and_back_bit_for_bit(
    precision: str, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    packed, path, again = tiny_checkpoint(precision), tmp_path / "bonsai.gguf", tmp_path / "again"
    assert main(["convert", str(packed), str(path), "--to", precision, "--gguf"]) == 0
    from_file = Checkpoint.open(path, companion=packed)
    assert from_file.precision == precision
    assert [one.error for one in convert(from_file, again, bits_of(precision))] == [0.0] * 28
    before, after = (Checkpoint.open(folder).load(TRANSFORMER) for folder in (packed, again))
    assert all(mx.array_equal(before[name], after[name]) for name in before)
    drawn = [
        Pipeline.from_pretrained(place, companion=packed if place.is_file() else None)
        .generate("a fox", seed=1, steps=1, width=64, height=64)
        .image.tobytes()
        for place in (packed, again)
    ]
    assert drawn[0] == drawn[1]


def test_a_gguf_is_read_by_its_own_package(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    packed, path = tiny_checkpoint("binary"), tmp_path / "bonsai.gguf"
    list(write_gguf(Checkpoint.open(packed), path))
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = bfl_names(dense(packed))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        tensor = found[name]
        assert tuple(reversed([int(side) for side in tensor.shape])) == values.shape
        if tensor.tensor_type.name == "BF16":
            assert np.array_equal(gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(values.shape), values)
        else:  # which it does not expand yet: by the format's own words
            blocks = tensor.data.reshape(len(values), -1, 18)
            factor = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
            bits = np.unpackbits(blocks[..., 2:], axis=-1, bitorder="little").astype(np.float32)
            assert np.array_equal(((2 * bits - 1) * factor).reshape(values.shape), values)
    with pytest.raises(BonsaiError, match="has 4 bits in groups of 128; a GGUF is written of"):
        list(write_gguf(Checkpoint.open(tiny_checkpoint("4-bit")), tmp_path / "four.gguf"))


@pytest.mark.parametrize(("to", "precision"), [("8", "bf16"), ("8", "4-bit"), ("binary", "binary")])
def test_eight_bits_of_a_gguf_are_as_its_own_package_makes_them(
    to: str, precision: str, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source, path = tiny_checkpoint(precision), tmp_path / "klein.gguf"
    assert main(["convert", str(source), str(path), "--to", to, "--gguf", "--rest", "8"]) == 0
    expected, kinds = bfl_names(dense(source)), set()
    for tensor in gguf.GGUFReader(path).tensors:
        kinds.add(tensor.tensor_type.name)
        if tensor.tensor_type.name == "Q8_0":
            theirs = gguf.quants.quantize(expected[tensor.name], gguf.GGMLQuantizationType.Q8_0)
            assert np.array_equal(np.asarray(tensor.data), theirs), tensor.name
    assert kinds == {"Q8_0", "BF16"} if to == "8" else {"Q8_0", "BF16", "Q1_0"}
    pipe = Pipeline.from_pretrained(path, companion=source)
    assert pipe.model.describe().precision == ("8-bit" if to == "8" else "binary")
    theirs, ours = (
        np.asarray(one.generate("a fox", seed=1, steps=1, width=64, height=64).image).astype(int)
        for one in (Pipeline.from_pretrained(source), pipe)
    )
    assert np.abs(theirs - ours).mean() < 6
    assert theirs.std() > 10


@pytest.mark.slow
def test_two_bits_lose_no_more_than_three_values_do(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Four values a group are nearer to ordinary weights than three; what has three is exact with both."""
    source, bonsai = tiny_checkpoint("bf16"), tmp_path / "bonsai"
    three = converted(source, tmp_path / "three", "ternary", 64)
    four = converted(source, tmp_path / "four", "ternary", 64, affine=True)
    assert all(one < other for one, other in zip(four, three, strict=True))
    assert Checkpoint.open(tmp_path / "four").precision == "2-bit"
    assert max(converted(tiny_checkpoint("ternary"), bonsai, "bf16")) == 0
    assert main(["convert", str(bonsai), str(tmp_path / "two"), "--to", "2"]) == 0
    assert max(converted(bonsai, tmp_path / "again", "ternary")) == 0
    two, again = (Checkpoint.open(tmp_path / name).load(TRANSFORMER) for name in ("two", "again"))
    assert all(mx.array_equal(two[name], again[name]) for name in two)
    picture = Pipeline.from_pretrained(tmp_path / "four").generate("a fox", seed=1, steps=1, width=64, height=64)
    assert picture.recipe is not None
    assert picture.recipe.variant == "2-bit"


@pytest.mark.slow
def test_a_terminal_has_a_bar_below_the_lines(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "bonsai_mlx",
        "convert",
        str(tiny_checkpoint("bf16")),
        str(tmp_path / "out"),
        "--to",
        "4",
    ]
    leader, follower = pty.openpty()
    with (
        os.fdopen(leader, "rb") as screen,
        subprocess.Popen(words, stderr=follower, stdout=subprocess.DEVNULL) as child,
    ):
        os.close(follower)
        seen = b""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while data := os.read(screen.fileno(), 4096):
                seen += data
        assert child.wait() == 0
    told = seen.decode()
    assert "[########################] 100%  0 s left" in told
    assert "28/28  " in told
    assert told.rpartition("\r\x1b[K")[2].startswith("28 matrices, error of a matrix")
