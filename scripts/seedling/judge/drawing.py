"""Pictures from a run's models: through the engine, which is what users run, or many at once with torch on a GPU.

Both give the same pictures up to rounding (tests/seedling/model/test_export.py), so torch is for speed alone.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from ..model.distil import TEXT_FILE, pack_transformer, unpack_text_encoder, unpack_transformer
from ..model.export import export_rounded
from ..model.networks import Generator, build_transformer, decode, device, sample, to_tokens
from ..model.quantise import Variant
from ..model.run import EXPORT, Run
from ..model.text import PromptTokenizer
from ..model.vae import load_vae
from ..options import Options

BATCH = {"engine": 20, "torch": 128}  # pictures between two looks at the clock


class Drawer(Protocol):
    """Draws pictures from prompts and noise."""

    def draw(self, texts: Sequence[str], noises: NDArray[np.float32], steps: int) -> list[Image.Image]:
        """One picture for each prompt; noises [pictures, channels, height / 16, width / 16]."""


def open_drawer(run: Run, model: str, runner: str) -> Drawer:
    """The drawer of a model ("full", "ternary", "binary", "rounded-ternary", "rounded-binary")."""
    return EngineDrawer(run, model) if runner == "engine" else TorchDrawer(run, model)


class EngineDrawer:
    """One picture after the other through `bonsai_mlx`."""

    def __init__(self, run: Run, model: str) -> None:
        from bonsai_mlx import Pipeline
        from bonsai_mlx.flux2.checkpoint import Checkpoint

        gc.freeze()  # the engine collects after every picture, and torch's modules are many objects
        self.pipeline: Any
        if model == "full":
            from ..model.full_precision import FullPrecision

            self.pipeline = Pipeline(
                FullPrecision(Checkpoint.open(_rounded(run, "ternary")), run.weights("student")), name="full precision"
            )
        else:
            variant = variant_of(model)
            folder = _rounded(run, variant) if model.startswith("rounded") else run.folder / EXPORT / variant
            self.pipeline = Pipeline.from_pretrained(folder)

    def draw(self, texts: Sequence[str], noises: NDArray[np.float32], steps: int) -> list[Image.Image]:
        """See Drawer."""
        drawn = zip(texts, noises, strict=True)
        return [self.pipeline.generate(text, steps=steps, seed=0, latents=noise[None]).image for text, noise in drawn]


class TorchDrawer:
    """Batches on the GPU; in float32 on a CPU, where it is the engine's equal."""

    def __init__(self, run: Run, model: str) -> None:
        self.tokenizer = PromptTokenizer(run.folder / "tokenizer", run.options.text_tokens)
        generator = load_generator(run, model, self.tokenizer.vocabulary)
        self.generator = generator.to(device()).eval().requires_grad_(False)
        self.vae = load_vae(run).eval().requires_grad_(False)

    def draw(self, texts: Sequence[str], noises: NDArray[np.float32], steps: int) -> list[Image.Image]:
        """See Drawer."""
        ids, lengths = (torch.from_numpy(part).long().to(device()) for part in self.tokenizer(texts))
        tokens = to_tokens(torch.from_numpy(noises).to(device()))
        with torch.autocast("cuda", torch.bfloat16, enabled=device().type == "cuda"):
            latents = sample(self.generator, tokens, ids, lengths, steps)
        return [Image.fromarray(pixels) for pixels in decode(self.vae, latents).cpu().numpy()]


def load_generator(run: Run, model: str, vocabulary: int) -> Generator:
    """The generator with a model's weights, and the text encoder as it is published."""
    generator = Generator(run.options, vocabulary)
    unpack_text_encoder(load_file(run.weights(TEXT_FILE)), generator.text)
    if model == "full":
        run.restore("student", generator.transformer)
    else:
        variant = variant_of(model)
        unpack_transformer(_packed(run, model, variant, run.options), generator.transformer, variant)
    return generator


def variant_of(model: str) -> Variant:
    """ "ternary" or "binary"."""
    return "ternary" if model.endswith("ternary") else "binary"


def _packed(run: Run, model: str, variant: Variant, options: Options) -> dict[str, torch.Tensor]:
    if not model.startswith("rounded"):
        return load_file(run.weights(f"packed-{variant}"))
    transformer = build_transformer(options)
    run.restore("student", transformer)
    return pack_transformer(transformer, variant)


def _rounded(run: Run, variant: Variant) -> Path:
    """The folder of the plainly rounded student beside the exported variants, written whole on first use.

    Two processes may do so at once: each writes its own, and the second finds that there is one.
    """
    folder = run.folder / EXPORT / f"rounded-{variant}"
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        export_rounded(run, variant, partial)
        try:
            partial.rename(folder)
        except OSError:  # not empty
            shutil.rmtree(partial)
    return folder
