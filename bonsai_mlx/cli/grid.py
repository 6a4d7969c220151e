"""`bonsai-mlx grid`: a picture for every alternative and value, on one contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..images.metadata import SaveError, encode, encode_with_texts, save_picture
from ..pipelines.axes import Cell, Grid, grid_of
from ..pipelines.styles import styled
from ..request import GenerationRequest
from ..result import GenerationResult
from .generate import GenerateOptions, follow, model_of, say, varied
from .output import Output

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the command line says beside what `generate` takes; the output of that is the sheet's."""

    axes: tuple[tuple[str, list[Any]], ...] = ()
    cells: Path | None = None  # a folder for the single pictures


def grid_command(options: GenerateOptions, wanted: GridOptions) -> int:
    """Draw every cell and save the sheet. Returns 0, or raises the BonsaiError that says why it cannot."""
    request = GenerationRequest(
        options.prompt or "",
        seed=options.seed,
        steps=options.steps,
        width=options.width,
        height=options.height,
        styles=options.styles,
        loras=options.loras,
    )
    grid = grid_of(varied(request, options), _axes(wanted.axes))
    if any(cell.model is not None for cell in grid.cells) and (options.model or options.variant):
        raise RequestError("--axis model", "names the models; leave --model and --variant out")
    for cell in grid.cells:
        styled(cell.request)  # an unknown style is told before anything is drawn
    sheet_file = Output.choose(options.output or Path("grid.png"), options.format, 1)
    sheet_file.check()
    if wanted.cells is not None and not wanted.cells.is_dir():
        raise SaveError(f"cannot save into {wanted.cells}: there is no such folder")
    say(options, f"{len(grid.cells)} pictures: {len(grid.columns)} across, {len(grid.rows)} down.")
    pictures = _drawn(options, grid, wanted.cells)
    path = sheet_file.save(_sheet(grid, pictures, sheet_file, options.quality), grid.cells[0].request.seed or 0)
    if path:
        print(path if options.quiet else f"Saved {path}")
    return 0


def _axes(given: Sequence[tuple[str, list[Any]]]) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for name, values in given:
        axes.setdefault(name, []).extend(values)
    return axes


def _drawn(options: GenerateOptions, grid: Grid, folder: Path | None) -> dict[Cell, Image]:
    from ..pipeline import Pipeline

    models = list(dict.fromkeys(cell.model for cell in grid.cells))
    pictures: dict[Cell, Image] = {}
    for model in models:
        pipe = Pipeline.from_pretrained(model or model_of(options), **options.loading)
        for cell in grid.cells:
            if cell.model == model:
                say(options, f"{len(pictures) + 1}/{len(grid.cells)}  {_named(grid, cell)}")
                result = follow(pipe.run(cell.request), options.quiet)
                pictures[cell] = result.image
                if folder is not None:
                    _keep(options, pipe, result, folder / _file_name(grid, cell))
        pipe.unload()
    return pictures


def _named(grid: Grid, cell: Cell) -> str:
    return ", ".join(filter(None, (grid.columns[cell.column], grid.rows[cell.row])))


def _file_name(grid: Grid, cell: Cell) -> str:
    """`02-1 a-red-house.png`: the row, the column, and what the cell is."""
    words = "".join(c if c.isalnum() else "-" for c in _named(grid, cell).lower())
    plain = "-".join(filter(None, words.split("-")))[:60]
    return f"{cell.row + 1:02}-{cell.column + 1:02}-{plain or 'picture'}.png"


def _keep(options: GenerateOptions, pipe: Pipeline, result: GenerationResult, path: Path) -> None:
    save_picture(path, encode(result.image, pipe.recipe(result), options.metadata, "png"))


def _sheet(grid: Grid, pictures: dict[Cell, Image], output: Output, quality: int) -> bytes:
    from ..pipelines.sheet import contact_sheet

    placed = [(cell.column, cell.row, picture) for cell, picture in pictures.items()]
    return encode_with_texts(contact_sheet(placed, grid.columns, grid.rows), {}, output.format, quality)
