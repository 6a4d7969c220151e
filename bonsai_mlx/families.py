"""The families of models: what a pipeline needs of a model, and which family opens which checkpoint folder.

A family is registered with a name and two functions: whether a folder is of its kind, told from the folder's
model_index.json, and how to open it. A new family is one package and one line in `FAMILIES`; a program that brings one
of its own calls `register`. A family's package is imported when its first checkpoint is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .fileio import read_bounded
from .request import Request, ResolvedRequest
from .result import Event

if TYPE_CHECKING:
    import mlx.core as mx

    from .runtime.memory import RunMemory

_MAX_INDEX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is, for people, recipes and the choice of what to ask of it."""

    family: str
    precision: str  # "ternary", "binary", or the bits of a weight
    recommended_steps: int
    recommended_size: tuple[int, int]  # pixels, width x height


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

    def describe(self) -> Description:
        """What it is."""
        ...

    def sampler(self, request: ResolvedRequest) -> Mapping[str, Any]:
        """What a recipe says of the steps: `scheduler`, its name, and `shift` where it has one."""
        ...

    def resolve(self, request: Request) -> ResolvedRequest:
        """The request with nothing left open; RequestError for what this model cannot do."""
        ...

    def plan(self, request: ResolvedRequest, limit_bytes: int | None, *, preview: bool = False) -> MemoryPlan:
        """How a run will use memory; OutOfMemory if no way fits the limit."""
        ...

    def prepare(self, plan: Any) -> int:
        """Drop what the plan has no room for; returns the bytes that stay and that the plan counts."""
        ...

    def run(
        self, request: ResolvedRequest, plan: Any, memory: RunMemory, *, latents: Any = None, preview: bool = False
    ) -> Generator[Event, None, None]:
        """Make one picture, an event at a time; closing the generator frees what the run took."""
        ...

    def unload(self) -> None:
        """Drop every weight; the next run loads them again."""
        ...


class Open(Protocol):
    """How a family opens a folder. CheckpointError, which suggests `repair` for damaged files."""

    def __call__(self, folder: Path, *, repair: str | None, embeddings: Any, dtype: mx.Dtype | None) -> Model: ...


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model: `recognises` looks at the parsed model_index.json."""

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    open: Open


def _is_flux2(index: Mapping[str, Any]) -> bool:
    return index.get("_class_name") == "Flux2KleinPipeline"


def _open_flux2(folder: Path, **options: Any) -> Model:
    opened: Model = import_module("bonsai_mlx.flux2.model").open_model(folder, **options)
    return opened


FAMILIES: list[Family] = [Family("flux2", _is_flux2, _open_flux2)]


def register(family: Family) -> None:
    """Add a family; the latest is asked first."""
    FAMILIES.insert(0, family)


def open_model(
    folder: Path, *, repair: str | None = None, embeddings: Any = None, dtype: mx.Dtype | None = None
) -> Model:
    """The model in a checkpoint folder. What no family recognises is opened as FLUX.2, which says what is wrong."""
    index = _index(folder)
    family = next((family for family in FAMILIES if family.recognises(index)), FAMILIES[-1])
    return family.open(folder, repair=repair, embeddings=embeddings, dtype=dtype)


def _index(folder: Path) -> Mapping[str, Any]:
    """The folder's model_index.json, or nothing where it cannot be read."""
    try:
        values = json.loads(read_bounded(folder / "model_index.json", _MAX_INDEX_BYTES, follow_symlinks=True))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
