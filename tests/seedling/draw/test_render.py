"""The drawings: repeatable, different where they may differ, as large as asked."""

import itertools
import random

import numpy as np
import pytest

from seedling.draw import layouts, places
from seedling.draw.canvas import Pen, enlarge, limb_outline, shrink, smooth
from seedling.draw.landscape import COLOURED, LANDS, SKIES
from seedling.draw.look import Look
from seedling.draw.palette import COLOURS, KINDS, NAMES, TINTS, ground, mix
from seedling.draw.render import render
from seedling.draw.scene import Place, Scene, Subject
from seedling.draw.subjects import draw
from seedling.draw.subjects_bonsai import FORMS, SEASON_COLOUR


def _array(scene: Scene, size: int = 128) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(render(scene, size), np.float64)


def test_shrinking_an_untouched_canvas_gives_the_same_picture() -> None:
    picture = render(Scene("view", (), place=Place("sunset", "lake", "mountains")), 64)
    assert np.array_equal(np.asarray(shrink(enlarge(picture))), np.asarray(picture))


def test_a_curve_passes_through_its_points() -> None:
    points = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
    assert smooth(points, steps=4)[::4] == points
    assert smooth(points, closed=False)[-1] == points[-1]


def test_a_limb_is_as_wide_as_asked() -> None:
    ring = limb_outline([(0.0, 0.0), (0.0, 1.0)], (0.4, 0.2))
    assert abs(ring[0][0] - ring[3][0]) == pytest.approx(0.4)
    assert abs(ring[1][0] - ring[2][0]) == pytest.approx(0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fills_its_square_and_no_more(kind: str) -> None:
    canvas = enlarge(render(Scene("single", (), tint="pearl"), 128))
    before = np.asarray(canvas).copy()
    draw(kind, Pen(canvas, 256, 256, 160), Look(COLOURS["red"], COLOURS["white"], seed=1))
    rows, columns = np.nonzero((np.asarray(canvas) != before).any(-1))
    margin = 24  # an outline lies outside the square
    assert min(rows.min(), columns.min()) >= 256 - 160 - margin
    assert max(rows.max(), columns.max()) <= 256 + 160 + margin
    assert np.ptp(rows) > 140
    assert np.ptp(columns) > 140


@pytest.mark.parametrize(("form", "season"), [*zip(FORMS, itertools.cycle(["", *SEASON_COLOUR]), strict=False)])
def test_bonsai_forms_and_seasons_differ(form: str, season: str) -> None:
    tree = Subject("bonsai", SEASON_COLOUR.get(season, "green"), form=form, season=season, r=0.4)
    other = Subject("bonsai", "green", form="informal" if form != "informal" else "cascade", r=0.4)
    assert np.abs(_array(Scene("single", (tree,))) - _array(Scene("single", (other,)))).mean() > 2


def test_every_sky_and_every_land_can_be_drawn_and_is_its_own() -> None:
    """They are drawn one after the other and know nothing of each other: a pair of each is enough."""
    skies = [*SKIES, *COLOURED]
    pictures = [
        _array(Scene("view", (), place=Place(sky, land, "mountains", body="sun", clouds=True), seed=3))
        for sky, land in zip(skies, itertools.cycle(LANDS), strict=False)
    ]
    assert len(skies) >= len(LANDS)
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).mean() > 1


@pytest.mark.parametrize("weather", ["rain", "snow", "mist", "petals", "leaves"])
def test_weather_shows(weather: str) -> None:
    calm, rough = (Scene("view", (), place=Place("day", "meadow", weather=w), seed=3) for w in ("", weather))
    assert np.abs(_array(calm) - _array(rough)).mean() > 0.5


def test_the_same_scene_is_the_same_picture() -> None:
    scene = places.bonsai_scene(random.Random(4))
    assert np.array_equal(_array(scene), _array(scene))


def test_what_the_words_leave_open_varies() -> None:
    rng = random.Random(0)
    scenes = [layouts.single(rng, layouts.dressed(rng, "circle", colour="red"), ground="") for _ in range(8)]
    pictures = [_array(scene) for scene in scenes]
    apart = [np.abs(a - b).mean() for k, a in enumerate(pictures) for b in pictures[:k]]
    assert np.mean(apart) >= 6


def test_grounds_are_told_apart_from_each_other_and_from_the_tints() -> None:
    papers = [ground(name) for name in NAMES] + list(TINTS.values())
    apart = [sum(abs(a - b) for a, b in zip(p, q, strict=True)) for k, p in enumerate(papers) for q in papers[:k]]
    assert min(apart) >= 14
    assert mix((0, 0, 0), (10, 20, 30), 0.5) == (5, 10, 15)
