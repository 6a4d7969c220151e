"""What a pipeline needs of a model, whatever its family."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from .request import Request, ResolvedRequest
from .result import Event

if TYPE_CHECKING:
    from .adapters.file import AdapterFile
    from .adapters.fitting import FittedAdapter
    from .runtime.memory import RunMemory


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pixels that go into a run, at the sizes that the model takes: uint8 [height, width, 3]."""

    references: Sequence[np.ndarray[Any, Any]] = ()  # looked at
    init: np.ndarray[Any, Any] | None = None  # changed; of the request's size, or larger: then in tiles of that size
    morph: np.ndarray[Any, Any] | None = None  # some of whose bits replace those of `init`; of the same size
    repainted: np.ndarray[Any, Any] | None = None  # float32 [height/16, width/16]: 1 is drawn anew, 0 is kept


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is, for people, recipes and the choice of what to ask of it."""

    family: str
    precision: str  # "ternary", "binary", or the bits of a weight
    recommended_steps: int
    recommended_size: tuple[int, int]  # pixels, width x height
    recommended_guidance: float = 1.0  # 1: distilled, one pass a step and no negative prompt


Adapters: TypeAlias = "Sequence[tuple[FittedAdapter, float]]"  # with their strengths


class MemoryPlan(Protocol):
    """How one run will use memory; a family has more to say in its own."""

    @property
    def peak_bytes(self) -> int: ...
    @property
    def resident_bytes(self) -> int: ...
    @property
    def phases(self) -> Mapping[str, int]: ...


class Model(Protocol):
    """A checkpoint that can be drawn with. It belongs to the thread that uses it first.

    `embeddings` are its encoded prompts, which another model with the same text encoder may use.
    """

    embeddings: Any

    def describe(self) -> Description: ...

    def sampler(self, request: ResolvedRequest) -> Mapping[str, Any]:
        """What a recipe says of the steps: `scheduler`, its name, and `shift` where it has one."""
        ...

    def resolve(self, request: Request) -> ResolvedRequest:
        """The request with nothing left open; RequestError for what this model cannot do."""
        ...

    def fit(self, adapter: AdapterFile) -> FittedAdapter:
        """An adapter's file as something to draw with; AdapterError says what it is for if it does not fit."""
        ...

    def plan(
        self,
        request: ResolvedRequest,
        limit_bytes: int | None,
        *,
        preview: bool = False,
        references: Sequence[tuple[int, int]] = (),
        whole: tuple[int, int] | None = None,
        adapters: Adapters = (),
    ) -> MemoryPlan:
        """How a run will use memory, with references of these sizes (pixels); OutOfMemory if no way fits the limit.

        `whole` is the size of a picture that is drawn in tiles of the request's.
        """
        ...

    def prepare(self, plan: Any) -> int:
        """Drop what the plan has no room for; returns the bytes that stay and that the plan counts."""
        ...

    def run(
        self,
        request: ResolvedRequest,
        plan: Any,
        memory: RunMemory,
        *,
        pictures: Pictures | None = None,
        adapters: Adapters = (),
        latents: Any = None,
        preview: bool = False,
    ) -> Generator[Event, None, None]:
        """Make one picture, an event at a time; closing the generator frees what the run took."""
        ...

    def unload(self) -> None: ...
