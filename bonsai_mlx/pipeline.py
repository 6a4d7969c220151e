"""A request in, a picture out, an event at a time.

    pipe = Pipeline.from_pretrained("ternary")  # finds the checkpoint; a family of models opens it
    for event in pipe.run(request): ...         # plans its memory, draws, and says how far it is

What is computed when, and what is in memory when, is for the model to say (flux2/model.py). The pipeline has what all
families share: where a checkpoint lies, the memory limit, the meter, and what the device's errors mean.

Everything here belongs to the thread that uses it first: MLX arrays cannot cross threads.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .families import open_model
from .hub import api as hub
from .hub.catalog import Entry, resolve
from .images.recipe import Recipe, timestamp
from .model import MemoryPlan, Model
from .request import GenerationRequest, Request
from .result import Event, GenerationResult
from .runtime import device
from .runtime.memory import RunMemory
from .runtime.startup import prepare
from .version import __version__

if TYPE_CHECKING:
    import mlx.core as mx


class Pipeline:
    """Makes pictures with one model. See the package's docstring for how it is used."""

    def __init__(
        self, model: Model, *, name: str, entry: Entry | None = None, memory_limit_bytes: int | None = None
    ) -> None:
        """`name` is what recipes call the model; `entry` is its place in the catalog."""
        prepare()  # late where MLX is there already, which is then said
        self.model = model
        self.name = name
        self.entry = entry
        self.memory_limit_bytes = memory_limit_bytes

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        memory_limit_bytes: int | None = None,
        embeddings: Any = None,
        dtype: mx.Dtype | None = None,
    ) -> Pipeline:
        """Open a checkpoint by catalog name, Hub id (downloaded before) or folder. Loads no weights yet.

        A catalog name wins over a folder of that name, which is written ./ternary or given as a Path. Raises
        CheckpointError if it is missing, incomplete or damaged. `memory_limit_bytes` bounds what MLX may hold (see
        flux2.plan.choose); passing another model's `embeddings` shares its encoded prompts.
        """
        folder = hub.as_folder(name_or_path)
        entry = None if folder else resolve(str(name_or_path))
        path = folder or hub.find(name_or_path)
        model = open_model(path, repair=entry.remedy if entry else None, embeddings=embeddings, dtype=dtype)
        return cls(model, name=entry.name if entry else path.name, entry=entry, memory_limit_bytes=memory_limit_bytes)

    def generate(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        latents: Any = None,
    ) -> GenerationResult:
        """Make one picture. What is left None is the checkpoint's recommendation, and a random seed.

        `latents`, a float array [1, in_channels, height/16, width/16], replace the seed's noise.
        """
        request = GenerationRequest(prompt, seed=seed, steps=steps, width=width, height=height)
        *_, last = self.run(request, latents=latents)
        assert last.result is not None  # noqa: S101  the last event carries the result
        return last.result

    def run(
        self, request: Request, *, latents: Any = None, preview: bool = False, memory: RunMemory | None = None
    ) -> Generator[Event, None, None]:
        """Make one picture, an event at a time; the last event carries the result.

        Closing the generator at any event stops the work and frees what the run took. Raises RequestError for a bad
        request, OutOfMemory when the memory limit, or the device, is too small, and DeviceError when the device stopped
        the work. `preview` asks for a small approximate picture after every step; `memory` is a meter of the caller's
        that already runs.
        """
        resolved = self.model.resolve(request)
        plan = self.model.plan(resolved, self.memory_limit_bytes, preview=preview)
        goal = device.memory_goal(
            plan.peak_bytes,
            resident_bytes=self.model.prepare(plan),
            small_cache=self.memory_limit_bytes is not None,
        )
        try:
            with (
                goal,
                nullcontext(memory) if memory else RunMemory() as meter,
                closing(self.model.run(resolved, plan, meter, latents=latents, preview=preview)) as events,
            ):
                for event in events:
                    yield self._with_recipe(event)
        except (RuntimeError, MemoryError) as error:
            device.raise_failure(error, f"{resolved.width}x{resolved.height}")
            raise
        finally:
            device.release_cache()

    def _with_recipe(self, event: Event) -> Event:
        if event.result is None:
            return event
        return replace(event, result=replace(event.result, recipe=self.recipe(event.result)))

    def plan(self, request: Request, *, preview: bool = False) -> MemoryPlan:
        """How this request will use memory under the pipeline's limit; OutOfMemory if no way fits."""
        return self.model.plan(self.model.resolve(request), self.memory_limit_bytes, preview=preview)

    @property
    def embeddings(self) -> Any:
        """The encoded prompts, which another pipeline with the same text encoder may use."""
        return self.model.embeddings

    def unload(self) -> None:
        """Drop every weight; the next run loads them again. Prompt embeddings stay."""
        self.model.unload()

    def recipe(self, result: GenerationResult) -> Recipe:
        """What to write into the picture's file so that it can be made again."""
        return Recipe.of(
            result.request,
            variant=self.model.describe().precision,
            model=self.name,
            repo=self.entry.repo if self.entry else None,
            revision=self.entry.revision if self.entry and self.entry.repo else None,
            **self.model.sampler(result.request),
            truncated=result.truncated or None,
            app_version=__version__,
            mlx=device.mlx_version(),
            timings=result.timings,
            peak_memory_bytes=int(result.memory["peak_bytes"]),
            created_at=timestamp(),
        )
