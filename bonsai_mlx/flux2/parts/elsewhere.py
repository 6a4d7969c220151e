"""Parts that lie elsewhere than the checkpoint that draws with them: text encoder, decoder, what draws previews.

Nothing here imports MLX.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ...errors import CheckpointError
from ...weights.layout import PACKED, TEXT_ENCODER, VAE
from ...wording import command
from .components import Components, Part
from .config import TextEncoderConfig, VaeConfig
from .tiny_decoder import FILE, TinyConfig

Kind = Literal["text encoder", "decoder", "preview decoder"]
_ENCODER_FOLDERS = (PACKED.folder(TEXT_ENCODER), TEXT_ENCODER)  # in a whole checkpoint
# Formats that can run code when they are read, or that no check here covers.
_REFUSED_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py", ".npy", ".npz"}


def text_encoder(place: Path, whose: str = "the model") -> Part[TextEncoderConfig]:
    """That of a folder or a file, which takes the place of `whose` own. CheckpointError."""
    repair = f"give another one with --text-encoder, or none for {whose}'s own"
    if not place.exists():
        raise CheckpointError(f"{place}: there is no such text encoder; give a folder or a file of a Qwen3")
    if place.is_dir():
        refuse_unsafe_files(place, repair)
        place = next((inner for name in _ENCODER_FOLDERS if (inner := place / name).is_dir()), place)
    return Components(repair).text_encoder(place, published=False)


def decoder(place: Path, whose: str = "the model") -> Part[VaeConfig]:
    """That of the folder of a VAE, or of a checkpoint. CheckpointError."""
    repair = f"give another one with --decoder, or none for {whose}'s own"
    if not place.is_dir():
        raise CheckpointError(f"{place}: there is no such decoder; give the folder of a VAE")
    refuse_unsafe_files(place, repair)
    return Components(repair).decoder(place / VAE if (place / VAE).is_dir() else place)


def preview_decoder(place: Path) -> Part[TinyConfig]:
    if not place.exists():
        raise CheckpointError(f"{place}: there is no such tiny decoder; give the file {FILE}, or its folder")
    return Components(f"get it again ({command()} download taef2), or use another one").preview(place)


def check(kind: Kind, place: Path) -> None:
    """CheckpointError unless there is a part of this kind, with every tensor that it should have and no other."""
    makers: dict[Kind, Callable[[Path], Part[Any]]]
    makers = {"text encoder": text_encoder, "decoder": decoder, "preview decoder": preview_decoder}
    part = makers[kind](place)
    expected = part.config.tensors().items()
    part.source.verify({name: spec for name, spec in expected if name not in part.absent})


def refuse_unsafe_files(folder: Path, repair: str) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _REFUSED_SUFFIXES:
            raise CheckpointError(
                f"{path}: files of this type can carry code and are never part of a checkpoint; delete it, or {repair}"
            )
