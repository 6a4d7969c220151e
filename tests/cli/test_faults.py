"""What people get wrong on the command line: the option or the file at fault is named, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.images.metadata import read

SEEDLING = ["--model", "seedling", "--quiet"]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of several kinds, none of which is what it is taken for."""
    folder = tmp_path_factory.mktemp("faults")
    values = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "photo.png")
    (folder / "words.txt").write_text("no picture")
    (folder / "bad.json").write_text('{"steps": [\n  {"operation": }]}')
    (folder / "odd.json").write_text('{"steps": [], "stepz": 1}')
    (folder / "rows.jsonl").write_text('{"prompt": "a fox"}\n{"prompt": \n')
    (folder / "idle.jsonl").write_text('{"prompt": "a fox", "strength": 0.4}\n')
    (folder / "broken.safetensors").write_bytes(b"\xff" * 64)
    (folder / "old.pt").write_bytes(b"")
    (folder / "more/empty").mkdir(parents=True)
    return folder


# words -> exit status, and what the last line says
TOLD: list[tuple[list[str], int, str]] = [
    # not understood at all
    (["genrate", "a fox"], 2, "there is no 'genrate'; did you mean generate?"),
    (["generate", "a fox", "--variant", "terary"], 2, "there is no 'terary'; did you mean ternary?"),
    (["generate", "a fox", "--format", "gif"], 2, "there is no 'gif'; choose one of png, jpeg, webp"),
    (["generate", "a fox", "--seed", "seven"], 2, "--seed: 'seven' is not a whole number"),
    (["generate", "a fox", "--guidance", "much"], 2, "--guidance: 'much' is not a number"),
    (["enlarge", "photo.png", "--by", "x"], 2, "--by: 'x' is not a whole number"),
    (["bench", "--steps", "few"], 2, "--steps: 'few' is not a whole number"),
    (["enlarge", "photo.png", "--variation", "0.2"], 2, "there is no option --variation"),
    # out of bounds: the option, not the field
    (["generate", "a fox", "--steps", "0", *SEEDLING], 1, "--steps: 0 is out of range; give a whole number from 1 to"),
    (["generate", "a fox", "--size", "100x64", *SEEDLING], 1, "--size: the width 100 is not a multiple of 16"),
    (["generate", "a fox", "--variation", "2", *SEEDLING], 1, "--variation: 2.0 is out of range"),
    (["generate", "a fox", "--guidance", "3", *SEEDLING], 1, "--guidance: the model is distilled"),
    (["generate", "a fox", "--negative-prompt", "dull", *SEEDLING], 1, "--negative-prompt: the model is distilled"),
    (["generate", " ", *SEEDLING], 1, "PROMPT: is empty; describe the picture"),
    (
        ["generate", "a fox", "--style", "Comix", *SEEDLING],
        1,
        "--style: there is no style called 'Comix'; did you mean",
    ),
    (["generate", "a fox", "--style", " ", *SEEDLING], 1, "--style: is empty; give the name of a style"),
    (["styles", "--save", " ", "red"], 1, "name: is empty; give the name of a style"),
    (["styles", "--save", "Red", " "], 1, "text: is empty; give its words"),
    (["edit", "photo.png", "a fox", "--strength", "2", *SEEDLING], 1, "--strength: 2.0 is out of range"),
    (["edit", "photo.png", "a fox", "--mask", "photo.png", "--feather", "999", *SEEDLING], 1, "in colours"),
    (["enlarge", "photo.png", "--method", "refine", "--prompt", "x", "--strength", "7", *SEEDLING], 1, "--strength: 7"),
    (["enlarge", "photo.png", "--seed", "3", *SEEDLING], 1, "--seed: is about what is redrawn; give --method refine"),
    (["grid", "a fox", "--axis", "steps=900", *SEEDLING], 1, "--axis steps: 900 is out of range"),
    (["grid", "a fox", "--axis", "variation_seed=1..3", *SEEDLING], 1, "--axis variation_seed: belongs to a variation"),
    (["grid", "a {red|blue fox", *SEEDLING], 1, "PROMPT: the brace before 'red|blue fox' is never closed; close it"),
    (["run", "bad.json", *SEEDLING], 1, "bad.json is no JSON (line 2, column 17: Expecting value)"),
    (["run", "odd.json", *SEEDLING], 1, "odd.json has 'stepz', which is unknown; a pipeline has"),
    (["batch", "rows.jsonl", "--out", "out", *SEEDLING], 1, "rows.jsonl, line 2: it is no JSON (line 1, column 12"),
    (["batch", "idle.jsonl", "--out", "out", *SEEDLING], 1, "idle.jsonl, line 1: strength: is about a picture that is"),
    # files that are not there, or not what they are taken for
    (["edit", "gone.png", "a fox", *SEEDLING], 1, "PICTURE: gone.png cannot be used: there is no such file"),
    (["edit", "photo.png", "a fox", "--reference", "words.txt", *SEEDLING], 1, "--reference: words.txt cannot be used"),
    (["edit", "photo.png", "a fox", "--mask", "photo.png", *SEEDLING], 1, "a mask is black and white"),
    (["generate", "a fox", "--lora", "./gone.safetensors", *SEEDLING], 1, "gone.safetensors: there is no such file"),
    (["generate", "a fox", "--lora", "old.pt", *SEEDLING], 1, "old.pt: files of this type can carry code"),
    (["generate", "a fox", "--lora", "more/empty", *SEEDLING], 1, "more/empty: the folder has no adapter_model.safete"),
    (
        ["generate", "a fox", "--lora", "broken.safetensors", *SEEDLING],
        1,
        "broken.safetensors: not a whole safetensors",
    ),
    (["generate", "a fox", "--model", "./gone", "--quiet"], 1, "gone: there is no such file or folder"),
    (["generate", "a fox", "--model", "gone.gguf", "--quiet"], 1, "gone.gguf: there is no such file or folder"),
    (
        ["generate", "a fox", "--model", "words.txt", "--quiet"],
        1,
        "words.txt: a checkpoint is a folder, or a file that",
    ),
    (["morph", "photo.png", "photo.png", *SEEDLING], 1, "OTHER: pictures are morphed by models that"),
    (
        ["morph", "photo.png", "photo.png"],
        1,
        "no model that draws in bits is here; name the folder of one",
    ),
    (["encode", "photo.png"], 1, "no model whose latents are bits is here; name the folder of one with --model"),
    (["decode", "fox.txt"], 1, "fox.txt: there is no such file, and it is no code either"),
    (["decode", "AAAA"], 1, "CODE: is no code of a picture: it does not begin as one"),
    (
        ["lora", "info", "ink.safetensors"],
        1,
        "FILE: there is no file 'ink.safetensors' here, and none of that name in ",
    ),
    (["lora", "info", "ink"], 1, "FILE: there is no adapter called 'ink' here"),
    (["generate", "a fox", "--memory-limit", "1MB", *SEEDLING], 1, "a memory limit of 1.0 MB is too small for"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_downloaded")
def test_what_is_wrong_is_named_as_it_was_typed(run: Any, things: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_STYLES_FILE", str(things / "styles.json"))
    monkeypatch.chdir(things)
    before = sorted(things.rglob("*"))
    for words, status, told in TOLD:
        found, out, err = run(*words)
        last = err.strip().splitlines()[-status]  # behind a mistake in the words stands where help is
        assert (found, told in last) == (status, True), f"{words}: {last}"
        assert (out, "Traceback" in err) == ("", False), words
    assert sorted(things.rglob("*")) == before, "nothing is left behind by what was refused"


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_downloaded")
def test_options_of_a_batch_hold_for_rows_that_say_nothing(run: Any) -> None:
    Path("rows.jsonl").write_text(
        '{"prompt": "a red star", "steps": 1}\n{"prompt": "a star", "variation_amount": 0.1}\n'
    )
    words = ["--steps", "1", "--size", "64x64", "--variation", "0.4", "--variation-seed", "7", *SEEDLING]
    status, _, err = run("batch", "rows.jsonl", "--out", "pictures", *words)
    assert status == 0, err
    found = [read(path) for path in sorted(Path("pictures").glob("*.png"))]
    amounts = {one.recipe.parameters["variation_amount"] for one in found if one and one.recipe}
    assert amounts == {0.4, 0.1}


HELP = {
    "mcp": ["mcpServers", "BONSAI_TOKEN", "scripts/setup --extra mcp"],
    "download": ["klein-base", "ternary", "Hub repository", "both", "not downloaded twice"],
    "delete": ["klein-8bit"],
    "grid": ["variation_amount=0.1,0.3", "{red|{dark|light} blue}", "\\{ is a brace"],
    "batch": ["guidance or variation_amount"],
}


@pytest.mark.parametrize("command", HELP)
def test_help_says_what_a_command_does(command: str) -> None:
    """In a process of its own, as `mcp` becomes another program; without its package the help is there too."""
    words = [sys.executable, "-m", "bonsai_mlx", command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "400"})
    for said in HELP[command]:
        assert said in done.stdout


def test_the_next_step_after_setup_is_the_start_of_the_readme() -> None:
    root = Path(__file__).parents[2]
    readme, setup = ((root / name).read_text("utf-8") for name in ("README.md", "scripts/setup"))
    for step in ("scripts/server", "/bonsai-mlx download ternary"):
        assert step in readme
        assert step in setup.split('"Next:')[1]
