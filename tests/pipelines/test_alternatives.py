"""What a prompt with alternatives stands for."""

from __future__ import annotations

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.alternatives import MAX_DEPTH, MAX_PROMPTS, expand, has_alternatives, parse

CASES = {
    "a red house": ["a red house"],
    "a {red|blue} house": ["a red house", "a blue house"],
    "{one|two} {red|blue}": ["one red", "one blue", "two red", "two blue"],
    "{a {big|small} red|blue} house": ["a big red house", "a small red house", "blue house"],
    "a {very |}big house": ["a very big house", "a big house"],
    "a {very|} big house": ["a very big house", "a big house"],
    "a house{ at dawn|}, detailed": ["a house at dawn, detailed", "a house, detailed"],
    "a house {at dawn|}, detailed": ["a house at dawn, detailed", "a house, detailed"],
    "{red| red|blue}": ["red", "blue"],
    "a { red | blue } house": ["a red house", "a blue house"],
    "{a} house": ["{a} house"],
    "a {red|blue house": ["a {red|blue house"],
    "a red|blue} house": ["a red|blue} house"],
    "{{red|blue}} house": ["{red} house", "{blue} house"],
    r"a \{red\|blue\} house \\ \n": ["a {red|blue} house \\ \\n"],
    r"{a\|b|c}": ["a|b", "c"],
    "{ 家 | 城 }": ["家", "城"],
    "{": ["{"],
    "\\": ["\\"],
    "a {b {c|d} e": ["a {b c e", "a {b d e"],
}


def test_every_prompt_that_it_stands_for() -> None:
    for prompt, expected in CASES.items():
        assert expand(prompt) == expected, prompt
        assert has_alternatives(prompt) == (len(expected) > 1), prompt


def test_the_outermost_choices_are_one_list_each() -> None:
    assert parse("a {big {red|blue}|small} {cat|dog}").choices == (("big red", "big blue", "small"), ("cat", "dog"))


def test_too_many_and_too_deep() -> None:
    for prompt in ("{a|b|c|d}" * 5, "{" + "{a|b|c|d}" * 5 + "|e}", "{" * (MAX_DEPTH + 1) + "a|b"):
        with pytest.raises(RequestError, match="prompt") as caught:
            expand(prompt)
        assert caught.value.field == "prompt"
    assert len(expand("{" + "|".join(map(str, range(MAX_PROMPTS))) + "}")) == MAX_PROMPTS
    assert expand("{}" * 16_000) == ["{}" * 16_000]
