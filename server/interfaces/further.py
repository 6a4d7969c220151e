"""The routes that the first page does without."""

from ..routes import bin, codes, collections, inputs, metadata, options, selection
from ..routes.pipelines import grids, pipelines, styles, writing

ROUTERS = (
    *(inputs.router, metadata.router, codes.router, collections.router, selection.router, options.router, bin.router),
    *(styles.router, grids.router, pipelines.router, writing.router),
)
