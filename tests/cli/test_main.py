"""The command line: what it prints, what it writes, and that every mistake ends in one clear line."""

from __future__ import annotations

import io
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx.cli import generate as generate_terminal
from bonsai_mlx.cli.progress import ProgressLine
from bonsai_mlx.images import metadata
from bonsai_mlx.result import TRUNCATED, Event
from bonsai_mlx.version import __version__

pytestmark = pytest.mark.usefixtures("nothing_downloaded", "narrow_seedlings")

SMALL = ("--size", "64x64", "--steps", "1")
CLI = [sys.executable, "-m", "bonsai_mlx.cli.main"]


@pytest.mark.slow
def test_a_prompt_that_is_cut_is_told(run: Any) -> None:
    _, _, err = run("generate", "a red house " * 600, "--seed", "7", *SMALL)
    assert TRUNCATED in err
    _, out, err = run("generate", "a red house " * 600, "--seed", "7", "--quiet", *SMALL)
    assert TRUNCATED not in out + err
    _, _, err = run("generate", "a red house", "--seed", "7", *SMALL)
    assert TRUNCATED not in err


def test_draws_a_picture_that_says_how_it_was_made(run: Any, nothing_downloaded: Path) -> None:
    status, out, err = run("generate", "a red house", "--seed", "7", *SMALL)
    assert status == 0
    assert re.search(r"^seed 7 .*encode [\d.]+ s.*denoise.*decode.*in all.*peak memory [\d.]+ MB$", out, re.MULTILINE)
    assert out.endswith("Saved bonsai-7.png\n")
    assert "seedling-ternary, seed 7, 1 step, 64x64" in err
    for phase in ("Reading the prompt", "Loading", "Drawing", "Developing"):
        assert len(re.findall(rf"^{phase}: [\d.]+ s$", err, re.MULTILINE)) == 1
    path = nothing_downloaded / "bonsai-7.png"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
    found = metadata.read(path)
    assert found
    assert found.recipe
    assert (found.prompt, found.seed, found.steps) == ("a red house", 7, 1)
    assert found.recipe.timings.keys() >= {"encode", "denoise", "decode", "total"}


def test_without_a_download_it_says_what_draws_instead(run: Any, variant: str) -> None:
    _, _, err = run("generate", "a red house", "--variant", variant, *SMALL)
    assert f"Bonsai Image 4B {variant} is not downloaded yet" in err
    assert "a tiny demonstration model" in err
    assert "such as" in err
    assert f"bonsai-mlx download {variant}\n" in err
    assert f"seedling-{variant}, seed" in err


def test_an_incomplete_download_is_called_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bonsai_mlx.hub import api as hub

    monkeypatch.setattr(hub, "status", lambda *_: hub.LocalStatus("partial", None, 5, 4 * 10**9, ("x is missing",)))
    assert generate_terminal._ready_or_seedling("binary") == "seedling-binary"
    err = capsys.readouterr().err
    assert "Bonsai Image 4B binary is here but incomplete, so this uses the seedling" in err
    assert "Get the real one (4.00 GB) with: bonsai-mlx download binary" in err


def test_a_complete_download_is_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bonsai_mlx.hub import api as hub

    monkeypatch.setattr(hub, "status", lambda *_: hub.LocalStatus("ready", Path("/x"), 5, 5))
    assert generate_terminal._ready_or_seedling("ternary") == "ternary"
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_model_named_on_purpose_is_not_announced(run: Any, seedling: Path) -> None:
    for model in (str(seedling), f"seedling-{seedling.name}"):
        status, _, err = run("generate", "a red house", "--model", model, *SMALL)
        assert status == 0
        assert "download" not in err


def test_a_seed_left_open_is_chosen_and_said(run: Any) -> None:
    _, out, err = run("generate", "a red house", *SMALL)
    seed = re.search(r"^seed (\d+) ", out, re.MULTILINE)
    assert seed
    assert f"seed {seed[1]}," in err
    assert f"Saved bonsai-{seed[1]}.png" in out


def test_quiet_prints_the_file_s_name_alone(run: Any, nothing_downloaded: Path) -> None:
    status, out, err = run("generate", "a red house", "--model", "seedling", "--seed", "3", "--quiet", *SMALL)
    assert (status, out, err) == (0, "bonsai-3.png\n", "")
    assert (nothing_downloaded / "bonsai-3.png").is_file()


@pytest.mark.slow
def test_names_are_never_taken_twice(run: Any, nothing_downloaded: Path) -> None:
    (nothing_downloaded / "bonsai-3.png").write_text("somebody's")
    for expected in ("bonsai-3-2.png", "bonsai-3-3.png"):
        _, out, _ = run("generate", "a red house", "--seed", "3", "--quiet", *SMALL)
        assert out == f"{expected}\n"
    assert (nothing_downloaded / "bonsai-3.png").read_text() == "somebody's"


def test_several_pictures_have_seeds_that_count_up(run: Any, nothing_downloaded: Path) -> None:
    _, out, _ = run("generate", "a red house", "--seed", "9", "--count", "3", "-o", "fox.png", "--quiet", *SMALL)
    assert out.split() == ["fox-9.png", "fox-10.png", "fox-11.png"]
    first, second = ((nothing_downloaded / f"fox-{seed}.png").read_bytes() for seed in (9, 10))
    assert first != second


def test_seeds_go_on_from_zero_after_the_last(run: Any) -> None:
    _, out, _ = run("generate", "a red house", "--seed", "4294967295", "--count", "3", "--quiet", *SMALL)
    assert out.split() == ["bonsai-4294967295.png", "bonsai-0.png", "bonsai-1.png"]


def test_a_file_named_on_purpose_is_replaced(run: Any, nothing_downloaded: Path) -> None:
    path = nothing_downloaded / "fox.PNG"
    path.write_text("old")
    status, out, _ = run("generate", "a red house", "-o", "fox.PNG", "--quiet", *SMALL)
    assert (status, out) == (0, "fox.PNG\n")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_folder_can_be_given(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    _, out, _ = run("generate", "a red house", "--seed", "4", "-o", str(folder), "--quiet", *SMALL)
    assert out == f"{folder}/bonsai-4.png\n"


@pytest.mark.parametrize(("mode", "texts"), [("full", {"bonsai", "parameters"}), ("mark", set()), ("none", set())])
def test_metadata(run: Any, nothing_downloaded: Path, mode: str, texts: set[str]) -> None:
    run("generate", "a red house", "--seed", "5", "--metadata", mode, *SMALL)
    data = (nothing_downloaded / "bonsai-5.png").read_bytes()
    assert (b"a red house" in data) == (mode == "full")
    assert (b"trainedAlgorithmicMedia" in data) == (mode != "none")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert texts <= image.info.keys()


REFUSED = [
    (["", *SMALL], "PROMPT: is empty"),
    (["  ", *SMALL], "PROMPT: is empty"),
    (["a \udcff fox"], "PROMPT: contains a broken character"),
    (["a fox", "--size", "100x128"], "--size: the width 100 is not a multiple of 16; 96 and 112 are"),
    (["a fox", "--size", "128x48"], "--size: the height 48 is out of range; give a whole number from 64 to 2048"),
    (["a fox", "--size", "2064x128"], "--size: the width 2064 is out of range"),
    (["a fox", "--steps", "0"], "steps: 0 is out of range; give a whole number from 1 to 100"),
    (["a fox", "--steps", "1000"], "steps: 1000 is out of range"),
    (["a fox", "--seed", "-1"], "seed: -1 is out of range; give a whole number from 0 to 4294967295"),
    (["a fox", "--seed", "4294967296"], "seed: 4294967296 is out of range"),
    (["a fox", "--seed", "9" * 40], "is out of range"),
    (["a fox", "-o", "fox.gif"], "PNG, JPEG and WebP files are written; name it fox.png, .jpg or .webp"),
    (["a fox", "-o", "fox.png.tiff"], "PNG, JPEG and WebP files are written; name it fox.png.png, .jpg or .webp"),
    (["a fox", "-o", "fox"], "PNG, JPEG and WebP files are written; name it fox.png, .jpg or .webp"),
    (["a fox", "-o", "fox.png", "--format", "webp"], "its name says png, --format says webp; leave one of them out"),
    (["a fox", "-o", "-", "--count", "2"], "standard output takes one picture, not 2; give a folder with -o"),
    (["a fox", "--like", "nowhere.png"], "nowhere.png: No such file or directory"),
    (["a fox", "-o", "nowhere/fox.png"], "cannot save into nowhere: there is no such folder"),
    (["a fox", "--model", "nope"], "there is no checkpoint called 'nope'; known are ternary, binary"),
    (["a fox", "--model", "owner/nope"], "bonsai-mlx download owner/nope"),
    (["a fox", "--model", "/"], "/model_index.json: the file is missing"),
    (["a fox", "--memory-limit", "10kB"], "the smallest that can be met is"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_mistake_is_one_clear_line(run: Any, nothing_downloaded: Path, words: list[str], message: str) -> None:
    status, out, err = run("generate", *words)
    assert status == 1
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("bonsai-mlx: ")
    assert message in last
    assert list(nothing_downloaded.iterdir()) == []


MISUSED = [
    [],
    ["paint"],
    ["generate"],
    ["generate", "a fox", "--variant", "septenary"],
    ["generate", "a fox", "--size", "big"],
    ["generate", "a fox", "--size", "128"],
    ["generate", "a fox", "--size", "128x-64"],
    ["generate", "a fox", "--seed", "seven"],
    ["generate", "a fox", "--steps", "4.5"],
    ["generate", "a fox", "--count", "0"],
    ["generate", "a fox", "--metadata", "some"],
    ["generate", "a fox", "--memory-limit", "lots"],
    ["generate", "a fox", "--memory-limit", "-1GB"],
    ["generate", "a fox", "--variant", "binary", "--model", "ternary"],
    ["download"],
]


@pytest.mark.parametrize("words", MISUSED, ids=" ".join)
def test_wrong_usage_has_a_status_of_its_own(run: Any, words: list[str]) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert "error:" in err
    assert "Traceback" not in err


def test_an_unwritable_folder_is_noticed_before_anything_is_drawn(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bonsai_mlx.pipeline.Pipeline.from_pretrained", lambda *_, **__: pytest.fail("too late"))
    status, _, err = run("generate", "a fox", "-o", "/proc/fox.png")  # where even root may not write
    assert status == 1
    assert "bonsai-mlx: cannot save into /proc" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    status, _, err = run("generate", "a fox", "-o", str(folder / "fox.png"))
    assert status == 1
    assert "Permission denied; choose another folder" in err


def no_space_left() -> None:
    """As on a full disk: a file that is being written cannot grow beyond a few bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


@pytest.mark.slow
@pytest.mark.parametrize("output", [[], ["-o", "fox.png"]], ids=["a name is found", "a name is given"])
def test_a_full_disk_is_one_clear_line(nothing_downloaded: Path, output: list[str]) -> None:
    done = subprocess.run(
        [*CLI, "generate", "a red house", "--model", "seedling", "--quiet", *SMALL, *output],
        preexec_fn=no_space_left,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"bonsai-mlx: cannot save \S+: no space is left there; .*\n", done.stderr)
    assert list(nothing_downloaded.iterdir()) == []


@pytest.mark.slow
def test_interrupting_ends_with_a_sentence(nothing_downloaded: Path) -> None:
    child = subprocess.Popen(
        [*CLI, "generate", "a red house", "--model", "seedling", "--size", "512x512", "--steps", "100"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr
    seen = "".join(child.stderr.readline() for _ in range(2))  # it is drawing now
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    rest = child.stderr.read()
    child.stderr.close()
    assert child.wait(20) == 130
    assert "seedling" in seen
    assert rest.endswith("bonsai-mlx: stopped; what was finished before is kept\n")
    assert "Traceback" not in rest
    assert list(nothing_downloaded.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*CLI, "models"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    with ProgressLine(terminal) as line:
        for step in range(3):
            line.show(Event("denoise", step, 2, 0.5 * step))
        line.show(Event("done", 1, 1, 1.5))
    written = terminal.getvalue()
    assert "\n" not in written
    assert "[############............] 1/2  0.5 s" in written
    assert written.endswith("\r\x1b[K")  # nothing of it stays
    assert all(len(part.removesuffix("\x1b[K")) < 60 for part in written.split("\r"))


def test_in_a_log_each_phase_has_a_line_with_its_own_seconds() -> None:
    log = io.StringIO()
    with ProgressLine(log) as line:
        for event in (
            Event("load", 0, 1, 0.0),
            Event("encode", 1, 2, 1.0),
            Event("encode", 2, 2, 2.0),
            Event("load", 1, 1, 2.5),
            Event("denoise", 0, 1, 2.5),
            Event("denoise", 1, 1, 5.5),
            Event("decode", 1, 1, 6.5),
            Event("done", 1, 1, 6.5),
        ):
            line.show(event)
    assert log.getvalue() == "Reading the prompt: 2.0 s\nLoading: 0.5 s\nDrawing: 3.0 s\nDeveloping: 1.0 s\n"


def test_version(run: Any) -> None:
    assert run("--version")[:2] == (0, f"bonsai-mlx {__version__}\n")


def test_other_errors_of_the_system_are_one_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/file")

    monkeypatch.setattr("bonsai_mlx.hub.api.status", fails)
    assert run("models") == (1, "", "bonsai-mlx: /somewhere/file: Permission denied\n")


def test_it_is_installed_under_its_name() -> None:
    script = shutil.which("bonsai-mlx", path=str(Path(sys.executable).parent))
    assert script
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"bonsai-mlx {__version__}\n"
