"""Pictures that Python changes know the steps that led to them, as those of the command line do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.cli.main import main
from bonsai_mlx.images.metadata import read

SMALL: dict[str, Any] = {"seed": 5, "steps": 1, "width": 64, "height": 64}
RIGHT = Image.fromarray(np.repeat(np.uint8([[0] * 32 + [255] * 32]), 64, 0))


@pytest.fixture
def pipe(narrow_seedlings: None) -> Pipeline:
    """Under the name by which commands find it again."""
    return Pipeline.from_pretrained("seedling")


def operations(path: Path) -> list[str]:
    found = read(path)
    assert found is not None
    assert found.recipe is not None
    return [step["operation"] for step in found.recipe.parameters.get("chain", ())]


def test_a_chain_of_calls_is_made_again_from_its_last_file_alone(pipe: Pipeline, tmp_path: Path) -> None:
    sketch = pipe.generate("a red house", **SMALL)
    night = pipe.edit(sketch.image, "a red house at night", strength=0.6, seed=6, steps=1)
    night.save(tmp_path / "night.png")
    star = pipe.edit(tmp_path / "night.png", "a star", mask=RIGHT, seed=7, steps=1)
    star.save(tmp_path / "star.png")
    wide = pipe.edit(star.image, "a meadow", extend=(64, 0, 0, 0), seed=8, steps=1)
    pipe.enlarge(wide.image, 2, method="refine", prompt="a star", seed=9, steps=1).save(tmp_path / "large.png")
    assert operations(tmp_path / "night.png") == ["draw"]
    assert operations(tmp_path / "star.png") == ["draw", "draw"]
    assert operations(tmp_path / "large.png") == ["draw"] * 4
    alone = (tmp_path / "large.png").rename(tmp_path / "alone.png")
    for name in ("night.png", "star.png"):
        (tmp_path / name).unlink()
    assert main(["again", str(alone), "-o", str(tmp_path / "again.png"), "--quiet"]) == 0
    with Image.open(alone) as first, Image.open(tmp_path / "again.png") as second:
        assert first.size == (256, 128)
        assert first.tobytes() == second.tobytes()


def test_pictures_of_elsewhere_begin_a_chain(pipe: Pipeline, tmp_path: Path) -> None:
    photo = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    pipe.edit(photo, "a red house", strength=0.6, seed=6, steps=1).save(tmp_path / "changed.png")
    assert operations(tmp_path / "changed.png") == []


def test_steps_of_its_latest_pictures_are_kept(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bonsai_mlx.pipeline._STEPS_KEPT", 1)
    first, second = (pipe.generate("a red house", **SMALL | {"seed": seed}) for seed in (1, 2))
    for name, result, count in (("new", second, 1), ("old", first, 0)):
        pipe.enlarge(result.image).save(tmp_path / f"{name}.png")
        assert len(operations(tmp_path / f"{name}.png")) == count


def test_what_is_transparent_is_enlarged_as_it_is_and_made_again(pipe: Pipeline, tmp_path: Path) -> None:
    logo = Image.effect_noise((72, 64), 90).convert("RGBA")
    logo.putalpha(Image.linear_gradient("L").resize((72, 64)))
    logo.save(tmp_path / "logo.png")
    twice = pipe.enlarge(tmp_path / "logo.png")
    assert (twice.image.mode, twice.image.size, twice.notes) == ("RGBA", (144, 128), ())
    four = pipe.enlarge(twice.image)
    edited = pipe.edit(four.image, "a star", strength=0.5, seed=3, steps=1)
    assert edited.image.mode == "RGB"
    assert edited.notes == ("init: its transparent parts are laid on white",)
    edited.save(tmp_path / "edited.png")
    assert operations(tmp_path / "edited.png") == ["enlarge", "enlarge"]
    words = ["run", str(tmp_path / "edited.png"), "--input", str(tmp_path / "logo.png"), "--quiet"]
    assert main([*words, "-o", str(tmp_path / "again.png")]) == 0
    with Image.open(tmp_path / "again.png") as again:
        assert again.tobytes() == edited.image.tobytes()


def test_what_was_done_to_pictures_is_told(pipe: Pipeline) -> None:
    photo = Image.effect_noise((96, 64), 90)
    tall = Image.new("L", (64, 96), 255)
    result = pipe.edit(photo, "a star", mask=tall, references=[photo.convert("RGBA")], seed=3, steps=1)
    assert result.notes == ("the mask has another shape than the picture (64x96 and 96x64) and is stretched to it",)
