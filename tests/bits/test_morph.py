"""Pictures between two: whose bits they have, and what is said and repeated of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import Pipeline
from bonsai_mlx.bits.codec import Codec
from bonsai_mlx.cli.main import main
from bonsai_mlx.errors import RequestError
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import read
from bonsai_mlx.request import ResolvedDraw

LITTLE: dict[str, Any] = {"strength": 0.05, "steps": 16, "seed": 3}  # so that what is mixed stays to be seen


def picture(seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def test_each_bit_is_one_pictures_or_the_others(pipe: Pipeline) -> None:
    one, other = -mx.ones((1, 40, 100)), mx.ones((1, 40, 100))
    request = ResolvedDraw("a fox", 5, 4, 64, 64, morph_weight=0.3)
    mixed = np.array(pipe.model.morphed(request, one, other))  # type: ignore[attr-defined]
    assert set(np.unique(mixed)) == {-1, 1}
    assert float((mixed == 1).mean()) == pytest.approx(0.3, abs=0.03)
    again = np.array(pipe.model.morphed(request, one, other))  # type: ignore[attr-defined]
    assert np.array_equal(mixed, again)


@pytest.mark.slow
def test_the_weight_says_how_much_is_of_the_other(pipe: Pipeline, folder: Path) -> None:
    one, other = picture(1), picture(2, (96, 64))  # which is cropped
    codec = Codec.from_pretrained(folder)
    ends = codec.encode(one), codec.encode(other.crop((16, 0, 80, 64)))
    apart = ends[0].distance(ends[1])
    assert apart
    far = []
    for weight in (0.0, 0.5, 1.0):
        made = pipe.morph(one, other, "a fox", weight=weight, **LITTLE)
        assert made.code is not None
        code = BitCode.of_text(made.code)
        far.append((code.distance(ends[0]) or 0, code.distance(ends[1]) or 0))
    assert far[0][0] < 0.2 * apart
    assert far[2][1] < 0.2 * apart
    assert far[0][0] < far[1][0] < far[2][0]
    recipe = pipe.morph(one, other, weight=0.25, **LITTLE).recipe
    assert recipe is not None
    assert (recipe.parameters["morph_weight"], recipe.parameters["unconditional"]) == (0.25, True)


def test_what_it_is_no_use_for_is_refused(pipe: Pipeline) -> None:
    seedling = Pipeline.from_pretrained("seedling")
    with pytest.raises(RequestError, match="morph: pictures are morphed by models that draw in bits"):
        seedling.generate("a fox", init_image=picture(1), morph=picture(2), strength=0.3)
    with pytest.raises(RequestError, match="morph: is of whole pictures"):
        pipe.generate("a fox", init_image=picture(1), morph=picture(2), mask=Image.new("L", (64, 64), 255))
    with pytest.raises(RequestError, match="morph: belongs to a picture that is changed"):
        pipe.generate("a fox", morph=picture(2))
    with pytest.raises(RequestError, match="morph_weight: is about a picture to morph into"):
        pipe.generate("a fox", init_image=picture(1), morph_weight=0.2)


def test_other_pictures_recipes_say_nothing_of_it(pipe: Pipeline) -> None:
    recipe = pipe.generate("a fox", init_image=picture(1), **LITTLE).recipe
    assert recipe is not None
    assert not {"morph", "morph_weight"} & recipe.parameters.keys()


@pytest.mark.slow
def test_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(1).save("one.png")
    picture(2).save("two.png")
    own = ("--model", str(folder), "--seed", "3")
    how = ("--weight", "0.25", "--strength", "0.4", "--steps", "5")
    assert main(["morph", "one.png", "two.png", *how, *own, "-o", "between.png"]) == 0
    found = read(Path("between.png"))
    assert found is not None
    assert found.recipe is not None
    said = found.recipe.parameters
    assert (said["morph_weight"], said["strength"], said["unconditional"]) == (0.25, 0.4, True)
    capsys.readouterr()
    assert main(["show", "between.png"]) == 0
    assert "Morphed into" in capsys.readouterr().out
    assert main(["again", "between.png", "--model", str(folder), "-o", "again.png"]) == 0
    assert Image.open("again.png").tobytes() == Image.open("between.png").tobytes()
    Path("two.png").unlink()
    assert main(["again", "between.png", "--model", str(folder), "-o", "lost.png"]) == 1
    assert "morph (" in capsys.readouterr().err
    picture(2).save("two.png")
    assert main(["morph", "one.png", "two.png", "--prompt", "a fox", *own, "--steps", "2", "-o", "fox.png"]) == 0
    worded = read(Path("fox.png"))
    assert worded is not None
    assert worded.prompt == "a fox"
    assert main(["morph", "one.png", "two.png", "--weight", "2", *own]) == 1
    assert "--weight:" in capsys.readouterr().err
