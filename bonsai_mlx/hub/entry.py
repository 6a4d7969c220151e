"""What is known of a checkpoint before it is here: its names, its place on the Hub, its files, words for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..weights import layout
from ..weights.layout import Layout
from ..wording import command

STEPS, SIZE = 4, (512, 512)  # of the published checkpoints


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint. `digest` is 64 hex digits of sha256, or the 40 of a git blob id for small files."""

    path: str  # relative to the checkpoint folder, with forward slashes
    size: int  # bytes; an estimate while the digest is unknown
    digest: str = ""  # empty: unknown here, so whatever the Hub lists


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkpoint that can be asked for by name."""

    name: str
    title: str
    note: str  # one honest sentence for the person who chooses
    precision: str | None = None  # None: a repository that is not in the catalog, so only its config can tell
    repo: str | None = None  # Hub repository; None for an embedded checkpoint, and for one that is packed here alone
    revision: str = "main"  # a commit where a good one is known
    files: tuple[CheckpointFile, ...] = ()  # known in advance; the Hub may list more that the layout allows
    aliases: tuple[str, ...] = ()
    embedded_folder: Path | None = None  # shipped with the package
    recommended_steps: int = STEPS
    recommended_size: tuple[int, int] = SIZE  # pixels, width x height
    recommended_guidance: float = 1.0  # 1: distilled, and no other guidance and no negative prompt are taken
    resident_bytes: int = 0  # what stays in memory between two pictures, about; 0: unknown
    family: str = "flux2"  # of `families`
    layout: Layout = layout.PACKED
    label: str = ""  # a short title for people; by default `title`
    plain: str = ""  # what it means to somebody who knows no such titles; by default `label`
    summary: str = ""  # a short sentence beside the choice
    public_name: str = ""  # in the interfaces of other programs; by default `name`
    demo_name: str = ""  # among the backends of the Bonsai demo; by default `name`
    featured: bool = False  # among the first to choose from
    licence: str = "Apache-2.0"
    compared_with: str | None = None  # the model that a comparison sets beside this one
    made_from: str | None = None  # the model whose files, packed while they come, make this one; without `repo` always
    stands_in_for: str | None = None  # the model in whose place this one draws while that is not here

    def __post_init__(self) -> None:
        for field, value in (("label", self.title), ("public_name", self.name), ("demo_name", self.name)):
            if not getattr(self, field):
                object.__setattr__(self, field, value)  # as the dataclass itself does where it is frozen

    @property
    def names(self) -> tuple[str, ...]:
        own = (self.name, self.public_name, self.demo_name, *self.aliases, *([self.repo] if self.repo else []))
        return tuple(dict.fromkeys(own))

    @property
    def embedded(self) -> bool:
        return self.embedded_folder is not None

    def layout_of(self, paths: Iterable[str]) -> Layout:
        """Its own layout; of a repository that the catalog does not know, the one in which files of these names are."""
        if self.files or self.precision is not None:
            return self.layout
        present = set(paths)
        return next((one for one in layout.MODELS if not one.missing(present)), self.layout)

    @property
    def bytes_total(self) -> int:
        """Bytes of the files known in advance: what a download is going to take, within a few MB."""
        return sum(file.size for file in self.files)

    @property
    def remedy(self) -> str:
        """What to run to download this checkpoint, to resume a download or to repair damaged files."""
        return "reinstall bonsai-mlx" if self.embedded else f"{command()} download {shlex.quote(self.name)}"
