"""Checkpoint folders: what is read from a good one, and that every kind of bad one is refused in one clear sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest

from bonsai_mlx import Pipeline
from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE, Layout
from bonsai_mlx.weights.spec import tensor_bytes
from tests.damaged import REPAIR, WEIGHTS, change_json, edited, header_of, refused, write_header


def test_reads_every_dimension_from_the_files(seedling: Path, variant: str) -> None:
    checkpoint = Checkpoint.open(seedling)
    assert checkpoint.precision == variant
    assert checkpoint.transformer.bits == {"ternary": 2, "binary": 1}[variant]
    index = json.loads((seedling / "model_index.json").read_text())
    assert list(checkpoint.prompt_layers) == index["text_encoder_out_layers"]
    assert checkpoint.max_sequence_length == index["max_sequence_length"]
    assert checkpoint.recommended_steps == index["recommended_steps"]
    assert list(checkpoint.recommended_size) == index["recommended_size"]
    assert checkpoint.folders[TOKENIZER].parent.name == "common"


def test_defaults_are_those_of_the_4b_model(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny_checkpoint(
        model_index={"text_encoder_out_layers": [9, 18, 27]}, text_encoder={"num_hidden_layers": 28}
    )
    folder = Path(shutil.copytree(folder, tmp_path / "published"))
    index = {"_class_name": "Flux2KleinPipeline", "_diffusers_version": "0.37.0.dev0"}
    (folder / "model_index.json").write_text(json.dumps(index))
    checkpoint = Checkpoint.open(folder)
    assert (checkpoint.prompt_layers, checkpoint.max_sequence_length) == ((9, 18, 27), 512)
    assert (checkpoint.recommended_steps, checkpoint.recommended_size) == (4, (512, 512))


@pytest.mark.parametrize(("precision", "bits"), [("4-bit", 4), ("8-bit", 8)])
def test_more_bits_than_two_open_and_draw(tiny_checkpoint: Callable[..., Path], precision: str, bits: int) -> None:
    packing = {"bits": bits, "group_size": 64}
    folder = tiny_checkpoint(precision, text_encoder={"quantization": packing, "quantization_config": packing})
    checkpoint = Checkpoint.open(folder)
    assert (checkpoint.precision, checkpoint.transformer.bits, checkpoint.text_encoder.bits) == (precision, bits, bits)
    pipe = Pipeline.from_pretrained(folder)
    result = pipe.generate("a fox", seed=1, steps=1, width=64, height=64)
    assert len(result.image.getcolors(64 * 64) or []) > 100
    assert pipe.recipe(result).variant == precision


def test_another_layout_is_opened_by_its_own_folders(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "other"))
    (folder / PACKED.folder(TRANSFORMER)).rename(folder / "transformer")
    (folder / PACKED.folder(TEXT_ENCODER)).rename(folder / "text_encoder")
    other = Layout(tuple(replace(part, folder=part.name) for part in PACKED.components))
    assert Checkpoint.open(folder, layout=other).weights_file(TRANSFORMER).parent == folder / "transformer"
    assert other.missing(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == []
    assert Checkpoint.open(folder).weights_file(TRANSFORMER).parent == folder / "transformer"  # told by what is there
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(CheckpointError, match="the folder text_encoder-mlx-4bit is missing"):
        Checkpoint.open(folder)


def test_opening_needs_no_mlx(seedling: Path) -> None:
    code = (
        "import sys; from bonsai_mlx.flux2.checkpoint import Checkpoint; "
        f"Checkpoint.open({str(seedling)!r}); "
        "sys.exit(any(name.split('.')[0] in ('mlx', 'mlx_lm') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loading_gives_the_file_s_tensors(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    for component in WEIGHTS:
        tensors = checkpoint.load(component)
        assert tensors.keys() == checkpoint.expected(component).keys()
        assert sum(tensor.nbytes for tensor in tensors.values()) == tensor_bytes(checkpoint.expected(component))


def test_rows_are_those_of_the_whole_table(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    table = checkpoint.load(TEXT_ENCODER)
    rows = [5, 0, 639, 5]
    for name in ("weight", "scales", "biases"):
        name = f"model.embed_tokens.{name}"
        got = checkpoint.load_rows(TEXT_ENCODER, name, rows)
        assert got.dtype == table[name].dtype
        assert mx.array_equal(got, table[name][mx.array(rows)])


def test_a_row_that_is_not_there_is_named(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    rows = checkpoint.text_encoder.vocab_size
    with pytest.raises(CheckpointError, match=rf"model\.embed_tokens\.weight has {rows} rows.*token {rows}"):
        checkpoint.load_rows(TEXT_ENCODER, "model.embed_tokens.weight", [1, rows])


def test_no_such_folder(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere")
    assert "nowhere" in message
    assert REPAIR in message


def test_a_model_made_for_another_schedule_is_refused(folder: Path) -> None:
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(path.read_text().replace("FlowMatchEulerDiscreteScheduler", "DDIMScheduler"))
    message = refused(folder)
    assert f"{path}: names 'DDIMScheduler', not FlowMatchEulerDiscreteScheduler" in message
    assert REPAIR in message


@pytest.mark.parametrize(
    "path",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "vae/config.json",
        f"{PACKED.folder(TRANSFORMER)}/config.json",
        f"{PACKED.folder(TRANSFORMER)}/quantization_config.json",
        f"{PACKED.folder(TEXT_ENCODER)}/config.json",
        *WEIGHTS.values(),
    ],
)
def test_a_missing_file_is_named(folder: Path, path: str) -> None:
    (folder / path).unlink()
    message = refused(folder)
    assert str(folder / path) in message
    assert "missing" in message
    assert REPAIR in message


def test_a_missing_folder_is_named(folder: Path) -> None:
    shutil.rmtree(folder / PACKED.folder(TOKENIZER))
    assert "the folder tokenizer is missing" in refused(folder)


@pytest.mark.parametrize("component", WEIGHTS)
@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_truncated_file_is_named(folder: Path, component: str, keep: int) -> None:
    path = folder / WEIGHTS[component]
    os.truncate(path, keep if keep >= 0 else path.stat().st_size - 1)
    message = refused(folder)
    assert str(path) in message
    assert REPAIR in message


def test_a_file_that_changes_after_opening_is_refused_when_loaded(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    path = checkpoint.weights_file(VAE)
    os.truncate(path, path.stat().st_size - 4)
    with pytest.raises(CheckpointError, match="vae"):
        checkpoint.load(VAE)


@pytest.mark.parametrize("component", WEIGHTS)
def test_trailing_bytes_are_refused(folder: Path, component: str) -> None:
    path = folder / WEIGHTS[component]
    with path.open("ab") as file:
        file.write(b"\0" * 16)
    assert str(path) in refused(folder)


def test_a_wrong_dtype_is_named(folder: Path) -> None:
    path = folder / PACKED.weights(VAE)
    edited(path, lambda header: header["decoder.conv_in.bias"].update(dtype="I16"))
    message = refused(folder)
    assert "tensor decoder.conv_in.bias is I16 [32], expected BF16 or F16 or F32 [32]" in message
    assert REPAIR in message


def test_a_wrong_shape_is_named(folder: Path) -> None:
    path = folder / PACKED.weights(TEXT_ENCODER)
    edited(path, lambda header: header["model.norm.weight"].update(shape=[8, 8]))
    assert "tensor model.norm.weight is BF16 [8, 8], expected BF16 or F16 or F32 [64]" in refused(folder)


def test_an_extra_tensor_is_named(folder: Path) -> None:
    path = folder / PACKED.weights(VAE)
    header, data = header_of(path)
    header["backdoor"] = {"dtype": "U8", "shape": [4], "data_offsets": [len(data), len(data) + 4]}
    write_header(path, json.dumps(header), data + b"\0" * 4)
    assert "unexpected tensor backdoor (1 in all)" in refused(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    path = folder / PACKED.weights(TRANSFORMER)
    edited(path, lambda header: header.update({"spare": header.pop("proj_out.weight")}))
    assert "tensor proj_out.weight is missing (1 in all)" in refused(folder)


def test_a_swapped_component_is_refused(folder: Path) -> None:
    shutil.copy(folder / PACKED.weights(VAE), folder / PACKED.weights(TRANSFORMER))
    message = refused(folder)
    assert TRANSFORMER in message
    assert "is missing" in message


def test_the_other_variant_s_weights_are_refused(folder: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    other = tiny_checkpoint("binary") / PACKED.weights(TRANSFORMER)
    shutil.copy(other, folder / PACKED.weights(TRANSFORMER))
    assert "expected U32" in refused(folder)


@pytest.mark.parametrize("name", ["model.bin", "weights.pt", "x.ckpt", "data.PKL", "modeling.py", "a.npy"])
@pytest.mark.parametrize("component", [PACKED.folder(TRANSFORMER), PACKED.folder(TOKENIZER)])
def test_files_that_can_carry_code_are_refused(folder: Path, component: str, name: str) -> None:
    (folder / component / name).write_bytes(b"\x80\x04.")
    message = refused(folder)
    assert str(folder / component / name) in message
    assert "delete it" in message


def test_code_beside_the_components_is_never_opened(folder: Path) -> None:
    """Other programs keep examples there; what a component's folder holds is another matter."""
    (folder / "evil.py").symlink_to("/dev/zero")
    os.mkfifo(folder / "evil.bin")
    assert Checkpoint.open(folder).root == folder


def test_the_common_folder_must_be_a_neighbour(seedling: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(seedling, tmp_path / "a" / "ternary"))
    shutil.copytree(seedling.parent / "common", tmp_path / "common")
    change_json(folder / "model_index.json", _common_folder="../../common")
    assert "not a neighbour" in refused(folder)


def test_equal_text_encoders_are_known_for_the_same(tmp_path: Path, folder: Path) -> None:
    linked = Path(shutil.copytree(folder, tmp_path / "linked", copy_function=os.link))
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    ids = [Checkpoint.open(path).text_encoder_id() for path in (folder, linked, copied)]
    assert ids[0] == ids[1] != ids[2]


def test_a_companion_of_what_lacks_nothing_is_refused(
    tiny_checkpoint: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    other = tiny_checkpoint("binary", seed=5)
    with pytest.raises(CheckpointError, match="is a whole checkpoint and takes nothing of another; leave out"):
        Checkpoint.open(folder, companion=other)
    shutil.rmtree(folder / PACKED.folder(TEXT_ENCODER))
    assert Checkpoint.open(folder, companion=other).folders[TEXT_ENCODER].parent == other
