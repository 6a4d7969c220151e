"""Download a model's original files and pack each of them before the next one comes.

What comes of it is, byte for byte, what `convert` makes of the whole folder. Beside that no more than one file of the
original lies on the disk at a time, and a run that was ended at any point goes on from there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import CheckpointError
from ..fileio import to_disk
from ..flux2.checkpoint import Checkpoint
from ..flux2.parts.components import Components, encoder_names, transformer_names
from ..flux2.parts.config import TransformerConfig
from ..hub import api as hub
from ..hub.catalog import entry_of
from ..hub.entry import CheckpointFile, Entry
from ..hub.incoming import Incoming, begin
from ..hub.progress import Progress, finished
from ..weights.layout import DIFFUSERS, INDEX, PACKED, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE
from ..weights.source import Source, Translate
from ..weights.spec import DENSE_BITS, Storage, Tensors, bits_of
from .convert import (
    GROUP_SIZE,
    index_of,
    link_or_copy,
    packed_encoder,
    packed_transformer,
    write_encoder_config,
    write_json,
    write_transformer_config,
)
from .layers import Target, encoder_target, transformer_target


def download_packed(entry: Entry | str, folder: Path | str | None = None, token: str | None = None) -> Progress:
    """Make `entry` of the files of the model that it is made from; yields progress, the last event has `done`.

    Closing the generator, or killing the process, loses nothing but what was being packed. Raises DownloadError,
    NotEnoughSpaceError before anything large comes, CheckpointError for files that are not what they should be.
    """
    entry = entry_of(entry)
    local = hub.status(entry, folder)
    if local.state == "ready":
        yield finished(local.path, local.bytes_total)
        return
    coming = begin(entry, folder, token)
    with coming.held():
        if not coming.is_sealed:
            yield from _Packing(coming, bits_of(entry.precision or "")).run()
            yield from coming.seal()
        coming.publish()
        yield finished(coming.place.root, coming.source.bytes_total)


def encoder_bits(bits: int) -> int:
    """Of the text encoder beside a transformer of so many bits: as in the checkpoints that are published packed."""
    return 8 if bits == 8 else 4


@dataclass(frozen=True, slots=True)
class _Part:
    """One component that is packed: its files, how these name tensors, what they hold, and what becomes of them."""

    files: tuple[CheckpointFile, ...]
    translate: Translate
    tensors: Tensors
    target: Target
    path: Path  # of what is made


class _Packing:
    """From the files of one repository to the packed checkpoint in the folder `out` of its notes."""

    def __init__(self, coming: Incoming, bits: int) -> None:
        self.coming, self.bits, self.out = coming, bits, coming.out
        large: dict[str, list[CheckpointFile]] = {TRANSFORMER: [], TEXT_ENCODER: []}
        self.kept: list[CheckpointFile] = []
        for file in sorted(coming.source.files, key=lambda file: file.path):
            component = file.path.partition("/")[0]
            packs = component in large and file.path.endswith(".safetensors")
            (large[component] if packs else self.kept).append(file)
        self.large = large

    def run(self) -> Progress:
        for file in sorted(self.kept, key=lambda file: file.size):
            yield from self.coming.get(file)
        with self.coming.explained(self.coming.source.repo):
            parts = self._parts()
            made = sum(part.target.bytes - _taken(part.path) for part in parts)
            self.coming.check_space((), [file for part in parts for file in part.files], max(0, made))
        for part in parts:
            yield from self._pack(part)
        with self.coming.explained(self.coming.source.repo):
            self._complete()

    def _parts(self) -> list[_Part]:
        """The configs of the source say what is to come; those of what is made are written beside its files."""
        read, source = Components(self.coming.remedy), self.coming.staging.root
        folders = {name: DIFFUSERS.folder(name) for name in (TRANSFORMER, TEXT_ENCODER)}
        stated = read.config(source / folders[TRANSFORMER] / "config.json", TransformerConfig)
        stated = replace(stated, bits=DENSE_BITS, group_size=1)
        transformer = packed_transformer(stated, self.bits, GROUP_SIZE, affine=False)
        said = source / folders[TEXT_ENCODER] / "config.json"
        whole = replace(read.encoder_config(said), bits=DENSE_BITS, group_size=1)
        encoder = packed_encoder(whole, encoder_bits(self.bits))
        write_transformer_config(transformer, self.out / PACKED.folder(TRANSFORMER))
        write_encoder_config(encoder, said, self.out / PACKED.folder(TEXT_ENCODER))
        return [
            self._part(
                TRANSFORMER,
                transformer_names,
                stated.tensors(),
                transformer_target(transformer),
            ),
            self._part(
                TEXT_ENCODER,
                encoder_names,
                whole.tensors(),
                encoder_target(encoder),
            ),
        ]

    def _part(self, component: str, translate: Translate, tensors: Tensors, target: Target) -> _Part:
        path = self.out / PACKED.weights(component)
        return _Part(tuple(self.large[component]), translate, tensors, target, path)

    def _pack(self, part: _Part) -> Progress:
        if not part.target.is_begun(part.path):
            self.coming.forget(part.files)
        for file in part.files:
            yield from self.coming.get(file)
            if not self.coming.is_used(file):
                with self.coming.explained(file.path):
                    yield from self._pack_file(part, file)
        lacking = sorted(part.target.layers.keys() - self.coming.used(part.files))
        if lacking:
            self.coming.forget(part.files)
            where = f"{self.coming.source.repo}: {part.files[0].path.rpartition('/')[0]}"
            raise CheckpointError(f"{where}: tensor {lacking[0]}.weight is missing")

    def _pack_file(self, part: _Part, file: CheckpointFile) -> Progress:
        source = Source([self.coming.path(file)], part.translate, repair=self.coming.remedy)
        held = source.pieces()
        arrays = source.load({name: spec for name, spec in part.tensors.items() if name in held})
        layers = dict.fromkeys(name.rpartition(".")[0] for name in held)
        with part.target.open(part.path) as written:
            for layer in layers:
                yield from self.coming.tell_packing(file.path)
                part.target.write(written, layer, Storage(), arrays, held)
            written.flush()
            to_disk(written.fileno())
        self.coming.use_up(file, layers)

    def _complete(self) -> None:
        """What needs no packing, and at last the index, of what the folder then says when it is opened."""
        source = self.coming.staging.root
        for file in self.kept:
            component, _, name = file.path.rpartition("/")
            if component in ("", SCHEDULER, TOKENIZER, VAE) and file.path != INDEX:
                (self.out / component).mkdir(exist_ok=True)
                if not (self.out / file.path).exists():
                    link_or_copy(self.coming.path(file), self.out / component / name)
        shutil.copyfile(source / INDEX, self.out / INDEX)
        checkpoint = Checkpoint.open(self.out, repair=self.coming.remedy)
        write_json(self.out / INDEX, index_of(checkpoint))


def _taken(path: Path) -> int:
    """Bytes of the disk; a file that is written here and there takes less than its length says."""
    return path.stat().st_blocks * 512 if path.exists() else 0
