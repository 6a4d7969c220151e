"""The settings of another picture, as far as they hold here."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonsai_mlx.cli.like import found_in, settings_like
from bonsai_mlx.errors import BonsaiError
from bonsai_mlx.images.metadata import encode_png

from ..recipes import a_recipe


def ours(path: Path, **changes: object) -> Path:
    path.write_bytes(encode_png(Image.new("RGB", (64, 64)), a_recipe(**changes)))
    return path


def theirs(path: Path, infotext: str) -> Path:
    info = PngInfo()
    info.add_text("parameters", infotext)
    Image.new("RGB", (64, 64)).save(path, pnginfo=info)
    return path


def test_of_our_own_pictures_everything_holds(tmp_path: Path) -> None:
    found, notes = settings_like(ours(tmp_path / "a.png"))
    assert found == {"prompt": "a red fox", "seed": 7, "steps": 4, "width": 512, "height": 256, "model": "ternary"}
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("settings", "expected", "note"),
    [
        ("Steps: 4, Seed: 7, Size: 512x512, Model: other", {"steps": 4, "seed": 7, "width": 512}, "Its model, other"),
        ("Steps: 30, Seed: 7, Size: 512x512", {"seed": 7}, "Its 30 steps are left out"),
        ("Steps: 4, Seed: 99999999999, Size: 512x512", {"steps": 4}, "Its seed, 99999999999, is left out"),
        ("Steps: 4, Seed: 7, Size: 500x375", {"width": 496, "height": 368}, "becomes 496x368"),
        ("Steps: 4, Seed: 7, Size: 4096x512", {"seed": 7}, "Its size, 4096x512, is left out"),
    ],
)
def test_of_others_what_makes_sense(settings: str, expected: dict[str, int], note: str, tmp_path: Path) -> None:
    path = theirs(tmp_path / "a.png", f"a fox\nNegative prompt: blurry\n{settings}")
    found, notes = settings_like(path)
    assert found["prompt"] == "a fox"
    assert found | expected == found
    assert any(note in told for told in notes)
    assert any("negative prompt is left out" in told for told in notes)
    for name, words in (("seed", "Its seed"), ("steps", "steps are left out")):
        assert (name in found) != any(words in told for told in notes)


def test_a_model_that_is_not_known_is_named(tmp_path: Path) -> None:
    found, notes = settings_like(ours(tmp_path / "a.png", model="mine", repo=None))
    assert "model" not in found
    assert any("Its model, mine, is not known here" in told for told in notes)


@pytest.mark.parametrize(("data", "words"), [(b"text", "a.png: "), (None, "carries no settings")])
def test_what_says_nothing(data: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if data is None:
        Image.new("RGB", (8, 8)).save(path)
    else:
        path.write_bytes(data)
    with pytest.raises(BonsaiError, match=words):
        found_in(path)
