"""What a grid asks for: the cells' work, and what is told of them before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from bonsai_mlx.pipelines.axes import Cell, Grid, grid_of
from bonsai_mlx.pipelines.styles import StyleBook, styled
from bonsai_mlx.request import Draw, refuse_idle

from ..checkpoints.models import Models
from ..errors import ApiError
from ..parameters import GridRequest
from ..schemas.jobs import GridCell, GridPlan
from ..settings import Settings
from .active import Work
from .durations import Durations

_DIGEST_CHARS = 64  # of an input; a picture of the gallery has an id half as long
WorkOf = Callable[[Draw, str | None, bool], Awaitable[Work]]  # request, model, force


def _grid_of(draw: Draw, axes: Mapping[str, Sequence[object]]) -> Grid:
    """Pictures of the gallery have ids too short for inputs; they become such with each cell's work (`_named_as`)."""
    shaped = replace(
        draw,
        init=draw.init and draw.init.ljust(_DIGEST_CHARS, "0"),
        mask=draw.mask and draw.mask.ljust(_DIGEST_CHARS, "0"),
        references=tuple(one.ljust(_DIGEST_CHARS, "0") for one in draw.references),
    )
    return grid_of(shaped, axes)


def _named_as(draw: Draw, cell: Draw) -> Draw:
    return replace(cell, init=draw.init, mask=draw.mask, morph=draw.morph, references=tuple(draw.references))


class Grids:
    """`work_of` makes one cell's work, as for a single picture."""

    def __init__(self, settings: Settings, models: Models, durations: Durations, work_of: WorkOf) -> None:
        self._settings = settings
        self._models = models
        self._durations = durations
        self._work_of = work_of

    def plan(self, body: GridRequest) -> GridPlan:
        """How many pictures, which, how long they take if that is known, and whether they fit into the queue."""
        grid = self._grid(body)
        limit, count = self._limit, len(grid.cells)
        message = None
        if count > limit:
            message = f"These are {count} pictures; at most {limit} are drawn at a time. Leave some values out."
        return GridPlan(
            columns=list(grid.columns),
            rows=list(grid.rows),
            count=count,
            limit=limit,
            fits=count <= limit,
            message=message,
            seconds=self._seconds(body, grid) if count <= limit else None,
        )

    async def work(self, body: GridRequest) -> list[Work]:
        """The work of every cell, row by row. ApiError: more than the queue takes, and whatever one cell is refused."""
        grid = self._grid(body)
        if len(grid.cells) > self._limit:
            message = f"These are {len(grid.cells)} pictures; at most {self._limit} are drawn at a time."
            remedy = "Leave some values out, or start the server with a larger --queue-size."
            raise ApiError(422, "bad_field", message, field="axes", remedy=remedy)
        return [await self._cell_work(body, grid, cell) for cell in grid.cells]

    @property
    def _limit(self) -> int:
        return self._settings.queue_size + 1

    def _grid(self, body: GridRequest) -> Grid:
        axes: dict[str, list[int | float | str]] = {}
        for axis in body.axes:
            axes.setdefault(axis.name, []).extend(axis.values)
        draw = body.draw()
        refuse_idle(replace(draw, variation_seed=None))  # an axis may make it a variation
        grid = _grid_of(draw, axes)
        book = StyleBook.open()
        for cell in grid.cells:
            styled(cell.request, book)
            if cell.model is not None:
                self._models.resolve(cell.model)
        return grid

    async def _cell_work(self, body: GridRequest, grid: Grid, cell: Cell) -> Work:
        work = await self._work_of(_named_as(body.draw(), cell.request), cell.model or body.model, body.force)
        place = GridCell(column=cell.column, row=cell.row, columns=list(grid.columns), rows=list(grid.rows))
        return work._replace(cell=place)

    def _seconds(self, body: GridRequest, grid: Grid) -> float | None:
        total = 0.0
        for cell in grid.cells:
            name = self._models.resolve(cell.model or body.model)
            ready = self._models.find_ready(name)
            if ready is None:
                return None
            request = cell.request.resolved(**ready.recommended)
            forecast = self._durations.forecast(name, request.width, request.height, request.steps, loaded=True)
            if forecast.total_s is None:
                return None
            total += forecast.total_s
        return total
