"""A tokenizer that is made in parts is the one that the library reads in one go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from bonsai_mlx.text import backend
from bonsai_mlx.text.backend import tokenizer_of
from tests.text.test_tokenizer import SEEDLING

SMALL = json.loads((SEEDLING / "tokenizer.json").read_text())


def is_the_library_s_own(folder: Path) -> bool:
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    made = backend._in_parts(text)
    return made is not None and made.to_str() == tokenizers.Tokenizer.from_str(text).to_str()


def test_it_is_the_library_s_own_in_every_part() -> None:
    assert is_the_library_s_own(SEEDLING)


def merges_as_texts(values: dict[str, Any]) -> None:
    values["model"]["merges"] = [" ".join(pair) for pair in values["model"]["merges"]]


def cut_off(values: dict[str, Any]) -> None:
    how = {"direction": "Right", "max_length": 7, "strategy": "LongestFirst", "stride": 0}
    values["truncation"] = how


def added_within(values: dict[str, Any]) -> None:
    values["added_tokens"][0]["id"] = 3


def of_words(values: dict[str, Any]) -> None:
    values["model"] = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    values["added_tokens"] = []


@pytest.mark.parametrize("change", [merges_as_texts, cut_off, added_within, of_words])
def test_what_is_of_another_kind_is_read_by_the_library(change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(json.dumps(SMALL))
    change(values)
    text = json.dumps(values)
    assert tokenizer_of(text).to_str() == tokenizers.Tokenizer.from_str(text).to_str()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", json.dumps(SMALL)[:-100], json.dumps(SMALL | {"model": 7})])
def test_what_is_none_is_the_library_s_to_tell(text: str) -> None:
    with pytest.raises(Exception, match=r"."):
        tokenizer_of(text)
