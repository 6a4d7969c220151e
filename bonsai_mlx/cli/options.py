"""The options that drawing commands share, and how their values are read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..bounds import AdapterUse, Lora
from ..errors import RequestError
from ..hub.catalog import published_names
from ..wording import byte_size, number, user_path, whole

if TYPE_CHECKING:
    from .generate import GenerateOptions

PUBLISHED = published_names()
# Options that are not called as the field of a request is; the others are.
_OPTIONS = {
    "variation_amount": "variation",
    "feather_px": "feather",
    "margin_px": "margin",
    "width": "size",
    "height": "size",
    "references": "reference",
    "init": "picture",
    "source": "picture",
    "styles": "style",
    "loras": "lora",
    "axes": "axis",
    "morph": "other",
    "morph_weight": "weight",
}
_FIELD = re.compile(r"([a-z_]+)(?:\[\d+\]|\.([a-z_]+))?")


def as_option(error: RequestError, arguments: argparse.Namespace) -> str:
    """What is wrong with a request, by the option that says it where the command has one for the field."""
    field = _FIELD.fullmatch(error.field)
    dest = _OPTIONS.get(field[1], field[1]) if field else ""
    if field is None or dest not in vars(arguments):
        return str(error)
    if dest == "size":
        return f"--size: the {field[1]} {error.message}"
    positional = ("picture", "other", "code", *(() if hasattr(arguments, "named_prompt") else ("prompt",)))
    option = dest.upper() if dest in positional else f"--{dest.replace('_', '-')}"
    return f"{option} {field[2]}: {error.message}" if field[2] else f"{option}: {error.message}"


def add_drawing(command: argparse.ArgumentParser) -> None:
    add_model(command)
    add_variation(command)
    add_shape(command)
    command.add_argument("--count", type=_positive, default=1, metavar="N", help="how many, seeds counting up")
    add_output(command)
    add_loras(command)


def add_loras(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--lora",
        type=_lora,
        action="append",
        default=[],
        metavar="FILE[=STRENGTH]",
        help="an adapter, or its name in the folder of adapters, such as ink.safetensors=0.8; several add up",
    )
    add_adapter_folder(command)


def add_adapter_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument("--loras", type=user_path, metavar="FOLDER", help="with the adapters that names mean")


def add_shape(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--steps", type=whole, metavar="N", help="denoising steps; default: what the model was made for"
    )
    command.add_argument(
        "--size", type=size_option, metavar="WxH", help="pixels, multiples of 16; default: the model's own"
    )
    command.add_argument(
        "--style", action="append", default=[], metavar="NAME", help="one of `styles`; may be given several times"
    )


def add_model(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group()
    which.add_argument("--variant", choices=PUBLISHED, help=f"default: {PUBLISHED[0]}")
    which.add_argument(
        "--model",
        metavar="NAME|REPO|PATH",
        help="a name of `models`, a Hub repository, a folder (written ./NAME if it is called like a model) or a file",
    )
    command.add_argument(
        "--companion", metavar="NAME|REPO|PATH", help="the model whose text encoder and VAE a single file draws with"
    )
    command.add_argument(
        "--seed", type=whole, metavar="N", help="the same seed gives the same picture; default: random"
    )
    command.add_argument("--memory-limit", type=byte_size, metavar="SIZE", help="at most, such as 1.2GB")
    command.add_argument(
        "--text-encoder",
        metavar="NAME|PATH",
        help="instead of the model's own: ternary-bonsai, bonsai-1bit, or a folder; see `encoders`",
    )
    command.add_argument(
        "--decoder", metavar="NAME|PATH", help="instead of the model's own: small (faster, less memory), or a folder"
    )


def add_variation(command: argparse.ArgumentParser) -> None:
    """How a picture may differ from its seed's own, and what leads it beside the prompt."""
    command.add_argument(
        "--variation", type=number, metavar="A", help="how far from that picture, 0 to 1: 0.2 is subtle, 0.5 strong"
    )
    command.add_argument("--variation-seed", type=whole, metavar="N", help="which variation; default: random")
    add_guidance(command)
    command.add_argument(
        "--temperature",
        type=number,
        metavar="T",
        help="0.3 to 1.2, of models that draw in bits: the lower, the surer of what is likely; default: 1",
    )
    command.add_argument(
        "--unconditional",
        action="store_true",
        default=None,
        help="of models that draw in bits: whatever comes, without a prompt",
    )


def add_guidance(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--guidance",
        type=number,
        metavar="G",
        help="how much the prompt counts, 1 to 30; of models that are not distilled",
    )
    command.add_argument("--negative-prompt", metavar="TEXT", help="what guidance leads away from")


def add_output(command: argparse.ArgumentParser, *, metadata: bool = True) -> None:
    words = "a .png, .jpg or .webp file, a folder, or - for stdout"
    command.add_argument("-o", "--output", type=output_option, metavar="FILE", help=words)
    add_form(command, metadata=metadata)


def add_form(command: argparse.ArgumentParser, *, metadata: bool = True) -> None:
    command.add_argument("--format", choices=("png", "jpeg", "webp"), help="default: what the file's name says, or png")
    command.add_argument("--quality", type=_quality, default=90, metavar="N", help="of JPEG and WebP, 1 to 100")
    if metadata:
        command.add_argument(
            "--metadata",
            choices=("full", "mark", "none"),
            default="full",
            help="in the file: how to make it again (full), only that a model made it (mark), or nothing",
        )
    command.add_argument("--quiet", action="store_true", help="print the file's name and nothing else")


def add_editing(command: argparse.ArgumentParser) -> None:
    command.add_argument("picture", metavar="PICTURE", type=user_path, help="a PNG, JPEG, WebP or AVIF file")
    command.add_argument("prompt", metavar="PROMPT", help="what to change, or what is to be seen, in quotes")
    command.add_argument(
        "--reference", type=user_path, action="append", default=[], metavar="FILE", help="to be looked at; up to four"
    )
    command.add_argument(
        "--reference-detail",
        type=whole,
        choices=(256, 512, 768, 1024),
        help="pixels squared at which references are looked at; default: what the memory limit allows",
    )
    command.add_argument("--mask", type=user_path, metavar="FILE", help="white, or transparent if any is, is repainted")
    command.add_argument(
        "--mask-content",
        choices=("original", "surroundings"),
        help="what the masked place starts from; default: original",
    )
    command.add_argument(
        "--feather", type=whole, metavar="PX", help="in which the repainted part fades out; default: 16"
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument("--only-masked", action="store_true", default=None, help="draw the mask's surroundings alone")
    where.add_argument(
        "--whole", action="store_false", dest="only_masked", help="draw all of it, however small the mask"
    )
    command.add_argument(
        "--margin", type=whole, metavar="PX", help="of those surroundings; default: what suits the mask"
    )
    command.add_argument("--strength", type=number, metavar="S", help="how much is drawn anew, above 0, up to 1")
    command.add_argument("--strength-rule", choices=("sigma", "steps"), help="steps: as in diffusers; default: sigma")
    command.add_argument(
        "--extend", type=_margins, metavar="L,T,R,B", help="pixels to add on the left, at the top, right and bottom"
    )


def add_enlarging(command: argparse.ArgumentParser) -> None:
    command.add_argument("picture", metavar="PICTURE", type=user_path, help="a PNG, JPEG, WebP or AVIF file")
    command.add_argument("--by", type=whole, choices=(2, 4), default=2, help="how many times as wide and as high")
    command.add_argument(
        "--method",
        metavar="exact|refine|FILE",
        default="exact",
        help="exact: every pixel is kept, by Lanczos; refine: finer strokes are drawn on top of that; a .safetensors "
        "file: an upscaler of the ESRGAN family",
    )
    command.add_argument(
        "--upscaler", type=user_path, metavar="FILE", help="with --method refine: what enlarges before it is redrawn"
    )
    command.add_argument("--prompt", metavar="PROMPT", help="what is to be seen; default: what it was drawn from")
    command.add_argument("--steps", type=whole, metavar="N", help="of what is redrawn; default: the model's own")
    command.add_argument("--strength", type=number, metavar="S", help="how much is drawn anew; default: 0.3")
    add_guidance(command)


def drawing_options(arguments: argparse.Namespace, **own: Any) -> GenerateOptions:
    from .generate import GenerateOptions

    width, height = getattr(arguments, "size", None) or (None, None)
    shared = {
        "model": arguments.model,
        "variant": arguments.variant,
        "seed": arguments.seed,
        "steps": getattr(arguments, "steps", None),
        "variation_amount": getattr(arguments, "variation", None),
        "variation_seed": getattr(arguments, "variation_seed", None),
        "companion": arguments.companion,
        "text_encoder": arguments.text_encoder,
        "decoder": arguments.decoder,
        "guidance": getattr(arguments, "guidance", None),
        "negative_prompt": getattr(arguments, "negative_prompt", None),
        "temperature": getattr(arguments, "temperature", None),
        "unconditional": getattr(arguments, "unconditional", None),
        "width": width,
        "height": height,
        "output": arguments.output,
        "format": arguments.format,
        "quality": arguments.quality,
        "styles": tuple(getattr(arguments, "style", ())),
        "count": getattr(arguments, "count", 1),
        "memory_limit_bytes": arguments.memory_limit,
        "metadata": arguments.metadata,
        "quiet": arguments.quiet,
        "loras": tuple(getattr(arguments, "lora", ())),
        "loras_dir": getattr(arguments, "loras", None),
    }
    return GenerateOptions(**shared | own)


def axis_option(text: str) -> tuple[str, list[Any]]:
    from ..pipelines.axes import axis_from_text

    try:
        return axis_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def size_option(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 512x512")
    return int(width), int(height)


def _margins(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers of pixels; write them like 256,0,256,0")
    return tuple(map(int, parts))


def _lora(text: str) -> Lora:
    """`ink.safetensors=0.8`; without a strength, all of it. A name may hold the sign too."""
    name, sign, strength = text.rpartition("=")
    try:
        return AdapterUse().checked("--lora", Lora(name, float(strength)) if sign else Lora(text))
    except ValueError:
        return Lora(text)
    except RequestError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def output_option(text: str) -> Path | Literal["-"]:
    return "-" if text == "-" else user_path(text)


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)
