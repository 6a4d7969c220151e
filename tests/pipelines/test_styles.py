"""Styles: found, applied once, changed by the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.styles import MAX_STYLES, OURS, Style, StyleBook, StylesError, styled, worded
from bonsai_mlx.request import Draw, as_json, from_json

MINE = Style("Mine", "a stamp of {prompt}", steps=2, width=128, height=64)


@pytest.fixture
def book(tmp_path: Path) -> StyleBook:
    return StyleBook.open(tmp_path / "new" / "styles.json")


def test_a_dozen_of_ours_hold_and_have_a_place_for_the_prompt(book: StyleBook) -> None:
    assert len(OURS) >= 12
    assert book.styles == [style.validated() for style in OURS]
    assert all("a fox" in style.worded("a fox") for style in OURS)
    assert Style("End", "in oil").worded("a fox") == "a fox, in oil"
    assert worded("a fox", [MINE, Style("End", "in oil")]) == "a stamp of a fox, in oil"


def test_a_request_gets_its_styles_once_and_its_own_settings_count_more(book: StyleBook) -> None:
    book = book.save(MINE)
    asked = Draw("a fox", width=96, styles=("mine", "At  NIGHT"))
    done = styled(asked, book)
    assert done == Draw(
        "a stamp of a fox at night", steps=2, width=96, height=64, styles=("Mine", "At night"), typed="a fox"
    )
    assert styled(done, book) is done
    assert styled(Draw("a fox"), book) == Draw("a fox")
    written = as_json(done.resolved(steps=4, size=(64, 64)))
    assert (written["styles"], written["typed"]) == (["Mine", "At night"], "a fox")
    assert from_json(written).styles == ("Mine", "At night")
    assert "typed" not in as_json(Draw("a fox", seed=1).resolved(steps=4, size=(64, 64)))


def test_an_unknown_style_is_told_with_the_one_that_was_meant(book: StyleBook) -> None:
    with pytest.raises(RequestError, match="did you mean 'Ink wash'") as caught:
        styled(Draw("a fox", styles=("ink-wash",)), book)
    assert caught.value.field == "styles"
    with pytest.raises(RequestError, match="there are Photograph, "):
        book.find("zzz")


def test_what_a_user_changes_is_kept_as_the_difference(book: StyleBook) -> None:
    changed = Style("Comic", "a manga panel of {prompt}")
    book = book.save(MINE).save(changed).delete("poster")
    again = StyleBook.open(book.path)
    assert again == book
    names = [style.name for style in again.styles]
    assert "Poster" not in names
    assert names[-1] == "Mine"
    assert again.find("comic") == changed
    assert not again.is_ours(changed)
    assert book.path.stat().st_mode & 0o777 == 0o600
    assert [one["name"] for one in json.loads(book.path.read_text())["styles"]] == ["Mine", "Comic"]
    assert again.save(OURS[7]).own.keys() == {"mine"}  # as it was: nothing to keep
    restored = again.restore()
    assert restored.styles == [*OURS, MINE]
    assert restored.delete("Mine").styles == [*OURS]


@pytest.mark.parametrize(
    ("style", "field"),
    [
        (Style("", "x"), "name"),
        (Style("a,b", "x"), "name"),
        (Style("x" * 61, "x"), "name"),
        (Style("a", " "), "text"),
        (Style("a", "x", steps=0), "steps"),
        (Style("a", "x", width=100), "width"),
    ],
)
def test_a_style_out_of_bounds_is_refused(book: StyleBook, style: Style, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        book.save(style)
    assert caught.value.field == field
    assert not book.path.exists()


def test_there_are_so_many_at_most(tmp_path: Path) -> None:
    own = {f"s{number}": Style(f"s{number}", "x") for number in range(MAX_STYLES)}
    full = StyleBook(tmp_path / "styles.json", own)
    with pytest.raises(RequestError, match="delete one first"):
        full.save(MINE)
    assert full.save(Style("S1", "other")).find("s1").text == "other"


BROKEN: list[Any] = [
    "[]",
    "{",
    '{"styles": 7}',
    '{"styles": [{"name": "a"}]}',
    '{"styles": [{"name": "a", "text": 7}]}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_is_none_is_told_and_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "styles.json"
    path.write_text(text)
    with pytest.raises(StylesError, match="mend it, or delete it"):
        StyleBook.open(path)
    assert path.read_text() == text


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StylesError, match="a folder"):
        StyleBook.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StylesError, match="cannot be"):
        StyleBook(tmp_path / "file" / "styles.json").save(MINE)


def test_the_place_of_the_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_STYLES_FILE", str(tmp_path / "elsewhere.json"))
    assert StyleBook.open().path == tmp_path / "elsewhere.json"
