"""What somebody else wrote reaches no terminal, log or answer as it is."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from bonsai_mlx.cli import main as cli
from bonsai_mlx.errors import BonsaiError, CheckpointError, DownloadError, RequestError
from bonsai_mlx.printable import printable, printable_lines

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\r\n2026 bonsai: all is well\u202egnp.exe\u2066\x9b2J\x7f\u2028\ud83e\U000e0041"
CASES = [
    ("a picture of größe 😀 👩‍🎨 שלום", None),  # letters of every script, joined emoji: nothing to escape
    ("\x1b[31m", r"\x1b[31m"),
    ("a\nb\tc\rd", r"a\nb\tc\rd"),
    ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
    ("\u202egnp\u2069", r"\u202egnp\u2069"),
    ("\u2028\u2029\ufeff\u200f", r"\u2028\u2029\ufeff\u200f"),
    ("\ud83e", r"\ud83e"),
    ("\U000e0041", r"\U000e0041"),
]


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_what_a_terminal_would_obey_is_spelt_out(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)


@pytest.mark.slow
def test_no_control_character_of_any_kind_is_left() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(character) for character in printable(every)}
    assert not left & {"Cc", "Cs", "Zl", "Zp"}
    assert not {
        c
        for c in printable(every)
        if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }


def test_our_own_line_breaks_can_be_kept() -> None:
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


@pytest.mark.parametrize("kind", [BonsaiError, CheckpointError, DownloadError, lambda text: RequestError("seed", text)])
def test_the_text_of_an_error_is_safe_wherever_it_goes(kind: type[BonsaiError]) -> None:
    text = str(kind(HOSTILE))
    assert text.isprintable()
    assert r"\x1b]0;owned\x07" in text


def test_a_chat_template_cannot_talk_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bonsai_mlx.hub.catalog import lookup
    from bonsai_mlx.text.tokenizer import Tokenizer

    folder = lookup("seedling").embedded_folder
    assert folder
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder.parent / "common" / "tokenizer" / name).read_bytes())
    template = "{{ raise_exception(" + json.dumps("\x1b]0;owned\x07") + ") }}"
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.from_folder(tmp_path).encode_prompt("a fox", 40)
    assert str(caught.value).isprintable()
    assert r"\x1b]0;owned\x07" in str(caught.value)


def test_the_command_line_shows_names_and_errors_safely(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "\x1b[31mred\u202e"
    folder.mkdir()
    assert cli.main(["generate", "a fox", "--model", str(folder)]) == 1
    assert cli.main(["generate", "a fox", "-o", str(folder / "no" / "a.png")]) == 1
    error = capsys.readouterr().err
    assert error.replace("\n", "").isprintable()
    assert r"\x1b[31mred\u202e" in error


def test_a_line_of_a_log_is_one_line() -> None:
    code = (
        "import logging, sys; from bonsai_mlx.printable import log_to_stderr; log_to_stderr(logging.INFO);"
        f"text = {HOSTILE!r}; logging.getLogger('bonsai').error('the reason: %s', text)\n"
        "try:\n    raise ValueError(text)\nexcept ValueError:\n    logging.getLogger('bonsai').exception('it failed')"
    )
    log = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert log.replace("\n", "").isprintable()
    first, second, third, *_ = log.splitlines()
    assert "2026 bonsai: all is well" in first
    assert (second.endswith("it failed"), third) == (True, "Traceback (most recent call last):")
    assert logging.getLogger("bonsai").handlers == []
