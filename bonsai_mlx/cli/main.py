"""The command line: `bonsai-mlx generate | grid | edit | enlarge | again | styles | show | models | ...`.

Owns the options and the exit status: 0 done, 1 it cannot be done (one line says why and what to do), 2 wrong usage, 130
interrupted. Starts light: a command imports what it needs when it runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from ..errors import BonsaiError, RequestError
from ..printable import printable
from ..runtime import environment
from ..runtime.startup import prepare
from ..usage import Parser
from ..version import __version__
from .commands import coding, drawing, editing, models
from .options import as_option

PROGRAM = "bonsai-mlx"
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. No error that a person can cause ends in a traceback."""
    environment.tidy()
    prepare()
    words = list(sys.argv[1:] if argv is None else argv)
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = argparse.Namespace()
    try:
        if words and words[0] in _FORWARDED:
            return _FORWARDED[words[0]](words[1:])
        arguments = _parse(words)
        run: Command = arguments.run
        return run(arguments)
    except RequestError as error:
        return _fail(as_option(error, arguments))
    except BonsaiError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: stopped; what was finished before is kept", file=sys.stderr)
        return 130


def _fail(message: str) -> int:
    print(f"{PROGRAM}: {printable(message)}", file=sys.stderr)
    return 1


def _parse(words: list[str]) -> argparse.Namespace:
    parser = build_parser()
    arguments, left = parser.parse_known_args(words)
    parser = arguments.parser
    draws = arguments.run is drawing.generate
    if draws and left and not any(word.startswith("-") for word in left):
        whole = shlex.join([" ".join([arguments.prompt, *left])])
        parser.error(f"the prompt is several words; put it in quotes: {PROGRAM} generate {whole}")
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if draws and arguments.unconditional and arguments.prompt:
        parser.error("--unconditional draws without a prompt; leave one of them out")
    if draws and arguments.prompt is None and arguments.like is None and not arguments.unconditional:
        parser.error(f'say what to draw, in quotes: {PROGRAM} generate "a red fox"')
    return arguments


def build_parser() -> Parser:
    parser = Parser(
        prog=PROGRAM, description="Pictures from words with ternary and binary Bonsai Image 4B, on this machine."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (drawing, editing, coding, models):
        group.add(commands)
    for command in commands.choices.values():
        command.set_defaults(parser=command)
    commands.add_parser("bench", help="measure seconds and memory (bench --help)", add_help=False)
    commands.add_parser("serve", help="open the web page and the APIs (serve --help)", add_help=False)
    commands.add_parser("mcp", help="tools for assistants, on stdin and stdout (mcp --help)", add_help=False)
    return parser


def _bench(words: list[str]) -> int:
    from ..diagnosis.bench import main as bench

    return bench(words)


def _serve(words: list[str]) -> int:
    """Becomes `python -m server`. `-P`: a folder called server where the user happens to be is not ours."""
    command = [sys.executable, "-P", "-m", "server", *words]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606  never returns


def _mcp(words: list[str]) -> int:
    """Becomes `python -m server.mcp`, which says what to install when the mcp package is absent."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "server.mcp", *words])  # noqa: S606  never returns


_FORWARDED: dict[str, Callable[[list[str]], int]] = {"bench": _bench, "serve": _serve, "mcp": _mcp}


if __name__ == "__main__":
    sys.exit(main())
