"""Every kind is taken for itself and for nothing else; a drawing that has lost its shape is taken for little."""

import random

import numpy as np
import pytest
from PIL import Image

from seedling.draw.palette import KINDS, contrast_accent
from seedling.draw.render import render
from seedling.draw.scene import Scene, Subject
from seedling.draw.subjects_bonsai import FORMS
from seedling.judge.recognition import recognise
from seedling.judge.segmentation import Region, pixels_of, regions
from seedling.judge.validation import shaky


def _drawn(kind: str, seed: int, form: str = "") -> Image.Image:
    chance = random.Random(f"{kind} {seed}")
    subject = Subject(
        kind, "blue", r=chance.uniform(0.15, 0.34), form=form or ("informal" if kind == "bonsai" else ""), seed=seed,
        accent=contrast_accent(kind, "blue"), mirror=chance.random() < 0.5,
    )  # fmt: skip
    return render(Scene("single", (subject,)))


def _region(picture: Image.Image) -> Region:
    return regions(pixels_of(picture))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_looks_like_its_kind_and_like_no_other(kind: str) -> None:
    for seed in (100, 101, 102):
        seen = recognise(_region(_drawn(kind, seed)))
        assert seen.kind == kind
        assert [other for other in KINDS if seen.looks_like(other)] == [kind]


def test_a_shaky_drawing_is_still_taken_for_its_kind_and_seldom_for_another() -> None:
    seen = {
        (kind, seed): recognise(_region(shaky(_drawn(kind, seed), seed))) for kind in KINDS for seed in (100, 101, 102)
    }
    assert [key for key, one in seen.items() if not one.looks_like(key[0])] == []
    others = [
        (kind, other) for (kind, _), one in seen.items() for other in KINDS if one.looks_like(other) and other != kind
    ]
    assert len(others) <= len(seen) / 10


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_bonsai_are_told_apart(form: str) -> None:
    seen = recognise(_region(_drawn("bonsai", 100, form)))
    assert (seen.kind, seen.form) == ("bonsai", form)


def test_a_drawing_cut_in_half_is_not_taken_for_the_whole() -> None:
    """Half a cat is as high and half as wide: its outline is another."""
    pixels = np.asarray(_drawn("cat", 100)).copy()
    region = _region(Image.fromarray(pixels))
    middle = round(region.cx * pixels.shape[1])
    pixels[:, middle:] = pixels[:, :1]
    assert not recognise(_region(Image.fromarray(pixels))).looks_like("cat")
