"""Checkpoints by name: those that are known, and any repository of the Hub.

Nothing here looks at the disk or the network (`hub` does).
"""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

from ..errors import CheckpointError
from . import published
from .addresses import from_address, is_repository
from .entry import Entry


def lookup(name: str) -> Entry:
    """The entry of that name, alias or Hub repository. Raises CheckpointError naming the known ones."""
    entry = _known(name)
    if entry is None:
        raise CheckpointError(
            f"there is no checkpoint called {name!r}; known are {', '.join(known_names())}, "
            "and any Hub repository in a layout that is read, written owner/name or pasted as its address"
        )
    return entry


def is_known(name: str) -> bool:
    return _known(name) is not None


def _known(name: str) -> Entry | None:
    repo, revision = from_address(name)
    wanted = repo.strip().lower()
    found = next((entry for entry in published.CATALOG if wanted in (name.lower() for name in entry.names)), None)
    return found if found and revision in (None, "main", found.revision) else None


def known_names() -> tuple[str, ...]:
    return tuple(entry.name for entry in published.CATALOG)


def published_names() -> tuple[str, ...]:
    """The names of what people choose between first of what can be downloaded, the default before the others."""
    return tuple(entry.name for entry in published.CATALOG if entry.featured)


def stand_in(name: str) -> Entry:
    """The embedded checkpoint that draws in place of `name` while that is not on the machine; else `name`'s own."""
    own = lookup(name).name
    return next((entry for entry in published.CATALOG if entry.stands_in_for == own), lookup(own))


def bits_model() -> str:
    """The name of the model that draws in bits unless another is named. CheckpointError."""
    found = next((entry.name for entry in published.CATALOG if entry.family == published.BITS), None)
    if found is None:
        raise CheckpointError("no model that draws in bits is here; name the folder of one with --model")
    return found


def coding_place() -> str | Path:
    """What encodes and decodes pictures unless a model is named: the name of a model, or the folder of the autoencoder
    that the package brings. CheckpointError."""
    found = next((entry.name for entry in published.CATALOG if entry.family == published.BITS), None)
    place = found or published.embedded_autoencoder()
    if place is None:
        raise CheckpointError("no model whose latents are bits is here; name the folder of one with --model")
    return place


def comparisons() -> tuple[tuple[str, str], ...]:
    """The pairs of models that are compared, the most wanted first; the last needs no download."""
    return tuple((entry.name, entry.compared_with) for entry in published.CATALOG if entry.compared_with)


def resolve(name: str) -> Entry:
    """Like `lookup`, and for a Hub repository that is not in the catalog, an entry made up for it.

    So also for an address that names another revision than the catalog's: what it leads to is what is meant.
    """
    repo, revision = from_address(name)
    if is_known(name) or not is_repository(repo):
        return lookup(name)
    note = "A repository outside the catalog: nothing is known about it in advance."
    if revision in (None, "main"):
        return Entry(name=repo, title=repo, note=note, repo=repo)
    address = f"https://huggingface.co/{repo}/tree/{quote(revision or '', safe='')}"
    return Entry(address, f"{repo} at {revision}", note, repo=repo, revision=revision or "main")


def part(name: str) -> Entry | None:
    """The text encoder or decoder of that name, alias or repository."""
    wanted = from_address(name)[0].strip().lower()
    return next((one for one in published.PARTS if wanted in (known.lower() for known in one.names)), None)


def to_download(name: str) -> Entry:
    return part(name) or resolve(name)


def entry_of(entry: Entry | str) -> Entry:
    return entry if isinstance(entry, Entry) else resolve(entry)


def remedy(
    entry: Entry | str, folder: Path | str | None = None, revision: str | None = None, origin: str | None = None
) -> str:
    """The command that gets a checkpoint, goes on with it or repairs it."""
    options = {"--from": origin, "--dir": folder, "--revision": revision}
    given = (f" {option} {shlex.quote(str(value))}" for option, value in options.items() if value)
    return "".join((entry_of(entry).remedy, *given))
