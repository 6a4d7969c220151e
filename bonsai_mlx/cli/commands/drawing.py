"""Commands that make pictures of words: their options, and what they hand to the modules beside."""

from __future__ import annotations

import argparse
from typing import Any

from ...runtime import environment
from ...wording import user_path
from ..options import (
    add_drawing,
    add_form,
    add_loras,
    add_model,
    add_output,
    add_shape,
    add_variation,
    axis_option,
    drawing_options,
)


def add(commands: Any) -> None:
    _add_generate(commands)
    _add_grid(commands)
    _add_batch(commands)
    _add_styles(commands)
    _add_write(commands)


def _add_generate(commands: Any) -> None:
    command = commands.add_parser("generate", help="draw a picture into a file", description="Draw a picture.")
    command.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to draw, in quotes; - reads standard input")
    command.add_argument(
        "--like", type=user_path, metavar="FILE", help="a picture: its settings, where no others are given here"
    )
    add_drawing(command)
    command.set_defaults(run=generate)


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


def _add_styles(commands: Any) -> None:
    command = commands.add_parser("styles", help="list the styles, add one, change one, delete one")
    command.add_argument(
        "--save", nargs=2, metavar=("NAME", "TEXT"), help="add a style, or change it; {prompt} is where the prompt goes"
    )
    command.add_argument("--delete", metavar="NAME", help="remove a style")
    command.add_argument("--restore", action="store_true", help="have the program's own styles back as they were")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_styles)


def _add_write(commands: Any) -> None:
    command = commands.add_parser("write", help="make a scene of a few words, with the checkpoint's own language model")
    command.add_argument("prompt", metavar="PROMPT", help="a few words, in quotes, in any language")
    command.add_argument("--count", type=int, default=3, metavar="N", help="proposals, seeds counting up; default: 3")
    command.add_argument("--writer", type=user_path, metavar="FOLDER", help="another Qwen3 in mlx-lm's layout")
    add_model(command)
    command.add_argument("--quiet", action="store_true", help="print the texts and nothing else")
    command.set_defaults(run=_write)


def generate(arguments: argparse.Namespace) -> int:
    from ..generate import generate_command

    prompt = arguments.prompt and environment.as_typed(arguments.prompt)
    return generate_command(drawing_options(arguments, prompt=prompt, like=arguments.like))


def _grid(arguments: argparse.Namespace) -> int:
    from ..grid import GridOptions, grid_command

    prompt = environment.as_typed(arguments.prompt)
    return grid_command(drawing_options(arguments, prompt=prompt), GridOptions(tuple(arguments.axis), arguments.cells))


def _batch(arguments: argparse.Namespace) -> int:
    from ..batch import batch_command

    return batch_command(drawing_options(arguments, prompt=None), arguments.file, arguments.out)


def _styles(arguments: argparse.Namespace) -> int:
    from ..words import styles_command

    return styles_command(
        save=arguments.save and (environment.as_typed(arguments.save[0]), environment.as_typed(arguments.save[1])),
        delete=arguments.delete and environment.as_typed(arguments.delete),
        restore=arguments.restore,
        as_json=arguments.json,
    )


def _write(arguments: argparse.Namespace) -> int:
    from ..words import WriteOptions, write_command

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
