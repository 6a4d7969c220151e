"""The user's own pipelines as files: names, bounds, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines import saved
from bonsai_mlx.pipelines.chains import steps_of

STEPS = steps_of(
    [
        {"operation": "draw", "prompt": "{prompt}", "id": "one", "loras": [{"name": "ink", "strength": 0.5}]},
        {"operation": "enlarge", "source": "one", "by": 4},
    ]
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONSAI_PIPELINES_DIR", str(tmp_path / "pipelines"))
    return tmp_path / "pipelines"


def test_they_are_kept_found_and_deleted(folder: Path) -> None:
    assert saved.names() == []
    made = saved.save(" sketch,  then (large) ", STEPS)
    assert (made.name, made.steps) == ("sketch, then (large)", STEPS)
    saved.save("Été", STEPS[:1])
    (folder / ".hidden.json").write_text("{}")
    (folder / "notes.txt").write_text("")
    assert saved.names() == ["sketch, then (large)", "Été"]
    assert saved.load("SKETCH, then (large)").steps == STEPS
    assert json.loads((folder / "Été.json").read_text())["name"] == "Été"
    assert (folder / "Été.json").stat().st_mode & 0o077 == 0
    assert saved.save("été", STEPS).name == "Été"
    assert len(saved.load("Été").steps) == 2
    saved.delete("été")
    assert saved.names() == ["sketch, then (large)"]
    for act in (saved.load, saved.delete):
        with pytest.raises(RequestError, match=r"no pipeline called 'été'; there are sketch, then \(large\)"):
            act("été")


def test_names_that_no_file_can_have_everywhere() -> None:
    for name in ("", " ", "../up", "a/b", "a\\b", ".hidden", "a\0b", "a:b", "con*", "x" * 61, "a.", "-x"):
        with pytest.raises(RequestError, match="no name for a pipeline"):
            saved.save(name, STEPS)
    assert saved.names() == []


def test_files_that_are_none_and_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    for text, words in (
        ("{", "is no JSON"),
        ('{"steps": [], "code": 1}', "nothing else"),
        ('{"steps": [{"operation": "exec"}]}', r"steps\[0\].operation"),
        (" " * 900_000, "larger than"),
    ):
        (folder / "mine.json").write_text(text)
        with pytest.raises(saved.PipelinesError, match=words):
            saved.load("mine")
    large = steps_of([{"operation": "draw", "prompt": "x" * 30_000}] * 16)
    with pytest.raises(RequestError, match="at most 400,000"):
        saved.save("large", large)
    monkeypatch.setattr(saved, "MAX_PIPELINES", 1)
    with pytest.raises(RequestError, match="delete one first"):
        saved.save("other", STEPS)
    saved.save("mine", STEPS)
