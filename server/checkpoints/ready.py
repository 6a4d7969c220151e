"""Which checkpoints are complete on this disk, which is the default, and which one a name means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, location, published
from bonsai_mlx.hub.entry import Entry

from ..errors import ApiError
from ..settings import Settings
from ..store import Store


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A checkpoint that can draw now."""

    name: str
    path: Path
    repo: str | None
    revision: str | None
    recommended_steps: int
    recommended_size: tuple[int, int]
    recommended_guidance: float = 1.0
    family: str = "flux2"

    @property
    def recommended(self) -> dict[str, Any]:
        """What `Draw.resolved` takes."""
        return {
            "steps": self.recommended_steps,
            "size": self.recommended_size,
            "guidance": self.recommended_guidance,
            "bits": self.draws_bits,
        }

    @property
    def draws_bits(self) -> bool:
        return self.family == published.BITS

    @property
    def guided(self) -> bool:
        return self.recommended_guidance > 1


class ReadyModels:
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def names(self) -> tuple[str, ...]:
        return catalog.known_names()

    def _folder(self, entry: Entry) -> Path | None:
        """Where a checkpoint lies; None: in the Hugging Face cache, or in the package."""
        models_dir = self._settings.models_dir
        return models_dir / entry.name if models_dir is not None and not entry.embedded else None

    def disk_free_bytes(self) -> int:
        return location.free_bytes(self._settings.models_dir or location.cache_folder())

    def resolve(self, name: str | None) -> str:
        """The catalog's name for a name, alias, backend or repository; the default for None. ApiError 422 otherwise."""
        if name is None:
            return self.default()
        try:
            # the Bonsai demo's names end in -mlx, and in -gemlite on Linux
            return catalog.lookup(name.strip().removesuffix("-gemlite")).name
        except CheckpointError:
            known = ", ".join(self.names())
            message = f"There is no model called {name[:80]!r}."
            raise ApiError(422, "bad_field", message, field="model", remedy=f"There are {known}.") from None

    def default(self) -> str:
        """The chosen model if it is complete, else the configured one, else what stands in for that."""
        configured = self._settings.variant
        chosen = None if "variant" in self._settings.model_fields_set else self._store.preference("default_model")
        for name in (chosen, configured):
            if name is not None and name in self.names() and self.find_ready(name) is not None:
                return name
        return catalog.stand_in(configured).name

    def pair(self) -> tuple[str, str]:
        """What is compared: the first pair of the catalog of which both are complete."""
        *wanted, embedded = catalog.comparisons()
        ready = (pair for pair in wanted if all(self.find_ready(name) is not None for name in pair))
        return next(ready, embedded)

    def find_ready(self, name: str) -> ReadyModel | None:
        entry = catalog.lookup(name)
        local = hub.status(entry, self._folder(entry))
        if local.state != "ready" or local.path is None:
            return None
        repo = local.packed_from or entry.repo
        revision = local.commit or entry.revision if repo else None
        recommended = entry.recommended_steps, entry.recommended_size, entry.recommended_guidance
        return ReadyModel(entry.name, local.path, repo, revision, *recommended, entry.family)

    def require_ready(self, name: str) -> ReadyModel:
        """The checkpoint, or ApiError 409 with the command that fetches it."""
        ready = self.find_ready(name)
        if ready is None:
            entry = catalog.lookup(name)
            folder = self._folder(entry)
            lack = "downloaded yet" if hub.status(entry, folder).state == "absent" else "complete on this machine"
            message, remedy = f"{entry.title} is not {lack}.", hub.remedy(entry, folder)
            raise ApiError(409, "model_missing", message, field="model", remedy=remedy)
        return ready
