"""Commands that take pictures: their options, and what they hand to the modules beside."""

from __future__ import annotations

import argparse
from typing import Any

from ...runtime import environment
from ...wording import user_path
from ..options import (
    add_adapter_folder,
    add_drawing,
    add_editing,
    add_enlarging,
    add_loras,
    add_model,
    add_output,
    add_variation,
    drawing_options,
)


def add(commands: Any) -> None:
    _add_edit(commands)
    _add_enlarge(commands)
    _add_again(commands)
    _add_run(commands)
    _add_show(commands)


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


def _add_show(commands: Any) -> None:
    command = commands.add_parser("show", help="print how a picture was made, by this program or another")
    command.add_argument("file", metavar="FILE", type=user_path, help="a PNG, JPEG or WebP file")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_show)


def _edit(arguments: argparse.Namespace) -> int:
    from ..edit import EditOptions, edit_command

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
    from ..edit import EnlargeOptions, enlarge_command

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


def _again(arguments: argparse.Namespace) -> int:
    from ..again import again_command

    return again_command(drawing_options(arguments, prompt=None), arguments.file, tuple(arguments.input))


def _run(arguments: argparse.Namespace) -> int:
    from ..again import run_command

    prompt = arguments.prompt and environment.as_typed(arguments.prompt)
    return run_command(drawing_options(arguments, prompt=prompt), arguments.file, tuple(arguments.input))


def _show(arguments: argparse.Namespace) -> int:
    from ..show import show_command

    return show_command(arguments.file, as_json=arguments.json)
