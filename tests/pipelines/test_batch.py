"""The rows of a batch's file, and the manifest that it goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.pipelines.batch import MANIFEST, BatchError, Manifest, keys, read_rows
from bonsai_mlx.request import MAX_SEED, Draw


def rows(tmp_path: Path, name: str, text: str, **defaults: Any) -> Any:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_rows(path, defaults)


def test_a_text_has_a_prompt_a_line(tmp_path: Path) -> None:
    found = rows(tmp_path, "a.txt", "\ufeffa red fox\n\n# a note\n  two stars  \r\n", steps=2)
    assert [(row.line, row.request) for row in found] == [
        (1, Draw("a red fox", steps=2)),
        (4, Draw("two stars", steps=2)),
    ]


def test_a_table_has_columns_by_name(tmp_path: Path) -> None:
    for delimiter in ",;\t":
        head = delimiter.join(["prompt", "seed", "size", "styles", "model", "restore_unmasked", "name", "init", "mask"])
        cells = ["42", "7", "64x128", "Comic" if delimiter == ";" else "Comic;Ink wash", "seedling", "FALSE", "one"]
        cells += ["a.png", "m.png"]
        [row] = rows(tmp_path, "a.csv", f"{head}\n{delimiter.join(cells)}\n{delimiter * 8}\n")
        styles = ("Comic",) if delimiter == ";" else ("Comic", "Ink wash")
        assert row.request == Draw("42", seed=7, width=64, height=128, styles=styles, restore_unmasked=False)
        assert (row.model, row.name) == ("seedling", "one")
    [quoted] = rows(tmp_path, "a.csv", 'prompt,seed\n"a fox, ""red""\nand wet",3\n')
    assert quoted.request == Draw('a fox, "red"\nand wet', seed=3)


def test_objects_name_everything_and_pictures_by_their_paths(tmp_path: Path) -> None:
    line = {"prompt": "a fox", "init": "in/a.png", "strength": 0.5, "references": ["b.png"], "extend": [16, 0, 0, 0]}
    [row] = rows(tmp_path, "a.jsonl", json.dumps(line) + "\n\n", width=64)
    assert row.pictures == {"init": (tmp_path / "in/a.png",), "references": (tmp_path / "b.png",)}
    assert (row.request.strength, row.request.extend, row.request.width) == (0.5, (16, 0, 0, 0), 64)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.md", "a fox", "ends in .txt, .csv, .jsonl"),
        ("a.txt", "# nothing\n", "nothing to draw"),
        ("a.csv", "words\na fox\n", "no column is called prompt"),
        ("a.csv", "prompt\na,b\n", "line 2: it has more columns"),
        ("a.csv", "prompt,Prompt\na,b\n", "line 1: two columns are called 'prompt'"),
        ("a.txt", "a\0fox", "no text in UTF-8"),
        ("a.csv", "prompt,seed\na fox,x\n", "line 2: seed: 'x' is not a whole number"),
        ("a.csv", 'prompt\n"a fox', "unexpected end"),
        ("a.jsonl", "{", "line 1: it is no JSON"),
        ("a.jsonl", "[]", "no JSON object"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": "a", "steps": 0}', "line 2: steps: 0 is out of range"),
        ("a.jsonl", '{"seed": 7}', "line 1: prompt: is empty"),
        ("a.jsonl", '{"prompt": "a", "negative": "b"}', "no field 'negative'"),
        ("a.jsonl", '{"prompt": "a", "size": "big"}', "no size"),
        ("a.jsonl", '{"prompt": "a", "mask": "m.png"}', "mask: belongs to a picture"),
        ("a.jsonl", '{"prompt": "a", "references": ["a", "b", "c", "d", "e"]}', "references: has 5"),
        ("a.jsonl", '{"prompt": "a", "model": 7}', "no text"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(BatchError, match=words):
        rows(tmp_path, name, text)


def test_what_is_no_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"f\xfcr")
    with pytest.raises(BatchError, match="UTF-8"):
        read_rows(tmp_path / "a.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-with-mark"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_table_of_any_spreadsheet_is_the_same(tmp_path: Path, encoding: str, ending: str) -> None:
    text = ending.join(['Prompt; "seed"', '"ein ""roter"" Fuchs;', 'naß";7', ""])
    marked = f"\ufeff{text}".encode("utf-16-le") if encoding.endswith("mark") else text.encode(encoding)
    (tmp_path / "a.csv").write_bytes(marked)
    [row] = read_rows(tmp_path / "a.csv")
    assert row.request == Draw('ein "roter" Fuchs;\nnaß', seed=7)
    (tmp_path / "a.txt").write_bytes(ending.join(["a fox", "a\u2028cat"]).encode())
    assert [row.request.prompt for row in read_rows(tmp_path / "a.txt")] == ["a fox", "a\u2028cat"]


def test_keys_are_of_what_is_asked_wherever_it_stands(tmp_path: Path) -> None:
    first = keys(rows(tmp_path, "a.txt", "a\nb\na\n"))
    assert len(first) == 3
    assert set(keys(rows(tmp_path, "a.txt", "# new\nb\nc\na\n"))) & set(first) == set(list(first)[:2])
    assert not set(keys(rows(tmp_path, "a.txt", "a\n", steps=2))) & set(first)


def test_the_manifest_goes_on_where_it_was(tmp_path: Path) -> None:
    wanted = keys(rows(tmp_path, "a.txt", "a\nb\n"))
    (first, row), (second, other) = wanted.items()
    with Manifest(tmp_path, "a.txt", seed=5) as manifest:
        manifest.note(first, row, status="done", file="a.png")
        manifest.note(second, other, status="failed", error="no")
        seeds = [manifest.seed_of(key) for key in wanted]
    with Manifest(tmp_path, "a.txt") as claimed:
        (tmp_path / "a.png").touch()
        assert not claimed.is_done(first)
    (tmp_path / "a.png").write_bytes(b"a picture")
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"key": "half')
    with Manifest(tmp_path, "a.txt", seed=6) as again:
        assert again.seed == 5
        assert [again.is_done(key) for key in wanted] == [True, False]
        assert [again.seed_of(key) for key in wanted] == seeds
        assert len(set(seeds)) == 2
        assert all(0 <= seed <= MAX_SEED for seed in seeds)
        again.note(second, other, status="done", file="b.png")
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert json.loads(lines[-1])["file"] == "b.png"
    (tmp_path / "a.png").unlink()
    with Manifest(tmp_path, "a.txt") as third:
        assert [third.is_done(key) for key in wanted] == [False, False]


def test_another_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("my notes\n")
    with pytest.raises(BatchError, match="no manifest"):
        Manifest(tmp_path, "a.txt")
    assert (tmp_path / MANIFEST).read_text() == "my notes\n"
