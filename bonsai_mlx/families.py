"""The families of models: which one opens which checkpoint folder.

A family is registered with a name and two functions: whether a folder is of its kind, told from the folder's
model_index.json, and how to open it. A new family is one package and one line in `FAMILIES`; a program that brings one
of its own calls `register`. A family's package is imported when its first checkpoint is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .fileio import read_bounded
from .model import Model
from .weights.layout import NOWHERE, Elsewhere

if TYPE_CHECKING:
    import mlx.core as mx


_MAX_INDEX_BYTES = 1 << 20


class Open(Protocol):
    """How a family opens a folder. CheckpointError, which suggests `repair` for damaged files."""

    def __call__(self, folder: Path, *, repair: str | None, embeddings: Any, dtype: mx.Dtype | None) -> Model: ...


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model: `recognises` looks at the parsed model_index.json."""

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    open: Open
    tiny_previews: bool = False  # whether a tiny decoder of FLUX.2's latents may draw its previews


def _is_flux2(index: Mapping[str, Any]) -> bool:
    return index.get("_class_name") == "Flux2KleinPipeline"


def _is_bits(index: Mapping[str, Any]) -> bool:
    latents = index.get("latents")
    return isinstance(latents, dict) and latents.get("kind") == "bernoulli"


def _open_bits(
    folder: Path, *, repair: str | None, embeddings: Any, dtype: mx.Dtype | None, elsewhere: Elsewhere = NOWHERE
) -> Model:
    from .bits.model import open_model as open_bits

    return open_bits(folder, repair=repair, embeddings=embeddings, dtype=dtype, elsewhere=elsewhere)


def _open_flux2(
    folder: Path, *, repair: str | None, embeddings: Any, dtype: mx.Dtype | None, elsewhere: Elsewhere = NOWHERE
) -> Model:
    from .flux2.model import open_model as open_flux2

    return open_flux2(folder, repair=repair, embeddings=embeddings, dtype=dtype, elsewhere=elsewhere)


FAMILIES: list[Family] = [
    Family("bits", _is_bits, _open_bits),
    Family("flux2", _is_flux2, _open_flux2, tiny_previews=True),
]


def register(family: Family) -> None:
    """Add a family; the latest is asked first."""
    FAMILIES.insert(0, family)


def open_model(
    folder: Path,
    *,
    repair: str | None = None,
    embeddings: Any = None,
    dtype: mx.Dtype | None = None,
    elsewhere: Elsewhere = NOWHERE,
) -> Model:
    """The model in a checkpoint folder. What no family recognises is opened as FLUX.2, which says what is wrong.

    A family that knows nothing of parts that lie elsewhere is not asked for them.
    """
    index = _index(folder)
    family = next((family for family in FAMILIES if family.recognises(index)), FAMILIES[-1])
    asked = elsewhere if family.tiny_previews else replace(elsewhere, preview=None)
    more: dict[str, Any] = {} if asked == NOWHERE else {"elsewhere": asked}
    return family.open(folder, repair=repair, embeddings=embeddings, dtype=dtype, **more)


def _index(folder: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(read_bounded(folder / "model_index.json", _MAX_INDEX_BYTES, follow_symlinks=True))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
