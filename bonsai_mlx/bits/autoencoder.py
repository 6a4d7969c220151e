"""The autoencoder of a model whose latents are bits: pictures to bits and back. It needs nothing else of a checkpoint.

A folder that holds no more than model_index.json and a VAE encodes and decodes; it cannot draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ..errors import CheckpointError, RequestError
from ..flux2 import vae
from ..flux2.parts.components import Components
from ..flux2.parts.config import VaeConfig
from ..flux2.run import result_of
from ..images.bitcode import MAX_CHANNELS, MODEL_BYTES, BitCode
from ..runtime import device
from ..weights.layout import DECODER, PACKED, TRANSFORMER, VAE
from ..weights.source import Source
from ..weights.spec import Tensors
from ..wording import command
from .process import signs

Image8 = vae.Image8
_REPAIR = "get the checkpoint again"


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """The files of one, see `vae.VaeFiles`, and what tells its codes from those of others."""

    vae: VaeConfig
    source: Source
    model: bytes  # the beginning of the digest of its weights, in every code
    expected: Tensors

    @property
    def decoder(self) -> VaeConfig:
        return self.vae

    @property
    def dtype(self) -> mx.Dtype:
        """Of the activations: a code is decoded as its picture was."""
        return device.activation_dtype()

    @property
    def other_decoder(self) -> VaeConfig | None:
        return None

    def load(self, component: str) -> dict[str, mx.array]:
        assert component in (VAE, DECODER)  # noqa: S101  it has nothing else
        return self.source.load(self.expected)

    @classmethod
    def open(cls, folder: Path, repair: str | None = None) -> Autoencoder:
        """The one in a checkpoint's folder, whose VAE may be in the folder that several share. CheckpointError."""
        parts = Components(repair or _REPAIR)
        index = parts.json(folder / "model_index.json")
        if parts.latents(folder / "model_index.json", index.get("latents")) is None:
            raise CheckpointError(f"{folder}: the latents of this model are no bits; name one whose are, with --model")
        part = parts.vae(_folder(folder, index, VAE, parts.repair))
        if not 0 < part.config.latent_channels <= MAX_CHANNELS:
            raise CheckpointError(f"{folder}: {part.config.latent_channels} bits a latent; {MAX_CHANNELS} are possible")
        expected = {name: spec for name, spec in part.config.tensors().items() if name not in part.absent}
        part.source.verify(expected)
        return cls(part.config, part.source, digest_of(part.source), expected)

    def encode(self, pixels: Image8) -> BitCode:
        """Pixels [height, width, 3], sides multiples of 16 -> their code."""
        latents = result_of(vae.encode(self, pixels, self.dtype))
        return code_of(signs(latents), self.model)

    def decode(self, code: BitCode) -> Image8:
        """The pixels [height, width, 3] that a code stands for. RequestError for one of another autoencoder."""
        self.check(code)
        return result_of(vae.decode(self, bits_of(code), self.dtype))

    def check(self, code: BitCode) -> None:
        if code.model != self.model:
            raise RequestError("code", "was made by another model, and only that one can read it; name it as the model")
        if code.channels != self.vae.latent_channels:
            message = f"has {code.channels} bits for each latent, and this model {self.vae.latent_channels}"
            raise RequestError("code", f"{message}; copy it again, whole")


def check_draws(folder: Path) -> None:
    """CheckpointError for a folder that holds an autoencoder and no transformer, without which nothing is drawn."""
    has_vae = (folder / VAE).is_dir()
    if has_vae and not any((folder / name).is_dir() for name in (PACKED.folder(TRANSFORMER), TRANSFORMER)):
        raise CheckpointError(
            f"{folder}: this checkpoint holds no more than an autoencoder: it encodes and decodes pictures "
            f"({command()} encode, decode), and cannot draw; draw with another model"
        )


def digest_of(source: Source) -> bytes:
    """What stands for an autoencoder in its codes: the beginning of the SHA-256 of its weights."""
    whole = hashlib.sha256()
    for path in source.paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.digest()[:MODEL_BYTES]


def code_of(bits: mx.array, model: bytes) -> BitCode:
    """Packed bits -1 and +1 [1, 4 * channels, height/16, width/16] -> the code of the picture."""
    cells = cells_of(bits)
    rows, columns, _ = cells.shape
    return BitCode(model, 8 * columns, 8 * rows, np.packbits(cells > 0, axis=None, bitorder="little").tobytes())


def cells_of(packed: mx.array) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """Packed latents [1, 4 * channels, height/16, width/16] -> [height/8, width/8, channels]."""
    return np.array(vae.unpack_latents(packed.astype(mx.float32), mx.array(0.0), mx.array(1.0)))[0]


def bits_of(code: BitCode) -> mx.array:
    """The packed bits -1 and +1 [1, 4 * channels, height/16, width/16] of a code."""
    cells = np.unpackbits(np.frombuffer(code.bits, np.uint8), bitorder="little").astype(np.float32) * 2 - 1
    return vae.pack_latents(mx.array(cells.reshape(1, code.height // 8, code.width // 8, code.channels)))


def _folder(root: Path, index: Mapping[str, Any], component: str, repair: str) -> Path:
    roots = [root]
    if common := index.get("_common_folder"):
        shared = (root / str(common)).resolve()
        if shared.parent == root.resolve().parent:
            roots.append(shared)
    for place in roots:
        if (place / component).is_dir():
            return place / component
    raise CheckpointError(f"{root}: the folder {component} is missing; {repair}")
