"""The A1111 grammar: what is written can be read, and the traps that it has are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.images.infotext import Infotext, format_infotext, found_in_infotext, parse_infotext
from bonsai_mlx.images.recipe import Recipe

from ..ending import must_end
from ..recipes import ANY_TEXT, RECIPES, a_recipe

PARAMS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 512x768, Model: dream"


def test_order_and_form_are_those_of_a1111() -> None:
    assert format_infotext(a_recipe(app_version="1.2.3")) == (
        "a red fox\nSteps: 4, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Seed: 7, Size: 512x256, "
        "Model: bonsai-image-ternary-4B-mlx-2bit, Version: bonsai-1.2.3"
    )


def test_a_variation_is_written_as_a1111_does() -> None:
    varied = format_infotext(a_recipe(parameters={"variation_amount": 0.25, "variation_seed": 9}))
    found = found_in_infotext(varied).extra
    assert (found["Variation seed"], found["Variation seed strength"]) == ("9", "0.25")


@given(RECIPES)
def test_what_we_write_gives_back_the_settings(recipe: Recipe) -> None:
    found = found_in_infotext(format_infotext(recipe))
    read = (found.seed, found.steps, found.width, found.height)
    assert read == (recipe.seed, recipe.steps, recipe.width, recipe.height)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red fox",
        "",
        "two\nlines",
        "three\n\nlines",
        "(weighted:1.3), [a|b], <lora:x:1>, 100%",
        "commas, colons: and \"quotes\", 'single' \\ back",
        "🦊 狐 ثعلب",
        "Steps: 1, Seed: 2, Size: 3x4",
        "a fox\nSteps: 1, Sampler: x, Seed: 2, Size: 3x4",
        "Steps: 99",
    ],
)
def test_prompts_that_survive(prompt: str) -> None:
    found = found_in_infotext(format_infotext(a_recipe(prompt=prompt)))
    assert (found.prompt, found.negative, found.seed, found.steps) == (prompt, "", 7, 4)


@pytest.mark.parametrize(
    ("prompt", "read", "negative"),
    [
        ("  spaces around \n  each line  ", "spaces around\neach line", ""),
        ("a fox\nNegative prompt: dogs\ncats", "a fox", "dogs\ncats"),
        ("Negative prompt: only", "", "only"),
    ],
)
def test_prompts_that_the_grammar_cannot_carry(prompt: str, read: str, negative: str) -> None:
    found = found_in_infotext(format_infotext(a_recipe(prompt=prompt)))
    assert (found.prompt, found.negative, found.seed) == (read, negative, 7)


def test_an_adapter_whose_name_the_grammar_cannot_carry_is_left_out() -> None:
    loras = [{"name": "ink", "strength": 0.8}, {"name": "a:b", "strength": 1.0}]
    text = format_infotext(a_recipe(prompt="a fox", parameters={"loras": loras}))
    assert "<lora:ink:0.8>" in text
    assert "a:b" not in text


def test_a1111s_own_text() -> None:
    text = f"masterpiece, a fox\nin the snow\nNegative prompt: blurry,\nlow quality\n{PARAMS}, Version: v1.10.1"
    found = found_in_infotext(text)
    assert found.prompt == "masterpiece, a fox\nin the snow"
    assert found.negative == "blurry,\nlow quality"
    assert (found.source, found.seed, found.steps, found.width, found.height) == ("a1111", 7, 20, 512, 768)
    assert found.model == "dream"
    assert found.extra == {"Sampler": "Euler a", "CFG scale": "7", "Version": "v1.10.1"}
    assert found.text == text


def test_a_last_line_with_few_pairs_is_prompt() -> None:
    assert parse_infotext("a fox\nSteps: 1, Seed: 2") == Infotext("a fox\nSteps: 1, Seed: 2")
    assert parse_infotext("a fox\nSteps: 1, Seed: 2, Size: 1x1").params == {"Steps": "1", "Seed": "2", "Size": "1x1"}
    assert parse_infotext("a fox") == Infotext("a fox")
    assert parse_infotext(" \n ") == Infotext("")


@pytest.mark.parametrize(
    "value", ["plain", "a, b", "a: b", "a\nb", 'say "x", y', "back\\slash, x", '"quoted"', "é🦊: ,"]
)
def test_values_with_separators_are_quoted(value: str) -> None:
    text = format_infotext(a_recipe(repo=None, model=value))
    assert "\n" not in text.split("\n", 1)[1]
    assert found_in_infotext(text).model == value


def test_pairs_around_something_else_are_found() -> None:
    params = parse_infotext(f'{PARAMS}, stray, "x, Lora hashes: "a: 1, b: 2", Broken: "no end, Version: f2.0').params
    assert params["Lora hashes"] == "a: 1, b: 2"
    assert params["Broken"] == '"no end'
    assert params["Version"] == "f2.0"


@pytest.mark.parametrize("size", ["512", "x", "512x", "-1x5", "512x512x512", "9999999x1", "٥x٥½"])
def test_odd_sizes_are_left_out(size: str) -> None:
    found = found_in_infotext(f"a fox\nSteps: 4, Seed: 7, Size: {size}")
    assert (found.width, found.height) == (None, None)


@pytest.mark.parametrize("seed", ["-1", "7.5", "", "abc", "9" * 21, "9" * 5000, "²"])
def test_odd_seeds_are_left_out(seed: str) -> None:
    assert found_in_infotext(f"a fox\nSteps: 4, Seed: {seed}, Size: 1x1, Model: m").seed is None


@given(ANY_TEXT)
def test_any_text_can_be_parsed(text: str) -> None:
    found = found_in_infotext(text)
    assert found.text == text


@given(st.lists(st.sampled_from(["a: ", '"', "\\", ",", ":", "x", " ", "\n", "Steps: 4, ", "Negative prompt:"])))
def test_any_mixture_of_its_signs_can_be_parsed(pieces: list[str]) -> None:
    parse_infotext("".join(pieces))


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["a", " ", "a ", ":", '"', 'ab:"', 'ab:"\\",', "ab:", 'ab: "x"y,', "\\", "a-/", "\n"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    with must_end():
        parse_infotext((piece * 200_000)[:200_000])


def test_settings_without_steps_begin_with_the_last_line() -> None:
    found = parse_infotext("a fox\nof two lines\nSampler: Euler, Seed: 2, Size: 64x64")
    assert (found.prompt, found.params["Seed"]) == ("a fox\nof two lines", "2")
