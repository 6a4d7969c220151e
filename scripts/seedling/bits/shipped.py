"""What a run of the bits begins with, where its folder holds no run of the seedling: the published seedling's files."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file

from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TOKENIZER, TRANSFORMER, VAE

from ..model.distil import TEXT_FILE
from ..model.run import Run
from ..options import TEXT_LAYERS

_SEEDLING = Path(__file__).resolve().parents[3] / "bonsai_mlx" / "seedling"
COMMON = _SEEDLING / "common"
VAE_FILE = COMMON / PACKED.weights(VAE)
AUTOENCODER_FILE = _SEEDLING / "bits" / PACKED.weights(VAE)
TRANSFORMER_FILE = _SEEDLING / "ternary" / PACKED.weights(TRANSFORMER)


def bring_text(run: Run) -> None:
    """The tokenizer and the packed text encoder, unless the run has its own."""
    tokenizer = run.folder / "tokenizer"
    if not tokenizer.is_dir():
        shutil.copytree(COMMON / PACKED.folder(TOKENIZER), tokenizer)
    if not run.weights(TEXT_FILE).is_file():
        unread = (f"model.layers.{TEXT_LAYERS - 1}.", "model.norm.")
        tensors = load_file(COMMON / PACKED.weights(TEXT_ENCODER))
        run.keep(TEXT_FILE, {k.removeprefix("model."): v for k, v in tensors.items() if not k.startswith(unread)})
