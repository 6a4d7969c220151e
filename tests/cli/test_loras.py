"""Adapters on the command line: chosen, in the picture's recipe and back from it, and explained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.adapters.folder import listed
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import transformer_config
from bonsai_mlx.hub import api as hub
from bonsai_mlx.images import metadata
from bonsai_mlx.images.infotext import found_in_infotext

from ..adapters.files import lora_tensors, saved

pytestmark = pytest.mark.usefixtures("nothing_downloaded")

SMALL = ("--size", "64x64", "--steps", "1", "--seed", "7", "--quiet")


def two_adapters(folder: Path) -> Path:
    """For the seedling, one of them in a folder of its own, as PEFT saves it."""
    local = hub.status("seedling")
    assert local.path is not None
    linears = Checkpoint.open(local.path).transformer.linears()
    saved(folder / "ink.safetensors", lora_tensors(linears), {"modelspec.trigger_phrase": "inky\x1b[31m"})
    saved(folder / "chalk" / "adapter_model.safetensors", lora_tensors(linears, seed=1))
    return folder


@pytest.fixture
def loras(tmp_path: Path, narrow_seedlings: None) -> Path:
    return two_adapters(tmp_path / "loras")


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.slow
def test_an_adapter_is_used_written_down_and_used_again(run: Any, loras: Path) -> None:
    ink, folder = loras / "ink.safetensors", ("--loras", str(loras))
    assert run("generate", "a fox", *SMALL, "-o", "plain.png")[0] == 0
    status, _, err = run("generate", "a fox", *SMALL, "--lora", f"{ink}=0.8", "-o", "fox.png")
    assert (status, err) == (0, err)
    assert np.abs(pixels("fox.png") - pixels("plain.png")).mean() > 1
    found = metadata.read(Path("fox.png"))
    assert found is not None
    assert found.recipe is not None
    digest = hashlib.sha256(ink.read_bytes()).hexdigest()
    assert found.recipe.parameters["loras"] == ({"name": "ink", "strength": 0.8, "sha256": digest},)
    assert str(loras) not in found.recipe.to_json().decode()

    assert f"Adapters  ink 0.8 ({digest[:12]}...)" in run("show", "fox.png")[1]
    assert run("again", "fox.png", *folder, "--quiet", "-o", "again.png")[0] == 0
    assert np.array_equal(pixels("again.png"), pixels("fox.png"))
    assert run("generate", "--like", "fox.png", *folder, "--quiet", "-o", "like.png")[0] == 0
    assert np.array_equal(pixels("like.png"), pixels("fox.png"))
    for words in (("a fox", "--lora", "ink=0.8"), ("a fox <lora:ink:0.8>",), ("<lora:INK:1:0.8>a fox",)):
        assert run("generate", *words, *folder, *SMALL, "-o", "same.png")[0] == 0
        assert np.array_equal(pixels("same.png"), pixels("fox.png"))
    assert metadata.read(Path("same.png")).prompt == "a fox"  # type: ignore[union-attr]
    ink.rename(loras / "renamed.safetensors")  # still known by its digest
    assert run("again", "fox.png", *folder, "--quiet", "-o", "renamed.png")[0] == 0
    assert np.array_equal(pixels("renamed.png"), pixels("fox.png"))


@pytest.mark.slow
def test_several_and_none(run: Any, loras: Path) -> None:
    folder = ("--loras", str(loras))
    run("generate", "a fox", *SMALL, "-o", "plain.png")
    run("generate", "a fox", *SMALL, *folder, "--lora", "ink=0", "-o", "zero.png")
    assert np.array_equal(pixels("zero.png"), pixels("plain.png"))
    run("generate", "a fox", *SMALL, *folder, "--lora", "ink=0.5", "--lora", "chalk=-0.5", "-o", "both.png")
    run("generate", "a fox", *SMALL, *folder, "--lora", str(loras / "chalk"), "-o", "chalk.png")
    pictures = [pixels(f"{name}.png") for name in ("plain", "both", "chalk")]
    assert all(np.abs(one - other).mean() > 1 for one, other in zip(pictures, pictures[1:] + pictures[:1], strict=True))
    assert (
        run("edit", "plain.png", "a fox", "--strength", "0.9", *SMALL, *folder, "--lora", "ink", "-o", "e.png")[0] == 0
    )
    assert metadata.read(Path("e.png")).recipe.parameters["loras"][0]["name"] == "ink"  # type: ignore[union-attr]


@pytest.mark.slow
def test_adapters_in_what_is_enlarged(run: Any, loras: Path) -> None:
    """Given, in the words, or those that the picture was drawn with; and nowhere but where something is redrawn."""
    folder, refine = ("--loras", str(loras)), ("--method", "refine", "--steps", "2", "--seed", "3", "--strength", "0.9")
    run("generate", "a fox", *SMALL, "-o", "fox.png")
    run("generate", "a fox", *SMALL, *folder, "--lora", "ink=0.8", "-o", "inky.png")
    made = {
        "plain": ("fox.png", "--prompt", "a fox"),
        "given": ("fox.png", "--prompt", "a fox", "--lora", "ink=0.8"),
        "in the words": ("fox.png", "--prompt", "a fox <lora:ink:0.8>"),
        "kept": ("inky.png",),
        "another": ("inky.png", "--prompt", "a fox"),
    }
    for name, words in made.items():
        status, _, err = run("enlarge", *words, *refine, *folder, "--quiet", "-o", f"{name}.png")
        assert status == 0, err
    assert np.array_equal(pixels("given.png"), pixels("in the words.png"))
    assert np.abs(pixels("given.png") - pixels("plain.png")).mean() > 0.5
    recipes = {name: metadata.read(Path(f"{name}.png")).recipe.parameters for name in made}  # type: ignore[union-attr]
    named = {name: [one["name"] for one in recipe.get("loras", ())] for name, recipe in recipes.items()}
    assert named == {"plain": [], "given": ["ink"], "in the words": ["ink"], "kept": ["ink"], "another": []}
    assert run("again", "kept.png", *folder, "--quiet", "-o", "again.png")[0] == 0
    assert np.array_equal(pixels("again.png"), pixels("kept.png"))
    status, _, err = run("enlarge", "fox.png", "--lora", "ink", *folder)
    assert (status, "--lora: is about what is redrawn; give --method refine too" in err) == (1, True)


@pytest.mark.slow
def test_adapters_in_grids_and_batches(run: Any, loras: Path) -> None:
    folder, cells = ("--loras", str(loras)), Path("cells")
    cells.mkdir()
    words = ("grid", "a fox", *SMALL[:4], "--seed", "7", *folder, "--cells", "cells", "--quiet", "-o", "grid.png")
    assert run(*words, "--axis", "lora=,ink=0.8,ink=-0.5,chalk")[0] == 0
    files = sorted(cells.iterdir())
    assert [path.name for path in files] == [
        "01-01-no-adapter.png",
        "01-02-ink-0-8.png",
        "01-03-ink-0-5.png",
        "01-04-chalk-1.png",
    ]
    run("generate", "a fox", *SMALL, *folder, "--lora", "ink=0.8", "-o", "alone.png")
    assert np.array_equal(pixels(files[1]), pixels("alone.png"))
    assert len({pixels(path).tobytes() for path in files}) == 4
    assert run(*words, "--lora", "ink=0.8", "--axis", "seed=7,8")[0] == 0
    assert np.array_equal(pixels(cells / "01-01-seed-7.png"), pixels("alone.png"))
    rows = [{"prompt": "a fox", "seed": 7, "loras": [["ink", 0.8]]}, {"prompt": "a fox", "seed": 7}]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("batch", "a.jsonl", "--out", "made", *SMALL[:4], *folder, "--lora", "chalk")[0] == 0
    first, second = map(pixels, sorted(Path("made").glob("*.png")))
    assert np.array_equal(first, pixels("alone.png"))
    assert np.array_equal(second, pixels(cells / "01-04-chalk-1.png"))


@pytest.mark.slow
def test_other_programs_read_adapters_as_they_write_them(run: Any, loras: Path) -> None:
    folder = ("--loras", str(loras))
    run("generate", "a fox", *SMALL, *folder, "--lora", "ink=0.8", "--lora", "chalk=-0.5", "-o", "fox.png")
    text = Image.open("fox.png").text["parameters"]  # type: ignore[attr-defined]
    digest = hashlib.sha256((loras / "ink.safetensors").read_bytes()).hexdigest()[:12]
    assert text.startswith("a fox <lora:ink:0.8> <lora:chalk:-0.5>\nSteps: 1")
    assert f'Lora hashes: "ink: {digest}, chalk: ' in text
    found = found_in_infotext(text)
    assert run("generate", found.prompt, *SMALL, *folder, "-o", "again.png")[0] == 0
    assert np.array_equal(pixels("again.png"), pixels("fox.png"))


def test_what_a_file_is(run: Any, tmp_path: Path) -> None:
    loras = two_adapters(tmp_path / "loras")
    status, out, _ = run("lora", "info", str(loras / "ink.safetensors"))
    assert status == 0
    for words in ("LoRA, rank 4, on 49 linears", "seedling-ternary", "Words     inky\\x1b[31m", "Not ternary"):
        assert (words in out) != words.startswith("Not")
    told = json.loads(run("lora", "info", "chalk", "--loras", str(loras), "--json")[1])
    assert (told["name"], told["fits"]) == ("chalk", ["seedling-ternary", "seedling-binary"])
    assert told["sha256"] == hashlib.sha256((loras / "chalk" / "adapter_model.safetensors").read_bytes()).hexdigest()
    other = {
        f"double_blocks.{n}.img_attn.qkv.lora_{s}.weight": np.ones((3, 3), np.float32) for n in range(19) for s in "AB"
    }
    status, out, _ = run("lora", "info", str(saved(loras / "other.safetensors", other)))
    assert status == 0
    assert "Made for" in out
    assert "FLUX.1: 19 double blocks" in out
    assert "no model that is on this machine" in out
    assert "Does not fit ternary, binary, klein, " in out


def test_a_file_for_models_that_are_not_here(run: Any, loras: Path) -> None:
    """Neither useless nor, where a half of it is missing, whole."""
    good = lora_tensors(transformer_config("bonsai-4b").linears(), rank=1, only=["transformer_blocks.0.attn.to_q"])
    words = ("lora", "info", str(saved(loras / "style.safetensors", good)))
    status, out, _ = run(*words)
    assert (status, "Kind       LoRA, rank 1, on 1 linears" in out) == (0, True)
    assert "Would fit  ternary, binary, klein, " in out
    assert (
        ", which can be downloaded\nDoes not fit seedling-ternary, seedling-binary: made for FLUX.2 [klein] 4B" in out
    )
    told = json.loads(run(*words, "--json")[1])
    assert (told["fits"], "klein" in told["would_fit"]) == ([], True)
    saved(loras / "style.safetensors", dict(list(good.items())[:1]))
    out = run(*words)[1]
    assert "Would fit" not in out
    assert "klein-base-4bit: transformer_blocks.0.attn.to_q has only one half of what makes a change" in out
    assert (
        "Does not fit any model: there is no adapter in it"
        in run("lora", "info", str(saved(loras / "o.safetensors", {})))[1]
    )


def test_what_cannot_be_used_is_one_sentence(run: Any, loras: Path) -> None:
    folder = ("--loras", str(loras))
    (loras / "broken.safetensors").write_bytes(b"x" * 100)
    for words, said in {
        ("--lora", "inc"): "--lora: there is no adapter called 'inc' here; did you mean ink?",
        (
            "--lora",
            "inc.safetensors",
        ): f"--lora: there is no file 'inc.safetensors' here, and none of that name in {loras};"
        " did you mean ink.safetensors?",
        ("--lora", "broken"): "broken.safetensors: not a whole safetensors file",
        ("--lora", "ink", "--lora", "INK"): "--lora: ink is named twice; name it once, with one strength",
        ("--lora", "../loras/nothing.safetensors"): "../loras/nothing.safetensors: there is no such file",
    }.items():
        status, out, err = run("generate", "a fox", *SMALL, *folder, *words)
        assert (status, out) == (1, "")
        assert said in err.splitlines()[-1]
    status, _, err = run("generate", "a fox <lora:ink:much>", *SMALL, *folder)
    assert (status, "<lora:ink:much> has no strength that is a number" in err) == (1, True)
    status, _, err = run("generate", "a fox", "--lora", "ink=11")
    assert (status, "from -10 to 10" in err) == (2, True)
    assert run("generate", "<lora:ink:1>", *SMALL, *folder)[0] == 1  # no prompt is left


def test_the_folder_lists_what_is_in_it(loras: Path) -> None:
    (loras / "notes.txt").write_text("x")
    (loras / ".hidden.safetensors").write_bytes(b"")
    inner = saved(loras / "more" / "ink.safetensors", {})
    deep = saved(loras / "more" / "deep" / "deeper.safetensors", {})
    assert [(one.name, one.path.parent) for one in listed(loras)] == [("chalk", loras / "chalk"), ("ink", loras)]
    assert inner.is_file()
    assert deep.is_file()
    assert listed(loras / "nowhere") == []
