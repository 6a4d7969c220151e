"""The evaluation's prompts: different, repeatable, never among the training scenes."""

import random

import pytest

from seedling.draw.holdout import is_held_out
from seedling.judge import prompts


@pytest.mark.parametrize("category", prompts.CATEGORIES)
def test_a_hundred_different_prompts(category: str) -> None:
    found = prompts.held_out(category, 100)
    assert len({p.text for p in found}) == 100
    assert found == prompts.held_out(category, 100)
    assert found != prompts.held_out(category, 100, seed=1)


@pytest.mark.parametrize("category", ["two", "counting", "colors", "position", "color_attr"])
def test_no_training_scene_could_be_an_answer(category: str) -> None:
    rng = random.Random(0)
    assert all(is_held_out(prompts.clean_scene(p, rng)) for p in prompts.held_out(category, 60))


def test_named_grounds_of_single_things_are_held_out() -> None:
    rng = random.Random(0)
    named = [p for p in prompts.held_out("single", 100) if p.expected.ground]
    assert named
    plain = (prompts.clean_scene(p, rng) for p in named)
    assert all(prompts.holdout.ground(s.subjects[0].kind, s.ground) for s in plain)


def test_unknown_categories_and_too_many_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown category"):
        prompts.held_out("free", 3)
    with pytest.raises(ValueError, match="not 61"):
        prompts.free(61)
    with pytest.raises(ValueError, match="different prompts"):
        prompts.held_out("single", 5000)
