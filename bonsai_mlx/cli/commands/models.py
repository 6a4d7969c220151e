"""Commands about checkpoints, adapters and this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import RequestError
from ...hub.catalog import to_download
from ...hub.entry import Entry
from ...hub.published import CATALOG, PARTS
from ...printable import printable
from ...wording import command, user_path, whole
from ..options import (
    PUBLISHED,
    add_adapter_folder,
)

if TYPE_CHECKING:
    from ...adapters.fitting import Linears

DOWNLOADABLE = (
    ", ".join(entry.name for entry in (*CATALOG, *PARTS) if not entry.embedded)
    + ", or a Hub repository in one of the layouts that are read (owner/name, or its address)"
)
_CONTENT = {"pinned": ", verified", "listed": ", as the Hub lists it", "unknown": ", unknown files"}


def add(commands: Any) -> None:
    _add_lora(commands)
    _add_models(commands)
    _add_download(commands)
    _add_convert(commands)
    _add_encoders(commands)
    _add_delete(commands)
    _add_doctor(commands)


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
    made = ", ".join(entry.name for entry in CATALOG if entry.made_from)
    command.add_argument(
        "--from",
        dest="origin",
        choices=("bf16",),
        help=f"of {made}: take the original's files and pack each before the next one comes",
    )
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
    command.add_argument(
        "--encoder-bits", type=whole, choices=(4, 8), help="pack the text encoder too; default: left as it is"
    )
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


def _lora(arguments: argparse.Namespace) -> int:
    from ...adapters.folder import default_folder, found
    from ...adapters.report import lines, report
    from ...bounds import Lora

    try:
        file = found(Lora(arguments.file), arguments.loras or default_folder(), paths=True)
    except RequestError as error:
        raise RequestError("FILE", error.message) from error
    told = report(file, *_linears())
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(map(printable, lines(told))))
    return 0


def _linears() -> tuple[list[tuple[str, Linears]], list[tuple[str, Linears]]]:
    """The linears of the catalog's models: of those that are here, and of those that are not, which are all of 4B."""
    from ...flux2.checkpoint import Checkpoint
    from ...flux2.synthesis import transformer_config
    from ...hub import api as hub

    here: list[tuple[str, Linears]] = []
    absent: list[tuple[str, Linears]] = []
    of_4b = transformer_config("bonsai-4b").linears()
    for entry in CATALOG:
        local = hub.status(entry)
        if local.state == "ready" and local.path:
            here.append((entry.name, Checkpoint.open(local.path).transformer.linears()))
        else:
            absent.append((entry.name, of_4b))
    return here, absent


def _models(arguments: argparse.Namespace) -> int:
    rows = [_model_row(entry) for entry in CATALOG]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(_row_words(row))
    print("\nparts in place of a model's own, and for previews:")
    for row in map(_model_row, PARTS):
        print(_row_words(row))
    if all(row["state"] == "ready" for row in rows):
        return 0
    first, *others = PUBLISHED
    print(f"\nGet one with: {command()} download {first}    (or {', '.join(others)}, or both)")
    return 0


def _model_row(entry: Entry) -> dict[str, Any]:
    from ...hub import api as hub

    local = hub.status(entry)
    return {
        "name": entry.name,
        "title": entry.title,
        "variant": entry.precision,
        "family": entry.family,
        "repo": entry.repo,
        "made_from": entry.made_from,
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


def _row_words(row: dict[str, Any]) -> str:
    place = row["path"] or row["repo"] or f"packed here from {row['made_from']}"
    return f"{row['name']:<17} {_state_words(row):<34} {printable(place)}"


def _state_words(row: dict[str, Any]) -> str:
    from ...wording import format_bytes

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
    from ..download import download_command

    return download_command(
        arguments.which,
        origin=arguments.origin,
        folder=arguments.dir,
        revision=arguments.revision,
        token=arguments.token,
        verify=arguments.verify,
        as_json=arguments.json,
    )


def _convert(arguments: argparse.Namespace) -> int:
    from ..convert import convert_command, gguf_command

    if arguments.gguf:
        if arguments.encoder_bits:
            raise RequestError("--encoder-bits", "is about a folder; a GGUF has the transformer alone")
        return gguf_command(arguments.source, arguments.out, arguments.to, arguments.companion, arguments.rest)
    if arguments.rest != "bf16":
        raise RequestError("--rest", "is about a GGUF; give --gguf too")
    packing = arguments.to, arguments.group_size, arguments.companion, arguments.encoder_bits
    return convert_command(arguments.source, arguments.out, *packing)


def _encoders(arguments: argparse.Namespace) -> int:
    from ...diagnosis.encoders import encoders_command

    return encoders_command(arguments.candidates, arguments.model, arguments.prompts, as_json=arguments.json)


def _delete(arguments: argparse.Namespace) -> int:
    from ...hub import api as hub
    from ...wording import format_bytes

    entry = to_download(arguments.name)
    if not entry.embedded and hub.status(entry, arguments.dir).state == "absent":
        print(f"{printable(entry.title)} is not here; nothing was deleted.")
        return 0
    print(f"{printable(entry.title)} is deleted; {format_bytes(hub.delete(entry, arguments.dir))} are free again.")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from ...diagnosis.doctor import doctor_command

    return doctor_command(as_json=arguments.json)
