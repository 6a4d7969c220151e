"""The stages of the VAE: training it, encoding every picture once, and fine-tuning its decoder at the end.

The loss asks for the right colours and for the right edges; the penalty on the latents' size is weak. The encoder is
final after the first stage. The decoder's fine-tuning sees slightly noisy latents, as the transformer's are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from . import rendering
from .corpus import Pictures
from .networks import (
    autocast,
    build_vae,
    device,
    from_tokens,
    from_uint8,
    normalisation,
    patchify,
    to_tokens,
    to_uint8,
    unpatchify,
)
from .optimizers import Optimizers, schedule
from .options import Options
from .run import Loop, Run

KL_WEIGHT, EDGE_WEIGHT, SQUARE_WEIGHT = 5e-4, 0.5, 2.0
LATENT_NOISE = 0.06  # standard deviation at most, of latents of standard deviation 1
_FLOOR = 0.02  # of the rate, at the end of the VAE's cosine
_ENCODE_BATCH = 64


def train_vae(run: Run) -> None:
    """The stage "vae": crops first, because they are cheap, then whole pictures."""
    options = run.options
    pictures = Pictures(run)
    vae = load_vae(run)
    _quicken(vae, options)
    optimizers = Optimizers(vae.named_parameters(), options.vae_rate, options.vae_rate)
    generator = run.seed("vae")
    loop = Loop(run, "vae", lambda: run.save("vae", vae))
    for progress in loop:
        side = options.vae_crop if progress < options.vae_crop_part else options.size
        share = (side / options.vae_crop) ** 2  # whole pictures come in smaller batches of as many pixels
        batch = max(2, round(options.vae_batch / share))
        pixels = pictures.crops(batch, side, generator)
        with autocast():
            posterior = vae.encode(pixels).latent_dist
            drawn = vae.decode(posterior.sample()).sample
        error = drawn.float() - pixels
        divergence = _divergence(posterior.mean.float(), posterior.logvar.float())
        loss = reconstruction_loss(error) + KL_WEIGHT * divergence
        loss.backward()
        cosine = 0.5 * (1 + math.cos(math.pi * progress)) * (1 - _FLOOR) + _FLOOR
        optimizers.step(cosine * min(1.0, (loop.session_step + 1) / options.warm_up))
        loop.record(batch, loss=loss, error=error.square().mean())
    _report(run, "vae")


def encode_pictures(run: Run) -> None:
    """The stage "latents": every picture's latents, normalised by the statistics the checkpoint carries.

    The statistics are measured once; latents that are made again, on another machine, use those.
    """
    pictures = Pictures(run)
    vae = load_vae(run).eval()
    options = run.options
    shape = (len(pictures.pixels), options.grid**2, options.token_channels)
    target = open_memmap(run.cache / "latents.partial.npy", "w+", np.float16, shape)
    for start in range(0, len(target), _ENCODE_BATCH):
        pixels = from_uint8(pictures.pixels[start : start + _ENCODE_BATCH])
        target[start : start + len(pixels)] = to_tokens(encode(vae, pixels)).half().cpu().numpy()
    if not int(vae.bn.num_batches_tracked):
        _measure(vae, target)
        run.save("vae", vae)
        run.restore("vae", vae)  # as rounded for the file
    mean, std = (part.flatten().cpu().numpy() for part in normalisation(vae))
    for start in range(0, len(target), _ENCODE_BATCH):
        part = slice(start, start + _ENCODE_BATCH)
        target[part] = (target[part] - mean) / std
    target.flush()
    (run.cache / "latents.partial.npy").replace(run.cache / "latents.npy")


def tune_decoder(run: Run) -> None:
    """The stage "decoder": whole pictures from their stored latents, with a little noise on the latents."""
    options = run.options
    pictures = Pictures(run)
    latents = torch.from_numpy(np.load(run.cache / "latents.npy", mmap_mode="r+"))
    vae = load_vae(run)
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    _quicken(vae, options)
    optimizers = Optimizers(vae.named_parameters(), options.decoder_rate, options.decoder_rate)
    generator = run.seed("decoder")
    loop = Loop(run, "decoder", lambda: run.save("vae", vae))
    mean, std = normalisation(vae)
    for progress in loop:
        chosen = torch.randint(len(latents), (options.decoder_batch,), generator=generator)
        tokens = latents[chosen].to(device()).float()
        strength = LATENT_NOISE * torch.rand(len(tokens), 1, 1, device=tokens.device)
        noisy = from_tokens(tokens + strength * torch.randn_like(tokens))
        with autocast():
            drawn = vae.decode(unpatchify(noisy * std + mean)).sample
        error = drawn.float() - pictures.take(chosen)
        reconstruction_loss(error).backward()
        optimizers.step(schedule(progress, loop.session_step, 20, 0.6))
        loop.record(len(tokens), error=error.square().mean())
    _report(run, "decoder")


def load_vae(run: Run) -> Any:
    """The VAE as far as it is trained, on the device."""
    vae = build_vae(run.options)
    run.restore("vae", vae)
    return vae.to(device())


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [batch, 3, height, width] -> packed latents [batch, channels, h, w], not normalised; float32."""
    with autocast():
        mode = vae.encode(pixels.to(device())).latent_dist.mode()
    return patchify(mode.float())


def reconstruction_loss(error: Tensor) -> Tensor:
    """What a wrong picture [batch, 3, height, width] costs: levels, squared levels, and differences of neighbours."""
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + SQUARE_WEIGHT * error.square().mean() + EDGE_WEIGHT * edges


@torch.no_grad()
def held_back_psnr(run: Run, vae: Any) -> float:
    """Peak signal to noise ratio in dB over pictures that were never trained on, after rounding to 8 bits."""
    pictures = Pictures(run, rendering.HELD_BACK)
    squares = []
    for start in range(0, len(pictures.pixels), 8):
        pixels = pictures.pixels[start : start + 8]
        latents = encode(vae, from_uint8(pixels))
        drawn = to_uint8(vae.decode(unpatchify(latents)).sample.float())
        squares.append((drawn.float() - pixels.float()).square().mean())
    return 10 * math.log10(255**2 / float(torch.stack(squares).mean()))


def _quicken(vae: Any, options: Options) -> None:
    if device().type == "cuda":
        vae.to(memory_format=torch.channels_last)
    if options.compile:
        vae.encoder.compile()
        vae.decoder.compile()


def _divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def _measure(vae: Any, latents: Any) -> None:
    """Mean and variance of every channel into the VAE's batch norm."""
    total = np.zeros(latents.shape[-1])
    squares = np.zeros(latents.shape[-1])
    for start in range(0, len(latents), _ENCODE_BATCH):
        part = latents[start : start + _ENCODE_BATCH].astype(np.float64)
        total += part.sum((0, 1))
        squares += (part**2).sum((0, 1))
    count = latents.shape[0] * latents.shape[1]
    vae.bn.running_mean.copy_(torch.from_numpy(total / count))
    vae.bn.running_var.copy_(torch.from_numpy(squares / count - (total / count) ** 2))
    vae.bn.num_batches_tracked.fill_(1)


def _report(run: Run, stage: str) -> None:
    psnr = held_back_psnr(run, load_vae(run).eval())
    run.note(stage, psnr=round(psnr, 2))
    run.log(stage, f"held-back pictures: PSNR {psnr:.2f} dB")
