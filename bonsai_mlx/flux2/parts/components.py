"""The parts of a checkpoint as they lie in folders and files: the config of each, and the source of its tensors.

A folder of the published layout says itself how it is packed. Any other is told by what is in it: one file or shards
with an index, diffusers' names, Black Forest Labs' or the other MLX program's, and a config.json where there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from ...decoding import decode
from ...errors import CheckpointError
from ...fileio import read_bounded
from ...weights.headers import Stored
from ...weights.layout import SAFE_NAME
from ...weights.source import OtherModel, Pieces, Source, Translate, as_stored
from ...weights.spec import Packing
from . import foreign, inferred, naming, tiny_decoder
from .config import Latents, TextEncoderConfig, TransformerConfig, VaeConfig
from .tiny_decoder import TinyConfig

_MAX_JSON_BYTES = 64 << 10
_MAX_INDEX_BYTES = 1 << 20
_MFLUX_GROUP = 64
_WHOLE_FILES = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_SHARD = re.compile(r"\d{1,3}\.safetensors")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Part(Generic[C]):
    """One component."""

    config: C
    source: Source
    absent: frozenset[str] = frozenset()  # tensors that it does without


class Components:
    """Reads components; `repair` is what to suggest for damaged ones."""

    def __init__(self, repair: str) -> None:
        self.repair = repair

    def transformer(self, place: Path, *, published: bool = True) -> Part[TransformerConfig]:
        if published:
            return self._published_transformer(place)
        source = self._source(place, transformer_names)
        pieces = source.pieces()
        path = place / "config.json"
        packing = self._packing(place)
        with _Explained(source):
            stored = inferred.storages(pieces, packing.group_size if packing else _MFLUX_GROUP)
            config = inferred.transformer(pieces, stored)
        if place.is_dir() and path.exists():
            said = self.config(path, TransformerConfig)
            config = replace(said, bits=config.bits, group_size=config.group_size, others=config.others)
        return Part(config, source)

    def _published_transformer(self, folder: Path) -> Part[TransformerConfig]:
        config = self.config(folder / "config.json", TransformerConfig)
        packing = self.config(folder / "quantization_config.json", Packing)
        config = replace(config, bits=packing.bits, group_size=packing.group_size, affine=packing.affine, others={})
        return Part(config, Source([folder / _WHOLE_FILES[0]], repair=self.repair))

    def _packing(self, place: Path) -> Packing | None:
        path = place / "quantization_config.json"
        return self.config(path, Packing) if place.is_dir() and path.exists() else None

    def text_encoder(self, folder: Path, *, published: bool = True) -> Part[TextEncoderConfig]:
        path = folder / "config.json"
        if published or path.exists():
            values = self.json(path)
            stored = values.get("quantization") or values.get("quantization_config")
            if isinstance(stored, dict) or published:
                return self._published_encoder(folder, values, stored)
        source = self._source(folder, encoder_names)
        pieces = source.pieces()
        with _Explained(source):
            config = inferred.text_encoder(pieces, inferred.storages(pieces, inferred.encoder_group(pieces)))
        if path.exists():
            said = self.encoder_config(path)
            config = replace(said, bits=config.bits, group_size=config.group_size)
        return Part(config, source)

    def _published_encoder(self, folder: Path, values: Mapping[str, Any], stored: object) -> Part[TextEncoderConfig]:
        path = folder / "config.json"
        if not isinstance(stored, dict):
            raise CheckpointError(f"{path}: quantization must say how the text encoder is packed; {self.repair}")
        packing = self._decoded(path, Packing, stored)
        config = self._decoded(path, TextEncoderConfig, _flat_rope(values))
        config = replace(config, bits=packing.bits, group_size=packing.group_size)
        return Part(config, self._source(folder, encoder_names))

    def encoder_config(self, path: Path) -> TextEncoderConfig:
        """What a config.json says of a text encoder but how it is stored."""
        return self._decoded(path, TextEncoderConfig, _flat_rope(self.json(path)))

    def vae(self, folder: Path, *, published: bool = True) -> Part[VaeConfig]:
        path = folder / "config.json"
        if published:
            return Part(self.config(path, VaeConfig), Source([folder / _WHOLE_FILES[0]], repair=self.repair))
        source = self._source(folder, _vae_names)
        pieces = source.pieces()
        if path.exists():
            config = self.config(path, VaeConfig)
        else:
            with _Explained(source):
                config = inferred.vae(pieces)
        return Part(config, source, frozenset({"bn.num_batches_tracked"} - pieces.keys()))

    def decoder(self, folder: Path) -> Part[VaeConfig]:
        """A VAE of which the decoder alone is used; what else it has may be missing."""
        config = self.config(folder / "config.json", VaeConfig)
        source = self._source(folder, _vae_names)
        there = source.pieces().keys()
        unused = {name for name in config.tensors() if not name.startswith(("decoder.", "post_quant_conv."))}
        return Part(config, source, frozenset(unused - there))

    def preview(self, place: Path) -> Part[TinyConfig]:
        """The tiny decoder in a folder or a file; the file's encoder is not used and may be missing."""
        path = place / tiny_decoder.FILE if place.is_dir() else place
        config, source = TinyConfig(), Source([path], tiny_decoder.names, repair=self.repair)
        unused = config.tensors().keys() - config.decoder_tensors().keys()
        has_encoder = any(name.startswith("encoder.") for name in source.pieces())
        return Part(config, source, frozenset() if has_encoder else frozenset(unused))

    def latents(self, path: Path, values: object) -> Latents | None:
        """What model_index.json says of latents that are not Gaussian."""
        if values is None:
            return None
        if not isinstance(values, dict):
            raise CheckpointError(f"{path}: latents must be a JSON object; {self.repair}")
        return self._decoded(path, Latents, values)

    def _source(self, place: Path, translate: Translate) -> Source:
        paths = [place] if place.is_file() else self._files(place)
        return Source(paths, translate, repair=self.repair)

    def _files(self, folder: Path) -> list[Path]:
        """The files with a component's tensors: those that an index names, or the only ones that can be meant."""
        indices = sorted(folder.glob("*.safetensors.index.json"))
        shards = sorted({name for path in indices[:1] for name in self._index(path)})
        whole = [name for name in _WHOLE_FILES if (folder / name).exists()]
        if shards and not (whole and not all((folder / name).exists() for name in shards)):
            return [folder / name for name in shards]
        found = whole[:1] or sorted(path.name for path in folder.glob("*.safetensors") if _SHARD.fullmatch(path.name))
        found = found or sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".gguf"))
        if not found:
            raise CheckpointError(f"{folder}: there are no weights in it (*.safetensors or *.gguf); {self.repair}")
        return [folder / name for name in found]

    def _index(self, path: Path) -> list[str]:
        names = self.json(path, _MAX_INDEX_BYTES).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise CheckpointError(f"{path}: it has no weight_map; {self.repair}")
        for name in names.values():
            if not isinstance(name, str) or not re.fullmatch(SAFE_NAME, name) or not name.endswith(".safetensors"):
                raise CheckpointError(f"{path}: {name!r} is no name of a shard; {self.repair}")
        return list(names.values())

    def config(self, path: Path, kind: type[C]) -> C:
        return self._decoded(path, kind, self.json(path))

    def _decoded(self, path: Path, kind: type[C], values: Mapping[str, Any]) -> C:
        try:
            return decode(kind, values)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}; {self.repair}") from None

    def json(self, path: Path, limit_bytes: int = _MAX_JSON_BYTES) -> dict[str, Any]:
        try:
            value = json.loads(read_bounded(path, limit_bytes, follow_symlinks=True))
        except FileNotFoundError:
            raise CheckpointError(f"{path}: the file is missing; {self.repair}") from None
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror or error}; {self.repair}") from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: not readable as JSON ({error}); {self.repair}") from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{path}: a JSON object is expected; {self.repair}")
        return value


class _Explained:
    """Around what reads tensors: a ValueError becomes a CheckpointError that names the file."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError):
            source = self._source
            message = f"{source.where}: no weights of FLUX.2 [klein] ({error}); {source.repair}"
            raise CheckpointError(message) from None


def transformer_names(stored: dict[str, Stored], notes: Mapping[str, str]) -> Pieces:
    if naming.is_bfl(stored):
        return naming.from_bfl(stored, notes)
    if what := foreign.other_model(stored):
        raise OtherModel(what)
    return _named(naming.from_mflux, stored, notes, "time_guidance_embed.linear_1.")


def encoder_names(stored: dict[str, Stored], notes: Mapping[str, str]) -> Pieces:
    head = {name: item for name, item in stored.items() if name != "lm_head.weight"}  # tied, and never needed
    return _named(naming.encoder_from_mflux, head, notes, "layers.")


def _vae_names(stored: dict[str, Stored], notes: Mapping[str, str]) -> Pieces:
    first = stored.get("decoder.conv_in.weight")
    channels_last = first is not None and len(first.shape) == 4 and first.shape[2] != first.shape[3]
    return (naming.vae_from_mflux if channels_last else as_stored)(stored, notes)


def _named(theirs: Callable[..., Pieces], stored: dict[str, Stored], notes: Mapping[str, str], start: str) -> Pieces:
    return (theirs if any(name.startswith(start) for name in stored) else as_stored)(stored, notes)


def _flat_rope(values: Mapping[str, Any]) -> Mapping[str, Any]:
    rope = values.get("rope_parameters")
    return {**rope, **values} if isinstance(rope, dict) else values
