"""Values that anyone may have written, as what is wanted of them."""

from __future__ import annotations

from typing import Any

import pytest

from bonsai_mlx.images.values import as_model, as_text, as_whole


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (0, 0),
        (2**64 - 1, 2**64 - 1),
        (2**64, None),
        ("9" * 20, None),
        ("9" * 21, None),
        (-1, None),
        (7.5, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ("seven", None),
        (None, None),
        ([7], None),
    ],
)
def test_whole_numbers(value: Any, whole: int | None) -> None:
    assert as_whole(value) == whole


@pytest.mark.parametrize(("value", "text"), [("a", "a"), ("", ""), (7, ""), (None, ""), (["a"], "")])
def test_texts(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "model"),
    [
        ("klein", "klein"),
        ({"name": "klein"}, "klein"),
        ({"model_name": "klein"}, "klein"),
        ({"name": "", "model_name": "klein"}, "klein"),
        ({"name": 7}, None),
        ({}, None),
        ("", None),
        (7, None),
    ],
)
def test_models(value: Any, model: str | None) -> None:
    assert as_model(value) == model
