"""What a person may change while the server runs: the next picture is drawn with it, and so are later starts.

An option of this start, on the command line or as a variable, counts more than what was chosen, and cannot be changed.
"""

from __future__ import annotations

import contextlib

from bonsai_mlx.hub import api as hub
from bonsai_mlx.hub import catalog, published
from bonsai_mlx.hub.published import PartKind

from ..errors import ApiError
from ..settings import Settings, downloaded_part
from ..store import Store
from .shapes import Preferences, PreferencesPatch

OPTIONS = {  # field of the interface -> field of the settings, option of the command line
    "preview": ("preview", "--no-preview"),
    "default_model": ("variant", "--variant"),
    "keep_alive_minutes": ("keep_alive", "--keep-alive"),
    "memory_limit_bytes": ("memory_limit", "--memory-limit"),
    "text_encoder": ("text_encoder", "--text-encoder"),
    "decoder": ("decoder", "--decoder"),
}
PART_KINDS: dict[str, PartKind] = {"text_encoder": "text encoder", "decoder": "decoder"}  # those that are chosen


def _place(name: str, kind: PartKind, settings: Settings) -> str | None:
    """What the engine finds a part of the catalog's by: its path in the folder of models, or its name in the cache."""
    folder = downloaded_part(name, kind, settings.models_dir)
    if folder is not None:
        return str(folder)
    entry = catalog.part(name)
    return name if entry in published.parts(kind) and entry and hub.status(entry).state == "ready" else None


def _known(field: str, name: str, settings: Settings) -> str:
    """The catalog's name of a part that is here: a request names no paths. ApiError 422 or 409."""
    known = published.parts(PART_KINDS[field])
    entry = catalog.part(name)
    if entry is None or entry not in known:
        names = ", ".join(one.name for one in known)
        message = f"There is no {PART_KINDS[field]} called {name[:80]!r}."
        raise ApiError(422, "bad_field", message, field=field, remedy=f"Known are {names}; null is the model's own.")
    if _place(entry.name, PART_KINDS[field], settings) is None:
        message = f"{entry.title} is not complete on this machine."
        raise ApiError(409, "model_missing", message, field=field, remedy=entry.remedy)
    return entry.name


class Choices:
    """Change them from the event loop; they are read from any thread."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._stored = {field: store.preference(field) for field in OPTIONS}

    def is_fixed(self, field: str) -> bool:
        return OPTIONS[field][0] in self._settings.model_fields_set

    def _chosen(self, field: str) -> str | None:
        return None if self.is_fixed(field) else self._stored[field]

    @property
    def preview(self) -> bool:
        chosen = self._chosen("preview")
        return self._settings.preview if chosen is None else chosen == "on"

    @property
    def keep_alive(self) -> float:
        """Minutes that an idle engine stays loaded; 0: until it is unloaded."""
        return self._number("keep_alive_minutes", self._settings.keep_alive)

    @property
    def memory_limit(self) -> int | None:
        """Of the engine, in bytes."""
        chosen = self._number("memory_limit_bytes", 0)
        return int(chosen) if chosen else self._settings.memory_limit

    @property
    def named_parts(self) -> dict[str, str]:
        """Text encoder and decoder that take the place of a downloaded model's own: names of the catalog's, or paths.

        What was chosen and is not here any more counts as nothing.
        """
        given = {"text_encoder": self._settings.text_encoder, "decoder": self._settings.decoder}
        chosen = {field: self._chosen(field) or value for field, value in given.items()}
        return {field: name for field, name in chosen.items() if name and self._place(name, PART_KINDS[field], field)}

    @property
    def parts(self) -> dict[str, str]:
        """The same as the engine finds them, and what draws previews besides the engine itself."""
        named = self.named_parts.items()
        found = {field: self._place(name, PART_KINDS[field], field) for field, name in named}
        if self.preview:
            given = self._settings.preview_decoder
            names = [given] if given else [entry.name for entry in published.parts("preview decoder")]
            places = (self._place(name, "preview decoder", "preview_decoder") for name in names)
            found["preview_decoder"] = next(filter(None, places), None)
        return {field: place for field, place in found.items() if place}

    def offered_preview(self) -> str | None:
        """The title of what would draw more of a preview and is not here."""
        known = published.parts("preview decoder")
        if self._settings.preview_decoder or any(_place(one.name, "preview decoder", self._settings) for one in known):
            return None
        return known[0].title

    def has(self, field: str, name: str) -> bool:
        """Whether a part of the catalog's is here."""
        return _place(name, PART_KINDS[field], self._settings) is not None

    def _place(self, name: str, kind: PartKind, field: str) -> str | None:
        """As the function of that name; what an option of the start says was checked then."""
        given = field in self._settings.model_fields_set
        return _place(name, kind, self._settings) or (name if given else None)

    def _number(self, field: str, default: float) -> float:
        with contextlib.suppress(ValueError):
            chosen = float(self._chosen(field) or "")
            PreferencesPatch.model_validate({field: chosen})
            return chosen
        return default

    def preferences(self) -> Preferences:
        return Preferences(
            preview=self.preview,
            default_model=self._chosen("default_model"),
            queue_size=self._settings.queue_size,
            keep_alive_minutes=self.keep_alive,
            memory_limit_bytes=self.memory_limit,
            text_encoder=self.named_parts.get("text_encoder"),
            decoder=self.named_parts.get("decoder"),
            fixed=[field for field in OPTIONS if self.is_fixed(field)],
        )

    def change(self, patch: PreferencesPatch) -> None:
        """Keep what the patch names; null returns to the default. ApiError 409 for what is fixed."""
        values = patch.model_dump(exclude_unset=True)
        for field in values:
            if self.is_fixed(field):
                option = OPTIONS[field][1]
                message = f"This server was started with {option}, or its variable, which decides."
                raise ApiError(409, "conflict", message, field=field, remedy=f"Start it without {option}.")
            if field in PART_KINDS and values[field] is not None:
                values[field] = _known(field, values[field], self._settings)
        for field, value in values.items():
            text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
            self._stored[field] = None if value is None else text
            self._store.set_preference(field, self._stored[field])
