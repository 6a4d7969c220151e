"""`batch` on a terminal: drawn, stopped, gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bonsai_mlx.cli.batch import Tally, batch_text
from bonsai_mlx.images.metadata import SaveError, read

pytestmark = [pytest.mark.usefixtures("nothing_downloaded", "narrow_seedlings"), pytest.mark.slow]
SMALL = ("--model", "seedling", "--size", "64x64", "--steps", "1")


def listed(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "manifest.jsonl").read_text().splitlines()]


def pixels(path: str | Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB"))


def test_every_row_is_drawn_as_it_is_alone_and_a_second_run_has_nothing_to_do(run: Any) -> None:
    Path("a.csv").write_text("prompt,seed,styles,name\na red house,7,At night,one\ntwo stars,,,\n")
    status, out, err = run("batch", "a.csv", "--out", "made", "--seed", "3", *SMALL)
    assert status == 0, err
    assert out == "2 drawn. What was made is listed in made/manifest.jsonl\n"
    assert "1/2" in err
    head, first, second = listed("made")
    assert (head["batch"], head["seed"]) == ("a.csv", 3)
    assert (first["file"], first["seed"], first["prompt"]) == ("one.png", 7, "a red house at night")
    assert (second["file"], second["line"], second["status"]) == ("0003-two-stars.png", 3, "done")
    style = ("--style", "At night")
    run("generate", "a red house", "--seed", "7", *style, *SMALL, "-o", "alone.png", "--quiet")
    assert (pixels("alone.png") == pixels("made/one.png")).all()
    found = read(Path("made/one.png"))
    assert found is not None
    assert found.recipe is not None
    assert found.recipe.parameters["typed"] == "a red house"
    again = run("batch", "a.csv", "--out", "made", *SMALL)
    assert again[:2] == (0, "0 drawn, 2 were there already. What was made is listed in made/manifest.jsonl\n")


def test_what_pictures_lose_is_listed(run: Any) -> None:
    photo = Image.effect_noise((96, 64), 90).convert("RGBA")
    photo.save("photo.png")
    photo.putalpha(128)
    photo.save("clear.png")
    Image.new("L", (64, 96), 255).save("tall.png")
    Path("a.csv").write_text("prompt,init,mask\na star,photo.png,\na star,clear.png,tall.png\n")
    assert run("batch", "a.csv", "--out", "made", "--model", "seedling", "--steps", "1")[0] == 0
    _, plain, noted = listed("made")
    assert "notes" not in plain
    first, second = noted["notes"]
    assert first.endswith("clear.png: its transparent parts are laid on white")
    assert second.startswith("the mask has another shape than the picture (64x96 and 96x64)")


def test_what_is_lost_or_new_is_drawn_and_random_seeds_stay(run: Any) -> None:
    Path("a.txt").write_text("a star\na house\n")
    run("batch", "a.txt", "--out", "made", "--quiet", *SMALL)
    before = pixels("made/0002-a-house.png")
    Path("made/0002-a-house.png").unlink()
    Path("a.txt").write_text("a star\na house\na boat\n")
    status, out, _ = run("batch", "a.txt", "--out", "made", *SMALL)
    assert (status, out[:32]) == (0, "2 drawn, 1 were there already. W")
    assert (pixels("made/0002-a-house.png") == before).all()
    assert Path("made/0003-a-boat.png").exists()


def test_pictures_go_in_and_one_failure_keeps_nothing_else(run: Any) -> None:
    run("generate", "a red house", *SMALL, "-o", "in.png", "--quiet")
    Path("broken.png").write_text("no picture")
    lines = [{"prompt": "a house", "init": "broken.png"}, {"prompt": "a blue house", "init": "in.png", "strength": 0.5}]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    status, out, err = run("batch", "a.jsonl", "--out", "made", "--format", "webp", *SMALL)
    assert (status, out.split(".")[0]) == (1, "1 drawn, 1 failed; the same command tries them again")
    assert "line 1: init: broken.png cannot be used" in err
    _, failed, made = listed("made")
    assert (failed["status"], made["file"]) == ("failed", "0002-a-blue-house.webp")
    run("generate", "a red house", *SMALL, "-o", "broken.png", "--quiet")
    assert run("batch", "a.jsonl", "--out", "made", *SMALL)[0] == 0


def test_what_cannot_be_is_told_before_anything_is_drawn(run: Any) -> None:
    Path("a.jsonl").write_text('{"prompt": "a", "init": "nowhere.png"}')
    Path("b.jsonl").write_text('{"prompt": "a", "styles": ["Ink"]}')
    Path("d.csv").write_text("prompt,model\na star,seedling\na boat,nowhere")
    for words, told in (
        (("a.jsonl",), "no such file"),
        (("b.jsonl",), "line 1: styles"),
        (("c.txt",), "No such file"),
        (("d.csv",), "d.csv, line 3: there is no checkpoint called 'nowhere'"),
    ):
        status, out, err = run("batch", *words, "--out", "made", *SMALL)
        assert (status, out) == (1, "")
        assert told in err
    assert not Path("made").exists()
    Path("a.txt").write_text("a star\n")
    assert "a.txt is a file; --out takes a folder" in run("batch", "a.txt", "--out", "a.txt", *SMALL)[2]


def test_stopped_in_the_middle_it_goes_on(run: Any) -> None:
    """Interrupted as by Ctrl-C after its first picture."""
    Path("a.txt").write_text("".join(f"{n} stars\n" for n in ("two", "three", "four")))
    words = [sys.executable, "-m", "bonsai_mlx", "batch", "a.txt", "--out", "made", *SMALL, "--seed", "1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "1/3" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode in (130, 0), rest  # it may have been over by then
    done = [one for one in listed("made")[1:] if one["status"] == "done"]
    assert run("batch", "a.txt", "--out", "made", *SMALL, "--quiet") == (0, "made/manifest.jsonl\n", "")
    entries = listed("made")[1:]
    assert entries[: len(done)] == done
    assert sorted(one["line"] for one in entries) == [1, 2, 3]


def test_a_name_that_a_killed_batch_claimed_is_used_and_others_are_not(run: Any) -> None:
    Path("a.txt").write_text("a star\ntwo stars\na house\n")
    Path("made").mkdir()
    Path("made/0001-a-star.png").touch()
    Path("made/0002-two-stars.png").write_text("somebody's")
    Path("empty").touch()
    Path("made/0003-a-house.png").symlink_to(Path("empty").absolute())
    assert run("batch", "a.txt", "--out", "made", "--quiet", *SMALL)[0] == 0
    names = [one["file"] for one in listed("made")[1:]]
    assert names == ["0001-a-star.png", "0002-two-stars-2.png", "0003-a-house-2.png"]
    assert Path("made/0002-two-stars.png").read_text() == "somebody's"
    assert Path("empty").stat().st_size == 0


def test_a_full_disk_leaves_no_empty_file(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SaveError("cannot save: no space is left there")

    Path("a.txt").write_text("a star\n")
    monkeypatch.setattr("bonsai_mlx.cli.output.save_picture", full)
    status, _, err = run("batch", "a.txt", "--out", "made", *SMALL)
    assert status == 1
    assert "no space is left" in err
    assert not list(Path("made").glob("*.png"))
    assert listed("made")[-1]["status"] == "failed"


def test_two_batches_do_not_share_a_folder(run: Any) -> None:
    from filelock import FileLock

    Path("a.txt").write_text("a star\n")
    Path("made").mkdir()
    with FileLock("made/.manifest.lock"):
        status, _, err = run("batch", "a.txt", "--out", "made", *SMALL)
    assert status == 1
    assert "in use by another batch" in err


def test_the_line_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 60.0)
    assert batch_text(Tally(4), 0.5) == "[###.....................] 0/4"
    assert batch_text(Tally(8, there=2, drawn=3), 0.0) == "[###############.........] 5/8  1 min 0 s left"
