"""Mistakes on the command line: the option is named first, and no page of usage stands before it."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

import pytest

from bonsai_mlx.cli import main as cli
from bonsai_mlx.usage import Parser

MISTAKES = [
    ("generate x --sise 512x512", "there is no option --sise; did you mean --size?"),
    ("generate --sise 512x512", "there is no option --sise; did you mean --size?"),
    ("generate --sise=3 x", "there is no option --sise; did you mean --size?"),
    ("generate x -q", "there is no option -q"),
    ("edit a --bogus b", "there is no option --bogus"),
    ("generate x --quiet --size 3", "--size: '3' is no size; write it like 512x512"),
    ("generate x -o", "-o/--output needs a value"),
    ("generate x --quiet=3", "--quiet takes no value"),
    ("generate x --s 3", "--s may stand for each of --seed, --steps, --size, --style; write it out"),
    (
        "generate x --variant binary --model ternary",
        "--model does not go with --variant; leave one of them out",
    ),
    ("generate red fox", "the prompt is several words; put it in quotes: bonsai-mlx generate 'red fox'"),
    ("edit a", "PROMPT must be given"),
    ("edit a b --mask-content z", "--mask-content: there is no 'z'; choose one of original, surroundings"),
    ("enlarge a --by 3", "--by: there is no '3'; choose one of 2, 4"),
    ("show a.png b.png", "'b.png' is too much here; quote what belongs together"),
    ("generate x --size '\x1b[31m'", "--size: '\\x1b[31m' is no size; write it like 512x512"),
]


@pytest.mark.parametrize(("line", "told"), MISTAKES)
def test_a_mistake_is_told_by_its_option(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    command = f"bonsai-mlx {words[0]}"
    assert end.value.code == 2
    assert capsys.readouterr() == ("", f"{command}: error: {told}\nSee {command} --help\n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pose", "COMMAND: there is no 'pose'; choose one of generate, "),
        ("shwo", "COMMAND: there is no 'shwo'; did you mean show?"),
        ("shwo fox.png --json", "COMMAND: there is no 'shwo'; did you mean show?"),
        ("", "COMMAND must be given"),
        ("--bogus", "there is no option --bogus"),
    ],
)
def test_without_a_command_the_program_itself_tells(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(shlex.split(line))
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"bonsai-mlx: error: {told}")
    assert last == "See bonsai-mlx --help"


def test_what_follows_two_dashes_is_no_option() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--size")
    parser.add_argument("words", nargs="*")
    assert parser.parse_args(["--size", "3", "--", "--sise"]).words == ["--sise"]
    assert parser.parse_args(["--a fox", "-1"]).words == ["--a fox", "-1"]


@pytest.mark.parametrize("program", ["bonsai_mlx.diagnosis.bench", "server.__main__", "server.mcp"])
def test_every_program_tells_it_so(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if program == "server.mcp":
        pytest.importorskip("mcp", reason="needs the mcp extra")
    monkeypatch.setattr(sys, "argv", ["program", "--bogus", "x"])
    with pytest.raises(SystemExit) as end:
        import_module(program).main()
    assert end.value.code == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith(": error: there is no option --bogus")
    assert last.endswith(" --help")
