"""The command line: `bonsai-mlx generate | grid | edit | enlarge | again | styles | show | models | ...`.

Owns the options and the exit status: 0 done, 1 it cannot be done (one line says why and what to do), 2 wrong usage, 130
interrupted. Starts light: a command imports what it needs when it runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import BonsaiError, RequestError
from ..hub.catalog import CATALOG, PARTS, Entry, to_download
from ..printable import printable
from ..runtime import environment
from ..runtime.startup import prepare
from ..version import __version__
from ..wording import command, user_path, whole
from .options import (
    PUBLISHED,
    Parser,
    add_adapter_folder,
    add_drawing,
    add_editing,
    add_enlarging,
    add_form,
    add_loras,
    add_model,
    add_output,
    add_shape,
    add_variation,
    as_option,
    axis_option,
    drawing_options,
)

PROGRAM = "bonsai-mlx"
DOWNLOADABLE = (
    ", ".join(entry.name for entry in (*CATALOG, *PARTS) if not entry.embedded)
    + ", or a Hub repository in one of the layouts that are read (owner/name, or its address)"
)
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
    drawing = arguments.run is _generate
    if drawing and left and not any(word.startswith("-") for word in left):
        whole = shlex.join([" ".join([arguments.prompt, *left])])
        parser.error(f"the prompt is several words; put it in quotes: {PROGRAM} generate {whole}")
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if drawing and arguments.prompt is None and arguments.like is None:
        parser.error(f'say what to draw, in quotes: {PROGRAM} generate "a red fox"')
    return arguments


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM, description="Pictures from words with ternary and binary Bonsai Image 4B, on this machine."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_generate(commands)
    _add_grid(commands)
    _add_batch(commands)
    _add_edit(commands)
    _add_enlarge(commands)
    _add_again(commands)
    _add_run(commands)
    _add_styles(commands)
    _add_write(commands)
    _add_show(commands)
    _add_lora(commands)
    _add_models(commands)
    _add_download(commands)
    _add_convert(commands)
    _add_encoders(commands)
    _add_delete(commands)
    _add_doctor(commands)
    commands.add_parser("bench", help="measure seconds and memory (bench --help)", add_help=False)
    commands.add_parser("serve", help="open the web page and the APIs (serve --help)", add_help=False)
    commands.add_parser("mcp", help="tools for assistants, on stdin and stdout (mcp --help)", add_help=False)
    return parser


def _add_generate(commands: Any) -> None:
    command = commands.add_parser("generate", help="draw a picture into a file", description="Draw a picture.")
    command.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to draw, in quotes; - reads standard input")
    command.add_argument(
        "--like", type=user_path, metavar="FILE", help="a picture: its settings, where no others are given here"
    )
    add_drawing(command)
    command.set_defaults(run=_generate)


def _add_grid(commands: Any) -> None:
    command = commands.add_parser(
        "grid",
        help='every alternative of "a {red|blue} house", over lists of values, on one sheet',
        description="Draw a picture for every alternative and value, and one contact sheet of them all.",
        epilog="Alternatives may stand in each other: {red|{dark|light} blue}. \\{ is a brace that is drawn. "
        "Styles, and <lora:NAME:0.8> in the prompt, count for every picture.",
    )
    command.add_argument("prompt", metavar="PROMPT", help='such as "a {red|blue} house", in quotes')
    command.add_argument(
        "--axis",
        type=axis_option,
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="seed=1..4, steps=1,2,4, model=ternary,binary, style=Comic,Ink wash, lora=ink=0.4,ink=0.8, "
        "variation_amount=0.1,0.3 or variation_seed=1..4; the first runs across",
    )
    command.add_argument(
        "--cells", type=user_path, metavar="FOLDER", help="save every single picture there too, as PNG"
    )
    add_model(command)
    add_variation(command)
    add_shape(command)
    add_output(command)
    add_loras(command)
    command.set_defaults(run=_grid)


def _add_batch(commands: Any) -> None:
    command = commands.add_parser(
        "batch",
        help="draw what a file lists; stopped, the same command goes on",
        description="Draw every row of a .txt (a prompt a line), .csv (with a header) or .jsonl file.",
        epilog="Rows may name prompt, seed, steps, size, styles, model, name, init, mask, references, strength and "
        "whatever else `generate` takes, as guidance or variation_amount; options here are for rows that do not.",
    )
    command.add_argument("file", metavar="FILE", type=user_path, help="a .txt, .csv or .jsonl file")
    command.add_argument(
        "--out", type=user_path, required=True, metavar="FOLDER", help="for pictures and manifest.jsonl"
    )
    add_model(command)
    add_variation(command)
    add_shape(command)
    add_form(command)
    add_loras(command)
    command.set_defaults(run=_batch, output=None)


def _add_write(commands: Any) -> None:
    command = commands.add_parser("write", help="make a scene of a few words, with the checkpoint's own language model")
    command.add_argument("prompt", metavar="PROMPT", help="a few words, in quotes, in any language")
    command.add_argument("--count", type=int, default=3, metavar="N", help="proposals, seeds counting up; default: 3")
    command.add_argument("--writer", type=user_path, metavar="FOLDER", help="another Qwen3 in mlx-lm's layout")
    add_model(command)
    command.add_argument("--quiet", action="store_true", help="print the texts and nothing else")
    command.set_defaults(run=_write)


def _add_styles(commands: Any) -> None:
    command = commands.add_parser("styles", help="list the styles, add one, change one, delete one")
    command.add_argument(
        "--save", nargs=2, metavar=("NAME", "TEXT"), help="add a style, or change it; {prompt} is where the prompt goes"
    )
    command.add_argument("--delete", metavar="NAME", help="remove a style")
    command.add_argument("--restore", action="store_true", help="have the program's own styles back as they were")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_styles)


def _add_edit(commands: Any) -> None:
    command = commands.add_parser(
        "edit",
        help="change, redraw, repaint or extend a picture",
        description="Change a picture. Without --strength, --mask and --extend the prompt is an instruction.",
    )
    add_editing(command)
    add_drawing(command)
    command.set_defaults(run=_edit)


def _add_enlarge(commands: Any) -> None:
    command = commands.add_parser("enlarge", help="make a picture two or four times as wide and as high")
    add_enlarging(command)
    add_model(command)
    add_output(command)
    add_loras(command)
    command.set_defaults(run=_enlarge, named_prompt=True)


def _add_again(commands: Any) -> None:
    command = commands.add_parser("again", help="make a picture once more from its file, or with another seed")
    command.add_argument("file", metavar="FILE", type=user_path, help="a picture of this program")
    command.add_argument(
        "--input",
        type=user_path,
        action="append",
        default=[],
        metavar="FILE|FOLDER",
        help="where the pictures are that went into it; its own folder is looked into anyway",
    )
    add_model(command)
    add_variation(command)
    add_output(command)
    add_adapter_folder(command)
    command.set_defaults(run=_again)


def _add_show(commands: Any) -> None:
    command = commands.add_parser("show", help="print how a picture was made, by this program or another")
    command.add_argument("file", metavar="FILE", type=user_path, help="a PNG, JPEG or WebP file")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_show)


def _add_lora(commands: Any) -> None:
    command = commands.add_parser("lora", help="say what an adapter's file is, and which models it fits")
    command.add_argument("what", choices=("info",), help="what to do")
    command.add_argument("file", metavar="FILE", help="a .safetensors file, or a name in the folder of adapters")
    add_adapter_folder(command)
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_lora)


def _add_models(commands: Any) -> None:
    command = commands.add_parser("models", help="list the checkpoints and what this machine has of them")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_models)


def _add_download(commands: Any) -> None:
    command = commands.add_parser(
        "download",
        help="get a checkpoint, resume or repair it",
        description="Download a checkpoint. Files that another one has brought are not downloaded twice, and every one "
        "is verified.",
        epilog="Interrupted? The same command goes on from there. `models` lists what is here.",
    )
    command.add_argument("which", metavar="NAME", help=f"{DOWNLOADABLE}; or both, for {' and '.join(PUBLISHED)}")
    command.add_argument("--dir", type=Path, metavar="FOLDER", help="default: the Hugging Face cache")
    command.add_argument("--revision", help="another branch, tag or commit than the known good one")
    command.add_argument("--verify", action="store_true", help="also hash again what was downloaded earlier")
    command.add_argument("--token", help="for private repositories; better set HF_TOKEN, which other users cannot see")
    command.add_argument("--json", action="store_true", help="one JSON object per line on stdout, for programs")
    command.set_defaults(run=_download)


def _add_convert(commands: Any) -> None:
    command = commands.add_parser(
        "convert",
        help="write a checkpoint in another precision",
        epilog="Interrupted? The same command goes on from there. To 1 or 2 bits, what was not trained for them loses "
        "most of what it knows; an unpacked Bonsai loses nothing.",
    )
    command.add_argument("source", metavar="SOURCE", help="a name of `models`, a Hub repository, a folder or a file")
    command.add_argument("out", metavar="OUT", type=user_path, help="a new folder; with --gguf a file")
    command.add_argument(
        "--to",
        required=True,
        choices=("binary", "ternary", "2", "3", "4", "6", "8", "bf16"),
        help="bits, or what they mean; 2 has four values a group where ternary has three",
    )
    command.add_argument("--group-size", type=whole, choices=(32, 64, 128), default=128, help="of packed weights: 128")
    command.add_argument("--companion", metavar="NAME|REPO|PATH", help="the model with what a single file lacks")
    command.add_argument(
        "--gguf",
        action="store_true",
        help="the transformer of SOURCE as a GGUF: binary and ternary weights as they are, others in 8 bits or bf16",
    )
    command.add_argument(
        "--rest",
        choices=("8", "bf16"),
        default="bf16",
        help="of a GGUF's matrices outside of the blocks; default: bf16",
    )
    command.set_defaults(run=_convert)


def _add_encoders(commands: Any) -> None:
    command = commands.add_parser(
        "encoders",
        help="how near other text encoders come to the model's own",
        description="Encode prompts with the model's own text encoder and with others, and compare what the model "
        "would read: the cosine of the hidden states of each layer that it reads, over all tokens of the prompts, "
        "seconds and memory. How near is near enough for a picture nobody has measured.",
    )
    command.add_argument(
        "candidates", nargs="*", metavar="NAME|PATH", help="text encoders; default: those of the catalog that are here"
    )
    command.add_argument(
        "--model", metavar="NAME|REPO|PATH", help=f"whose own is compared with; default: {PUBLISHED[0]}"
    )
    command.add_argument("--prompts", type=whole, default=50, metavar="N", help="how many, 1 to 50; default: 50")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_encoders)


def _add_delete(commands: Any) -> None:
    command = commands.add_parser("delete", help="remove a downloaded checkpoint from the disk")
    command.add_argument("name", metavar="NAME", help=DOWNLOADABLE)
    command.add_argument("--dir", type=Path, metavar="FOLDER", help="the folder it was downloaded into")
    command.set_defaults(run=_delete)


def _add_doctor(commands: Any) -> None:
    command = commands.add_parser("doctor", help="check the machine, MLX, the checkpoints; ends in one verdict")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_doctor)


def _generate(arguments: argparse.Namespace) -> int:
    from .generate import generate_command

    prompt = arguments.prompt and environment.as_typed(arguments.prompt)
    return generate_command(drawing_options(arguments, prompt=prompt, like=arguments.like))


def _grid(arguments: argparse.Namespace) -> int:
    from .grid import GridOptions, grid_command

    prompt = environment.as_typed(arguments.prompt)
    return grid_command(drawing_options(arguments, prompt=prompt), GridOptions(tuple(arguments.axis), arguments.cells))


def _batch(arguments: argparse.Namespace) -> int:
    from .batch import batch_command

    return batch_command(drawing_options(arguments, prompt=None), arguments.file, arguments.out)


def _write(arguments: argparse.Namespace) -> int:
    from .words import WriteOptions, write_command

    return write_command(
        WriteOptions(
            prompt=environment.as_typed(arguments.prompt),
            model=arguments.model or arguments.variant,
            writer=arguments.writer,
            seed=arguments.seed,
            count=arguments.count,
            memory_limit_bytes=arguments.memory_limit,
            quiet=arguments.quiet,
        )
    )


def _styles(arguments: argparse.Namespace) -> int:
    from .words import styles_command

    return styles_command(
        save=arguments.save and (environment.as_typed(arguments.save[0]), environment.as_typed(arguments.save[1])),
        delete=arguments.delete and environment.as_typed(arguments.delete),
        restore=arguments.restore,
        as_json=arguments.json,
    )


def _edit(arguments: argparse.Namespace) -> int:
    from .edit import EditOptions, edit_command

    edit = EditOptions(
        picture=arguments.picture,
        references=tuple(arguments.reference),
        reference_detail=arguments.reference_detail,
        mask=arguments.mask,
        mask_content=arguments.mask_content,
        feather_px=arguments.feather,
        strength=arguments.strength,
        strength_rule=arguments.strength_rule,
        extend=arguments.extend,
        only_masked=arguments.only_masked,
        margin_px=arguments.margin,
    )
    return edit_command(drawing_options(arguments, prompt=environment.as_typed(arguments.prompt)), edit)


def _enlarge(arguments: argparse.Namespace) -> int:
    from .edit import EnlargeOptions, enlarge_command

    enlarge = EnlargeOptions(
        picture=arguments.picture,
        by=arguments.by,
        method=arguments.method,
        prompt=arguments.prompt and environment.as_typed(arguments.prompt),
        steps=arguments.steps,
        strength=arguments.strength,
        upscaler=arguments.upscaler,
    )
    return enlarge_command(drawing_options(arguments, prompt=None, steps=None), enlarge)


def _add_run(commands: Any) -> None:
    command = commands.add_parser("run", help="carry out a pipeline: the steps of a JSON file, or those of a picture")
    command.add_argument(
        "file",
        metavar="PIPELINE",
        type=user_path,
        help="a .json file, a picture of this program, or one that you saved",
    )
    command.add_argument("--prompt", metavar="PROMPT", help="your words, where the steps say {prompt}")
    command.add_argument(
        "--input", type=user_path, action="append", default=[], metavar="FILE|FOLDER", help="where pictures are"
    )
    add_model(command)
    add_output(command)
    command.set_defaults(run=_run, named_prompt=True)


def _run(arguments: argparse.Namespace) -> int:
    from .again import run_command

    prompt = arguments.prompt and environment.as_typed(arguments.prompt)
    return run_command(drawing_options(arguments, prompt=prompt), arguments.file, tuple(arguments.input))


def _again(arguments: argparse.Namespace) -> int:
    from .again import again_command

    return again_command(drawing_options(arguments, prompt=None), arguments.file, tuple(arguments.input))


def _show(arguments: argparse.Namespace) -> int:
    from .show import show_command

    return show_command(arguments.file, as_json=arguments.json)


def _lora(arguments: argparse.Namespace) -> int:
    from ..adapters.folder import default_folder, found
    from ..adapters.report import lines, report
    from ..bounds import Lora

    file = found(Lora(arguments.file), arguments.loras or default_folder(), paths=True)
    told = report(file, _linears_here())
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(map(printable, lines(told))))
    return 0


def _linears_here() -> Iterator[tuple[str, Mapping[str, tuple[int, int]]]]:
    from ..flux2.checkpoint import Checkpoint
    from ..hub import api as hub

    for entry in CATALOG:
        local = hub.status(entry)
        if local.state == "ready" and local.path:
            yield entry.name, Checkpoint.open(local.path).transformer.linears()


def _models(arguments: argparse.Namespace) -> int:
    rows = [_model_row(entry) for entry in CATALOG]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']:<17} {_state_words(row):<34} {printable(row['path'] or row['repo'])}")
    print("\nparts in place of a model's own:")
    for row in map(_model_row, PARTS):
        print(f"{row['name']:<17} {_state_words(row):<34} {printable(row['path'] or row['repo'])}")
    if all(row["state"] == "ready" for row in rows):
        return 0
    first, *others = PUBLISHED
    print(f"\nGet one with: {command()} download {first}    (or {', '.join(others)}, or both)")
    return 0


def _model_row(entry: Entry) -> dict[str, Any]:
    from ..hub import api as hub

    local = hub.status(entry)
    return {
        "name": entry.name,
        "title": entry.title,
        "variant": entry.precision,
        "family": entry.family,
        "repo": entry.repo,
        "embedded": entry.embedded,
        "state": local.state,
        "present": local.state != "absent",
        "complete": local.state == "ready",
        "content": local.content,
        "verified": local.verified,
        "bytes_present": local.bytes_present,
        "bytes_total": local.bytes_total,
        "path": str(local.path) if local.path else None,
        "problems": list(local.problems),
        "note": entry.note,
    }


_CONTENT = {"pinned": ", verified", "listed": ", as the Hub lists it", "unknown": ", unknown files"}


def _state_words(row: dict[str, Any]) -> str:
    from ..wording import format_bytes

    total = format_bytes(row["bytes_total"])
    match row["state"]:
        case "ready":
            return f"ready, {total}" + (", embedded" if row["embedded"] else _CONTENT.get(row.get("content", ""), ""))
        case "partial":
            return f"incomplete, {format_bytes(row['bytes_present'])} of {total}"
        case "damaged":
            return "damaged; download it again"
        case _:
            return f"not here, {total} to download"


def _download(arguments: argparse.Namespace) -> int:
    from .download import download_command

    return download_command(
        arguments.which,
        folder=arguments.dir,
        revision=arguments.revision,
        token=arguments.token,
        verify=arguments.verify,
        as_json=arguments.json,
    )


def _convert(arguments: argparse.Namespace) -> int:
    from .convert import convert_command, gguf_command

    if arguments.gguf:
        return gguf_command(arguments.source, arguments.out, arguments.to, arguments.companion, arguments.rest)
    if arguments.rest != "bf16":
        raise RequestError("--rest", "is about a GGUF; give --gguf too")
    return convert_command(arguments.source, arguments.out, arguments.to, arguments.group_size, arguments.companion)


def _encoders(arguments: argparse.Namespace) -> int:
    from ..diagnosis.encoders import encoders_command

    return encoders_command(arguments.candidates, arguments.model, arguments.prompts, as_json=arguments.json)


def _delete(arguments: argparse.Namespace) -> int:
    from ..hub import api as hub
    from ..wording import format_bytes

    entry = to_download(arguments.name)
    if not entry.embedded and hub.status(entry, arguments.dir).state == "absent":
        print(f"{printable(entry.title)} is not here; nothing was deleted.")
        return 0
    print(f"{printable(entry.title)} is deleted; {format_bytes(hub.delete(entry, arguments.dir))} are free again.")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from ..diagnosis.doctor import doctor_command

    return doctor_command(as_json=arguments.json)


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
