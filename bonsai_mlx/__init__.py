"""Ternary and binary Bonsai Image 4B on stock MLX.

    from bonsai_mlx import GenerationRequest, Pipeline

    pipe = Pipeline.from_pretrained("ternary")  # a catalog name, a Hub id, or a folder in the published layout
    result = pipe.generate("a red fox, ink wash", seed=7)
    result.save("fox.png")  # or .jpg, .webp; with its recipe inside

    for event in pipe.run(GenerationRequest("a red fox, ink wash", seed=7)):
        print(event.phase, event.step, "of", event.steps)  # stop iterating to cancel
    pipe.unload()

Importing this package is cheap and changes nothing in the process: MLX is loaded with the first name that needs it, so
that a web server can use the catalog, the metadata and the requests without a tensor library. `Pipeline` settles the
process for MLX when it is taken from here; a program that imports MLX or modules of this package before that calls
`bonsai_mlx.prepare()` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .request import GenerationRequest
from .result import Event, GenerationResult
from .runtime.startup import prepare
from .version import __version__

if TYPE_CHECKING:
    from .pipeline import Pipeline

__all__ = ["Event", "GenerationRequest", "GenerationResult", "Pipeline", "__version__", "prepare"]


def __getattr__(name: str) -> Any:
    if name == "Pipeline":
        prepare()  # asking for the engine is no mere import
        from .pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
