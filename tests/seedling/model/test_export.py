"""An exported run opens as any checkpoint, and the engine draws what torch draws from the trained weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.torch import load_file  # noqa: E402

from bonsai_mlx.flux2.checkpoint import Checkpoint  # noqa: E402
from bonsai_mlx.weights.layout import TRANSFORMER  # noqa: E402
from seedling import install as install_module  # noqa: E402
from seedling.install import install  # noqa: E402
from seedling.judge import drawing  # noqa: E402
from seedling.judge.drawing import EngineDrawer, TorchDrawer, load_generator  # noqa: E402
from seedling.judge.evaluate import noise  # noqa: E402
from seedling.judge.report import CARD, PAGE, PICTURES, REPORT  # noqa: E402
from seedling.model.export import COMMON, export_rounded  # noqa: E402
from seedling.model.quantise import BITS, Variant, block_linears, quantised, unpacked  # noqa: E402
from seedling.model.run import EXPORT, Run  # noqa: E402
from seedling.model.text import PromptTokenizer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
TEXTS = ("a red circle", "two blue fish, please")
MODELS = ("full", "ternary", "binary", "rounded-ternary", "rounded-binary")


def test_both_variants_open_and_share_their_common_files(trained: Any) -> None:
    opened = {name: Checkpoint.open(trained.folder / EXPORT / name) for name in ("ternary", "binary")}
    assert {name: checkpoint.precision for name, checkpoint in opened.items()} == {name: name for name in opened}
    for checkpoint in opened.values():
        assert checkpoint.recommended_size == (trained.options.size,) * 2
        assert checkpoint.max_sequence_length == trained.options.text_tokens
        shared = {part: folder.parent.name for part, folder in checkpoint.folders.items() if part != TRANSFORMER}
        assert set(shared.values()) == {COMMON}
    assert opened["ternary"].text_encoder_id() == opened["binary"].text_encoder_id()


@pytest.mark.parametrize("model", MODELS)
def test_the_engine_draws_what_torch_draws(trained: Any, model: str) -> None:
    noises = np.stack([noise(trained.options, seed, 0) for seed in range(len(TEXTS))])
    engine = EngineDrawer(trained, model).draw(TEXTS, noises, 3)
    torch_ = TorchDrawer(trained, model).draw(TEXTS, noises, 3)
    for one, other in zip(engine, torch_, strict=True):
        difference = np.abs(np.asarray(one).astype(int) - np.asarray(other))
        assert difference.max() <= 1
        assert np.asarray(one).std() > 1  # a picture, not a blank


@pytest.mark.parametrize("variant", ["ternary", "binary"])
def test_every_block_weight_is_a_multiple_of_its_groups_scale(trained: Any, variant: Variant) -> None:
    tokenizer = PromptTokenizer(trained.folder / "tokenizer", trained.options.text_tokens)
    generator = load_generator(trained, variant, tokenizer.vocabulary)
    for _, linear in block_linears(generator.transformer):
        groups = linear.weight.detach().reshape(-1, 128).abs()
        scale = groups.amax(1, keepdim=True)
        assert torch.all((groups == scale) | ((groups == 0) & (variant == "ternary")))


def test_plain_rounding_is_the_student_rounded(trained: Any) -> None:
    student = load_file(trained.weights("student"))
    drawer = EngineDrawer(trained, "rounded-binary")
    path = drawer.pipeline.model.checkpoint.weights_file(TRANSFORMER)
    tensors = load_file(path)
    name = "single_transformer_blocks.0.attn.to_out"
    expected = quantised(student[f"{name}.weight"].float(), "binary")
    torch.testing.assert_close(unpacked(tensors, name, BITS["binary"]), expected, atol=1e-6, rtol=0)


def test_of_two_that_round_at_once_one_is_kept(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(shutil.copytree(trained.folder, tmp_path / "run"), trained.options)
    kept = run.folder / EXPORT / "rounded-binary"
    shutil.rmtree(kept, ignore_errors=True)

    def overtaken(run: Run, variant: Variant, folder: Path) -> None:
        export_rounded(run, variant, folder)
        shutil.copytree(folder, kept)

    monkeypatch.setattr(drawing, "export_rounded", overtaken)
    assert drawing._rounded(run, "binary") == kept
    assert [path.name for path in kept.parent.glob("rounded-binary*")] == ["rounded-binary"]


def test_training_moved_the_variants_away_from_plain_rounding(trained: Any) -> None:
    student = load_file(trained.weights("student"))
    packed = load_file(trained.weights("packed-ternary"))
    name = "single_transformer_blocks.0.attn.to_qkv_mlp_proj"
    rounded = quantised(student[f"{name}.weight"].float(), "ternary")
    assert (unpacked(packed, name, BITS["ternary"]) - rounded).abs().max() > 1e-3


def test_the_index_names_no_path_of_this_machine(trained: Any) -> None:
    for path in (trained.folder / EXPORT).rglob("*.json"):
        assert str(trained.folder) not in path.read_text(encoding="utf-8")
    index = json.loads((trained.folder / EXPORT / "binary" / "model_index.json").read_text())
    assert index["_common_folder"] == f"../{COMMON}"


def test_a_complete_run_is_put_into_the_project(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = tmp_path / "bonsai_mlx" / "seedling"
    (embedded / "ternary").mkdir(parents=True)
    (embedded / "ternary" / "old.safetensors").write_bytes(b"old")
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match=r"seedling\.md is missing"):
        install(trained, tmp_path)
    report = trained.folder / REPORT
    (report / PICTURES).mkdir(parents=True)
    (report / CARD).write_text("card")
    (report / PAGE).write_text("page")
    monkeypatch.setattr(install_module, "LIMIT_BYTES", 1000)
    with pytest.raises(ValueError, match="the limit"):
        install(trained, tmp_path)
    assert (embedded / "ternary" / "old.safetensors").is_file()  # a refusal changes nothing
    monkeypatch.undo()
    install(trained, tmp_path)
    assert not (embedded / "ternary" / "old.safetensors").exists()
    assert Checkpoint.open(embedded / "binary").precision == "binary"
    assert (tmp_path / "docs" / PAGE).read_text() == "page"
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in embedded.rglob("*.*"))  # everyone may read them
