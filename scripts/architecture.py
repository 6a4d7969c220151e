#!/usr/bin/env python3
"""Write docs/architecture.md from the imports of the sources: the rooms, what each is for, and which others it uses.

    scripts/architecture.py           # write the page
    scripts/architecture.py --check   # exit 1 and say what is wrong: a rule is broken, or the page is out of date

A room is a package inside `bonsai_mlx` or `server`; the modules that lie beside the rooms count as one each. Every
import counts, wherever in a file it stands: a late one is an arrow too.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("bonsai_mlx", "server")
MOST_FILES = 14  # of a room, beside its __init__.py: what a reader takes in at a glance

# From the ground up. A room may use those above it in this list and none below.
ROOMS: Mapping[str, str] = {
    "bonsai_mlx": "errors, bounds, words for people, files that survive a crash; no tensor, no picture, no network",
    "bonsai_mlx.request": "what may be asked for, as plain data: fields with their bounds, and the JSON form",
    "bonsai_mlx.runtime": "the machine and the process: device, BLAS, memory, environment",
    "bonsai_mlx.weights": "checkpoints as files: layouts, headers, which tensors a file holds and must hold; no layer",
    "bonsai_mlx.nn": "layers of any model: linears, attention, activations, noise, shards of a block on a CPU's cores",
    "bonsai_mlx.adapters": "adapters (LoRA, LoKr): their files, what fits which model, what they add to its linears",
    "bonsai_mlx.images": "picture files: recipes, metadata, containers, what others write; no pixels but thumbnails",
    "bonsai_mlx.editing": "pixels of pictures that go in: reading, masks, the canvas they are drawn on; no tensor",
    "bonsai_mlx.upscaling": "learned upscalers: their files, which are not trusted, their networks, tiles of a picture",
    "bonsai_mlx.result": "what comes out of a generation: events, the picture and its recipe",
    "bonsai_mlx.hub": "checkpoints on disk and on the Hub: catalog, downloads, verification; no tensor",
    "bonsai_mlx.text": "from words to token ids: tokenizers, and chat templates that are not trusted",
    "bonsai_mlx.model": "what a pipeline needs of a model, whatever its family",
    "bonsai_mlx.flux2.parts": "a checkpoint's components as files: configs, tensors, other programs' names for these",
    "bonsai_mlx.flux2": "FLUX.2 [klein]: transformer, text encoder, VAE, memory plan; no server, no command line",
    "bonsai_mlx.bits": "models whose latents are bits: Bernoulli diffusion with FLUX.2's networks",
    "bonsai_mlx.families": "which family of models opens which checkpoint folder",
    "bonsai_mlx.conversion": "checkpoints written anew: in another precision, as a GGUF, packed while they come",
    "bonsai_mlx.writing": "the prompt writer: a language model's files, its texts, what they keep of a prompt",
    "bonsai_mlx.pipelines": "styles, alternatives, axes, contact sheets, batches from a file; draws nothing itself",
    "bonsai_mlx.runs": "from a request to a picture, an event at a time",
    "bonsai_mlx.pipeline": "pictures from words and from pictures, in a call each",
    "bonsai_mlx.diagnosis": "is this machine ready, are its kernels right, how fast is it: doctor, bench",
    "bonsai_mlx.cli": "the command line: what each command does, how it shows progress, where it writes",
    "bonsai_mlx.cli.codes": "pictures as codes of bits, on the command line",
    "bonsai_mlx.cli.commands": "the options of every command, and the program that reads them",
    "server.assets": "the files that pages are made with: their addresses, what comes in one request; knows no page",
    "server.index": "the index's file: its schema and the steps from one version to the next; no meaning of a row",
    "server": "settings, errors, events, the index; no tensor library anywhere in the server",
    "server.schemas": "the shapes of answers, and of what changes them; no behaviour beyond validation",
    "server.edge": "what every request passes: hosts, tokens, limits, the log; knows no route",
    "server.options": "what may change while the server runs, and how a phone comes in",
    "server.engine": "the child process that draws, and how the server sees it",
    "server.checkpoints": "the models' states, downloads in child processes",
    "server.gallery": "the pictures: files, entries, conversions",
    "server.library": "what is done with many pictures: collections, archives, showing them in their folder",
    "server.jobs": "the queue and the runner, durations, what fits",
    "server.pipelines": "pipelines carried out, a job after the other, and their runs kept over a restart",
    "server.writing": "texts of the prompt writer, from the engine's process",
    "server.coding": "codes of pictures, from the engine's process",
    "server.studio": "everything above as one object",
    "server.routes": "the native interface and the pages",
    "server.routes.pipelines": "styles, grids and pipelines over the native interface",
    "server.compat": "the interfaces of other programs",
    "server.compat.sdapi": "AUTOMATIC1111's: a file for each kind of its routes",
    "server.interfaces": "importing what the first page does without, and which paths are other programs'",
    "server.assistants": "what assistants that use the tools are told, and which files they may name",
    "server.app": "the application made of all this, and its starters",
}
# Modules beside the rooms that stand higher than the ground.
ABOVE: Mapping[str, str] = {
    "bonsai_mlx.__main__": "bonsai_mlx.cli.commands",
    "bonsai_mlx.cli.main": "bonsai_mlx.cli.commands",
    "server.__main__": "server.app",
    "server.mcp": "server.app",
}
ENTRANCES = {"bonsai_mlx", "bonsai_mlx.hub"}  # packages whose __init__ offers names from above, on demand


@dataclass(frozen=True, slots=True)
class Arrow:
    """One import."""

    module: str
    target: str


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the product."""
    return {_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(known: Mapping[str, Path]) -> list[Arrow]:
    """Every import of one module of the product by another."""
    return [Arrow(name, target) for name, path in known.items() for target in sorted(set(_imports(name, path, known)))]


def _imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            for alias in node.names:
                target = f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base
                if target in known and target != name:
                    yield target


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def room_of(module: str) -> str:
    """The room that a module belongs to."""
    if module in ABOVE:
        return ABOVE[module]
    parts = module.split(".")
    rooms = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next(room for room in rooms if room in ROOMS)


def faults() -> list[str]:
    """What breaks a rule, a sentence each."""
    known = modules()
    found = arrows(known)
    return [*_crowded(known), *_circles(found), *_upward(found), *_unknown(known)]


def _crowded(known: Mapping[str, Path]) -> Iterator[str]:
    folders: dict[Path, int] = {}
    for path in known.values():
        folders[path.parent] = folders.get(path.parent, 0) + (path.name != "__init__.py")
    for folder, count in folders.items():
        if count > MOST_FILES:
            yield f"{folder.relative_to(ROOT)} has {count} files; a room has at most {MOST_FILES}"


def _circles(found: Iterable[Arrow]) -> Iterator[str]:
    graph: dict[str, set[str]] = {}
    for arrow in found:
        if arrow.module not in ENTRANCES and arrow.target not in ENTRANCES:
            graph.setdefault(arrow.module, set()).add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a circle of imports: {' -> '.join(error.args[1])}"


def _upward(found: Iterable[Arrow]) -> Iterator[str]:
    order = list(ROOMS)
    for arrow in found:
        lower, upper = room_of(arrow.module), room_of(arrow.target)
        if arrow.module not in ENTRANCES and order.index(upper) > order.index(lower):
            yield f"{arrow.module} imports {arrow.target}: {lower} stands below {upper}"


def _unknown(known: Mapping[str, Path]) -> Iterator[str]:
    packages = {name for name, path in known.items() if path.name == "__init__.py"}
    for name in sorted(packages - set(ROOMS)):
        yield f"{name} is a room without a sentence in ROOMS"


def named_and_missing() -> Iterator[str]:
    """What the page says to touch and is not there, a sentence each."""
    for path in re.findall(r"`([a-z_0-9]+/[^` ]+)`", TEMPLATE):
        if not (ROOT / path).exists():
            yield f"the page names {path}, which is not there"


def page() -> str:
    """docs/architecture.md."""
    known = modules()
    uses: dict[str, set[str]] = {room: set() for room in ROOMS}
    for arrow in arrows(known):
        if arrow.module not in ENTRANCES:
            uses[room_of(arrow.module)].add(room_of(arrow.target))
    rows = []
    for room, sentence in ROOMS.items():
        others = [f"`{_short(other)}`" for other in ROOMS if other in uses[room] and other != room]
        rows.append(f"| `{_short(room)}` | {sentence} | {', '.join(others) or 'nothing'} |")
    return TEMPLATE.format(rows="\n".join(rows))


def _short(room: str) -> str:
    return room.replace(".", "/")


TEMPLATE = """\
# Architecture

Written by `scripts/architecture.py` from the imports of the sources, and checked by a test: no circle, no arrow up, no
room with more than 14 files.

## The rooms

From the ground up: a room uses those above it in this table and none below.

| room | what it is for | what it uses |
|---|---|---|
{rows}

## To add a parameter

Something that a request may say, such as a strength. One field makes it: the bodies of `/generate` and `/jobs` and
their bounds, the OpenAPI document, a job's row and its answer, the engine and the recipe follow from it
(`tests/server/test_parameters.py` adds one to a copy of the program).

1. `bonsai_mlx/request/draw.py`: a field of `Draw` with a default and its bounds, which `fields.py` beside it names.
2. Where it is used, for instance `bonsai_mlx/flux2/model.py`.
3. `bonsai_mlx/pipeline.py`: a keyword of `Pipeline.generate`, for Python.
4. `bonsai_mlx/cli/options.py` and `bonsai_mlx/cli/generate.py`: an option of the command line.
5. `tests/pipeline/test_pictures.py`: that it makes a difference.

A parameter that has no default is a new version of the request (`VERSION` in `bonsai_mlx/request/operations.py`); a
new kind of bounds also needs a case in `server/parameters.py`. The page shows it when `templates/home.html` has a
field for it.

## To add a route

1. A module in `server/routes/` (of another program's interface: in `server/compat/`) with a `router`; what it does
   belongs to `server/studio.py` or to a room below. Bodies and answers are in `server/schemas/`.
2. `server/app.py`: one `include_router`.
3. A test beside `tests/server/test_generate.py`. `tests/server/test_openapi.py` asks that each field has a type.

Whatever is allowed before a route is asked (hosts, origins, tokens, sizes) is decided for all routes in `server/edge/`.

## To add a model family

1. A package beside `bonsai_mlx/flux2/` whose model does what `bonsai_mlx/model.py` asks: describe, resolve, plan, run.
2. `bonsai_mlx/families.py`: a line in `FAMILIES` that says which folders are its own, and how one is opened.
3. `bonsai_mlx/hub/published.py`: its published checkpoints, if there are any.
4. `scripts/architecture.py`: a sentence for the room. Tests beside `tests/test_families.py` and in a folder of its own.

The pipeline, the command line and the server know no family; a program of yours calls `families.register` instead.

## To add a kind of linear

1. `bonsai_mlx/nn/linear.py`: a subclass of `StoredLinear` that names its tensors and multiplies; it is cut by rows and
   columns for the cores of a CPU as the others are (`bonsai_mlx/flux2/loading.py` needs no change). One that is made
   of other linears belongs into `bonsai_mlx/nn/composed.py`.
2. `bonsai_mlx/weights/spec.py`: names, types and shapes of its tensors, for the check of a file and for random weights.
3. The function that a family's blocks are made with, for FLUX.2 `bonsai_mlx/flux2/blocks.py` and
   `bonsai_mlx/flux2/parts/config.py`.
4. `tests/nn/test_linear.py`: the same cases as the other kinds.
"""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is wrong")
    options = parser.parse_args()
    wrong = [*faults(), *named_and_missing()]
    if not options.check:
        PAGE.write_text(page(), "utf-8")
    elif PAGE.read_text("utf-8") != page():
        wrong.append("docs/architecture.md is out of date; write it with scripts/architecture.py")
    print("\n".join(wrong) or "every rule is kept")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
