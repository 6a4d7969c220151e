"""A recipe survives its JSON exactly, and JSON that is no recipe is refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from bonsai_mlx.images.recipe import Recipe, parse_json_object
from bonsai_mlx.version import __version__

from ..recipes import RECIPES, a_recipe


@given(RECIPES)
def test_any_recipe_round_trips(recipe: Recipe) -> None:
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert Recipe.from_json(text.decode("utf-8")) == recipe
    assert Recipe.from_json(text).to_json() == text


def test_json_is_canonical() -> None:
    assert a_recipe(repo=None, prompt='a "red"\nfox 🦊', app_version="1.2.3").to_json().decode() == (
        '{"schema":1,"prompt":"a \\"red\\"\\nfox 🦊","seed":7,"steps":4,"width":512,"height":256,"variant":"ternary",'
        '"model":"ternary","revision":"2c24c81b","scheduler":"flow-match-euler","shift":2.02,"app":"bonsai-mlx",'
        '"app_version":"1.2.3","mlx":"0.32.4","timings":{"encode":0.5,"total":5.78},"peak_memory_bytes":1900000000}'
    )


def test_defaults_name_this_program() -> None:
    recipe = Recipe("a fox", seed=1, steps=4, width=64, height=64, variant="binary", model="seedling-binary")
    assert (recipe.app, recipe.app_version, recipe.schema) == ("bonsai-mlx", __version__, 1)
    assert recipe.model_title == "seedling-binary"
    assert a_recipe().model_title == "bonsai-image-ternary-4B-mlx-2bit"


def test_fields_of_later_versions_are_ignored() -> None:
    data = json.loads(a_recipe().to_json()) | {"hologram": [1, 2]}
    assert Recipe.from_json(json.dumps(data)) == a_recipe()


def test_an_absent_value_may_also_be_null() -> None:
    data = json.loads(a_recipe().to_json()) | {"repo": None, "shift": None}
    assert Recipe.from_json(json.dumps(data)) == a_recipe(repo=None, shift=None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", 7),
        ("prompt", ["a fox"]),
        ("seed", "7"),
        ("seed", 7.0),
        ("seed", True),
        ("seed", 10**400),
        ("steps", None),
        ("width", [512]),
        ("variant", {}),
        ("repo", 1),
        ("shift", "2"),
        ("shift", float("nan")),
        ("shift", float("inf")),
        ("shift", 10**400),
        ("timings", None),
        ("timings", {"total": "5"}),
        ("timings", [["total", 5]]),
        ("peak_memory_bytes", 1.5),
        ("truncated", "yes"),
        ("truncated", 1),
        ("schema", 2),
        ("schema", "1"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(field: str, value: object) -> None:
    data = json.loads(a_recipe().to_json()) | {field: value}
    with pytest.raises(ValueError, match=field):
        Recipe.from_json(json.dumps(data))


@pytest.mark.parametrize("field", ["schema", "prompt", "seed", "steps", "width", "height", "variant", "model"])
def test_a_missing_field_is_named(field: str) -> None:
    data = json.loads(a_recipe().to_json())
    del data[field]
    with pytest.raises(ValueError, match=field):
        Recipe.from_json(json.dumps(data))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '"a"', b"\xff", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000]
)
def test_what_is_no_object_is_none(text: str | bytes) -> None:
    assert parse_json_object(text) is None
    with pytest.raises(ValueError, match="not a JSON object"):
        Recipe.from_json(text)


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        a_recipe(shift=float("nan")).to_json()
