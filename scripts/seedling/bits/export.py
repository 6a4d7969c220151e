"""The stage "bits-export": the trained model as the engine opens it, beside the seedling's common folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from bonsai_mlx.bits.autoencoder import Autoencoder
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.synthesis import BERNOULLI_CONFIG, DIFFUSERS_VERSION
from bonsai_mlx.weights.layout import PACKED, SCHEDULER, VAE

from ..model.export import COMMON, half_precision, total_bytes, write_json, write_text_encoder, write_variant
from ..model.run import EXPORT, Run
from ..options import Options
from .autoencoder import folded, load_autoencoder
from .diffusion import PACKED as PACKED_WEIGHTS

BITS = "bits"
LATENTS = {"kind": "bernoulli", "schedule": "linear"}


def export_bits(run: Run) -> None:
    """Write the folder, and open it as the engine does."""
    folder = run.folder / EXPORT / BITS
    shutil.rmtree(folder, ignore_errors=True)
    if not (folder.parent / COMMON).is_dir():
        write_text_encoder(run, folder.parent / COMMON)
    write_bits(run, folder)
    Checkpoint.open(folder)
    run.log("bits-export", f"{folder}: {total_bytes(folder) / 1e6:.2f} MB")


def export_autoencoder(run: Run, folder: Path) -> None:
    """The autoencoder alone, as far as it is trained: a folder that encodes and decodes, and draws nothing."""
    side = run.options.size
    write_autoencoder(run, folder / PACKED.folder(VAE))
    index = {"_class_name": "Flux2KleinPipeline", "latents": LATENTS, "recommended_size": [side, side]}
    write_json(folder / "model_index.json", index)
    Autoencoder.open(folder)


def write_bits(run: Run, folder: Path) -> None:
    """The checkpoint's own files: index, packed transformer, autoencoder, scheduler."""
    options = run.options
    write_autoencoder(run, folder / PACKED.folder(VAE))
    write_json(folder / PACKED.folder(SCHEDULER) / "scheduler_config.json", BERNOULLI_CONFIG)
    changes = {"latents": LATENTS, "recommended_steps": options.bits_steps}
    tensors = load_file(run.weights(PACKED_WEIGHTS))
    write_variant(options, folder, tensors, "binary", {"known_tokens": True}, changes)


def write_autoencoder(run: Run, folder: Path) -> None:
    """The autoencoder, the normalisation of its logits inside of `quant_conv`."""
    write_json(folder / "config.json", autoencoder_config(run.options))
    kept = {name: half_precision(value).contiguous() for name, value in folded(load_autoencoder(run).cpu()).items()}
    save_file(kept, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def autoencoder_config(options: Options) -> dict[str, object]:
    """`vae/config.json`."""
    return options.vae_config() | {"_diffusers_version": DIFFUSERS_VERSION}
