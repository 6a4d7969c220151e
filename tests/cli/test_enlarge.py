"""`bonsai-mlx enlarge`, and `again` of what it has made."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bonsai_mlx.cli.main import main

from ..upscaling.files import compact, saved

pytestmark = pytest.mark.usefixtures("narrow_seedlings")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((40, 32), 90).convert("RGB").save("photo.png")
    return tmp_path


def run(*words: str) -> int:
    return main([*words, "--model", "seedling", "--quiet"])


def pixels(path: str) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.slow
def test_enlarged_and_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    redrawn = ["--method", "refine", "--prompt", "a red star", "--steps", "1", "--strength", "0.2", "--seed", "3"]
    assert run("enlarge", "photo.png", "--by", "4", "-o", "exact.png") == 0
    assert run("enlarge", "photo.png", "-o", "refined.png", *redrawn) == 0
    assert run("again", "exact.png", "-o", "exact2.png") == 0
    assert run("again", "refined.png", "-o", "refined2.png") == 0
    assert run("again", "refined.png", "-o", "other.png", "--seed", "4") == 0
    assert capsys.readouterr().out.split() == ["exact.png", "refined.png", "exact2.png", "refined2.png", "other.png"]
    assert size("exact.png") == (160, 128)
    assert size("refined.png") == (80, 64)
    assert pixels("exact.png") == pixels("exact2.png")
    assert pixels("refined.png") == pixels("refined2.png") != pixels("other.png")
    assert main(["show", "refined.png"]) == 0
    assert "2 times, refine" in capsys.readouterr().out
    (here / "photo.png").unlink()
    assert run("again", "exact.png", "-o", "gone.png") == 1
    assert "source (" in capsys.readouterr().err


def test_what_is_transparent_stays_so_or_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logo = Image.effect_noise((40, 32), 90).convert("RGBA")
    logo.putalpha(Image.linear_gradient("L").resize((40, 32)))
    logo.save("logo.png")
    again = ["--input", "logo.png"]
    for words, mode, told in (
        (["enlarge", "logo.png", "-o", "a.png"], "RGBA", ""),
        (["enlarge", "logo.png", "-o", "a.webp"], "RGBA", ""),
        (["enlarge", "logo.png", "-o", "a.jpg"], "RGB", "JPEG holds no transparency; what is transparent is laid on"),
        (["again", "a.png", "-o", "b.png", *again], "RGBA", ""),
        (["run", "a.png", "-o", "c.png", *again], "RGBA", ""),
        (["enlarge", "a.png", "-o", "four.png"], "RGBA", ""),
        (["run", "four.png", "-o", "four2.png", *again], "RGBA", ""),
        (
            ["enlarge", "logo.png", "-o", "d.png", "--method", "refine", "--prompt", "a star", "--steps", "1"],
            "RGB",
            "logo.png: its transparent parts are laid on white",
        ),
    ):
        assert main([*words, "--model", "seedling"]) == 0
        err = capsys.readouterr().err
        assert told in err
        assert bool(told) == ("laid on white" in err), words
        with Image.open(words[words.index("-o") + 1]) as made:
            assert made.mode == mode, words
    assert (
        pixels("a.png")
        == pixels("b.png")
        == pixels("c.png")
        == logo.resize((80, 64), Image.Resampling.LANCZOS).tobytes()
    )
    assert pixels("four.png") == pixels("four2.png")
    with Image.open("a.jpg") as flat:
        assert flat.convert("L").crop((0, 0, 80, 2)).getextrema()[0] > 240, "it is white where nothing is seen"


@pytest.mark.parametrize(
    ("method", "drawn"), [([], False), (["--method", "refine", "--prompt", "a star", "--steps", "1"], True)]
)
def test_a_model_is_spoken_of_where_it_draws(
    method: list[str], drawn: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enlarge", "photo.png", "-o", "larger.png", *method]) == 0
    out, err = capsys.readouterr()
    assert err.count("this uses the seedling") == int(drawn)
    assert [words in out for words in ("seed ", "peak memory")] == [drawn, drawn]
    assert "in all" in out


def test_an_upscaler_is_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(here / "4x.safetensors", compact(width=8))
    assert run("enlarge", "photo.png", "--by", "4", "--method", "4x.safetensors", "-o", "learned.png") == 0
    assert run("again", "learned.png", "-o", "again.png") == 0
    assert size("learned.png") == (160, 128)
    assert pixels("learned.png") == pixels("again.png")
    (here / "4x.safetensors").write_bytes(b"no upscaler")
    assert run("again", "learned.png", "-o", "again.png") == 1
    (here / "4x.safetensors").unlink()
    assert run("again", "learned.png", "-o", "again.png") == 1
    told = capsys.readouterr().err.splitlines()
    assert [words in line for words, line in zip(("no whole safetensors file", "is not found"), told, strict=True)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--strength", "0.2"], "give --method refine too"),
        (["--method", "refine"], "--prompt: is needed"),
        (["--method", "refine", "--prompt", "a star", "--strength", "2"], "strength"),
    ],
)
def test_what_cannot_be_done(words: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("enlarge", "photo.png", *words) == 1
    assert told in capsys.readouterr().err
    assert list(here.iterdir()) == [here / "photo.png"]
