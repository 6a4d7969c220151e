"""What training sees: every kind of scene, nothing held out, nothing too small or outside the picture."""

import random
from collections import Counter
from itertools import combinations

from seedling.draw import holdout, layouts
from seedling.draw.palette import KINDS, NAMES
from seedling.draw.sampling import sample
from seedling.draw.scene import Scene, Subject


def _scenes(count: int) -> list[Scene]:
    rng = random.Random(11)
    return [sample(rng) for _ in range(count)]


def test_training_never_shows_what_is_held_out() -> None:
    for scene in _scenes(1500):
        assert not holdout.is_held_out(scene)
        assert not any(holdout.pair(a.kind, b.kind) for a, b in combinations(scene.subjects, 2))


def test_every_kind_and_layout_occurs() -> None:
    scenes = _scenes(1500)
    layouts_seen = Counter(scene.layout for scene in scenes)
    assert {"single", "corner", "count", "left", "right", "above", "below", "two", "list", "view", "alone", "together",
            "bonsai"} <= set(layouts_seen)  # fmt: skip
    assert {s.kind for scene in scenes for s in scene.subjects} == set(KINDS)


def test_subjects_lie_inside_and_do_not_touch() -> None:
    for scene in _scenes(800):
        for s in scene.subjects:
            assert s.r <= s.cx <= 1 - s.r
            assert s.cy - s.r >= -0.01
        if scene.place is None:
            for a, b in combinations(scene.subjects, 2):
                assert max(abs(a.cx - b.cx), abs(a.cy - b.cy)) > a.r + b.r


def test_counted_things_are_large_enough() -> None:
    rng = random.Random(2)
    for number in (2, 3, 4):
        for _ in range(20):
            assert all(2 * s.r * 256 >= 56 for s in layouts.counted(rng, number).subjects)


def test_something_is_held_out_of_every_sort_but_not_much() -> None:
    pairs = sum(holdout.pair(a, b) for a, b in combinations(KINDS, 2))
    counts = sum(holdout.count(k, n, c) for k in KINDS for n in (2, 3, 4) for c in NAMES)
    colours = sum(holdout.colour(k, c) for k in KINDS for c in NAMES)
    assert 15 <= pairs <= 40
    assert 40 <= counts <= 90
    assert 12 <= colours <= 30


def test_pairs_are_held_out_in_either_order_and_natural_colours_never() -> None:
    a, b = next(pair for pair in combinations(KINDS, 2) if holdout.pair(*pair))
    assert holdout.pair(b, a)
    both = Scene("left", (Subject(a, "red"), Subject(b, "red")))
    assert holdout.is_held_out(both)
    assert not holdout.colour("tree", "green")
