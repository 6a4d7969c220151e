"""The routes that no page needs to be shown."""

from ..compat import connect
from ..routes import (
    bin,
    codes,
    collections,
    generate,
    images,
    inputs,
    jobs,
    metadata,
    models,
    options,
    selection,
)
from ..routes.pipelines import grids, pipelines, styles, writing

ROUTERS = (
    *(generate.router, jobs.router, images.router, models.router, connect.router),
    *(inputs.router, metadata.router, codes.router, collections.router, selection.router, options.router, bin.router),
    *(styles.router, grids.router, pipelines.router, writing.router),
)
