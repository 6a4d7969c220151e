"""Commands about pictures as codes of bits."""

from __future__ import annotations

import argparse
from typing import Any

from ...runtime import environment
from ...wording import number, user_path
from ..options import add_drawing, add_output, drawing_options, output_option, size_option

_MODEL = "a model whose latents are bits, or a folder with its autoencoder; default: the one that is here"


def add(commands: Any) -> None:
    _add_encode(commands)
    _add_decode(commands)
    _add_morph(commands)


def _add_encode(commands: Any) -> None:
    command = commands.add_parser(
        "encode",
        help="a picture as a short code of bits: 2 KB at 256x256",
        description="Print a picture's code: the bits that the autoencoder of a model of bits makes of it.",
    )
    command.add_argument("picture", metavar="PICTURE", type=user_path, help="a PNG, JPEG, WebP or AVIF file")
    command.add_argument("--model", metavar="NAME|PATH", help=_MODEL)
    command.add_argument("--size", type=size_option, metavar="WxH", help="pixels, multiples of 16; default: its own")
    command.add_argument(
        "--drawn", action="store_true", help="the code that is in the file, of a picture that was drawn as bits"
    )
    command.add_argument(
        "-o", "--output", type=output_option, metavar="FILE", help="as text, or as bytes if it ends in .bb1; or -"
    )
    command.add_argument("--quiet", action="store_true", help="print the code and nothing else")
    command.set_defaults(run=_encode)


def _add_decode(commands: Any) -> None:
    command = commands.add_parser("decode", help="the picture that a code stands for")
    command.add_argument(
        "code", metavar="CODE", help="the text, a file with it, a PNG that has one, or - for standard input"
    )
    command.add_argument("--model", metavar="NAME|PATH", help=_MODEL)
    add_output(command, metadata=False)
    command.set_defaults(run=_decode)


def _add_morph(commands: Any) -> None:
    command = commands.add_parser(
        "morph",
        help="a picture between two, by a model that draws in bits",
        description="Take each bit from one picture or the other, and redraw what comes of it.",
    )
    for name, words in (("picture", "a PNG, JPEG, WebP or AVIF file"), ("other", "another one")):
        command.add_argument(name, metavar=name.upper(), type=user_path, help=words)
    command.add_argument("--prompt", metavar="PROMPT", help="what is to be seen; default: it is drawn without words")
    command.add_argument(
        "--weight", type=number, metavar="W", help="how many of the bits are the other's, 0 to 1; default: 0.5"
    )
    command.add_argument("--strength", type=number, metavar="S", help="how much is drawn anew; default: 0.3")
    add_drawing(command)
    command.set_defaults(run=_morph, named_prompt=True)


def _morph(arguments: argparse.Namespace) -> int:
    from ..codes.morph import morph_command

    prompt = arguments.prompt and environment.as_typed(arguments.prompt)
    options = drawing_options(arguments, prompt=prompt)
    return morph_command(options, arguments.picture, arguments.other, arguments.weight, arguments.strength)


def _encode(arguments: argparse.Namespace) -> int:
    from ..codes.coding import encode_command

    return encode_command(
        arguments.picture,
        arguments.model,
        arguments.size,
        arguments.output,
        drawn=arguments.drawn,
        quiet=arguments.quiet,
    )


def _decode(arguments: argparse.Namespace) -> int:
    from ..codes.coding import decode_command

    return decode_command(
        arguments.code,
        arguments.model,
        arguments.output,
        arguments.format,
        arguments.quality,
        quiet=arguments.quiet,
    )
