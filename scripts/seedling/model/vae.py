"""The stages of the VAE: training it, encoding every picture once, and fine-tuning its decoder at the end.

The loss asks for the right colours and for the right edges; the penalty on the latents' size is weak. The encoder is
final after the first stage. The decoder's fine-tuning sees slightly noisy latents, as the transformer's are, and minds
squared errors more.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..draw import rendering
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
from .pieces import backward
from .run import Loop, Run

KL_WEIGHT, EDGE_WEIGHT, SQUARE_WEIGHT = 5e-4, 0.5, 2.0
TUNING_SQUARE_WEIGHT = 20.0  # 200 steps gain 0.4 dB on held-back pictures; with 2.0 and noise of 0.06, 0.1 dB
LATENT_NOISE = 0.04  # standard deviation at most, of latents of standard deviation 1
_FLOOR = 0.02  # of the rate, at the end of the VAE's cosine
_ENCODE_BATCH = 64


def train_vae(run: Run) -> None:
    """The stage "vae": crops first, because they are cheap, then whole pictures."""
    options = run.options
    pictures = Pictures(run)
    vae = load_vae(run)
    optimizers = Optimizers(vae.named_parameters(), options.vae_rate, options.vae_rate)
    generator = run.seed("vae")
    loop = Loop(run, "vae", lambda: run.save("vae", vae))
    for progress in loop:
        side = options.vae_crop if progress < options.vae_crop_part else options.size
        share = (side / options.vae_crop) ** 2  # whole pictures come in smaller batches of as many pixels
        batch = max(2, round(options.vae_batch / share))
        loss, error = backward(partial(_reconstructed, vae), options.vae_piece, pictures.crops(batch, side, generator))
        cosine = 0.5 * (1 + math.cos(math.pi * progress)) * (1 - _FLOOR) + _FLOOR
        optimizers.step(cosine * min(1.0, (loop.session_step + 1) / options.warm_up))
        loop.record(batch, loss=loss, error=error)
    _report(run, "vae")


def encode_pictures(run: Run) -> None:
    """The stage "latents": every picture's latents at full size and at half, and the statistics that normalise them.

    Files in the cache, float16 [pictures, tokens, channels], as the encoder gives them. The statistics are measured
    once and belong to the VAE; latents that are made again, on another machine, leave them alone.
    """
    pictures = Pictures(run)
    vae = load_vae(run).eval()
    sums = [_encode_all(run, vae, pictures, half=half) for half in (True, False)]
    if not int(vae.bn.num_batches_tracked):
        mean, square = sums[-1]
        vae.bn.running_mean.copy_(mean)
        vae.bn.running_var.copy_(square - mean**2)
        vae.bn.num_batches_tracked.fill_(1)
        run.save("vae", vae)


def tune_decoder(run: Run) -> None:
    """The stage "decoder": whole pictures from their stored latents, with a little noise on the latents."""
    options = run.options
    pictures = Pictures(run)
    latents = torch.from_numpy(np.load(latents_file(run), mmap_mode="r+"))
    vae = load_vae(run)
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    optimizers = Optimizers(vae.named_parameters(), options.decoder_rate, options.decoder_rate)
    generator = run.seed("decoder")
    loop = Loop(run, "decoder", lambda: run.save("vae", vae))
    _, std = normalisation(vae)
    for progress in loop:
        chosen = torch.randint(len(latents), (options.decoder_batch,), generator=generator)
        packed = from_tokens(latents[chosen].to(device()).float())
        strength = LATENT_NOISE * torch.rand(len(packed), 1, 1, 1, device=packed.device)
        noisy = unpatchify(packed + strength * std * torch.randn_like(packed))
        _, error = backward(partial(_decoded, vae), options.vae_piece, noisy, pictures.take(chosen))
        optimizers.step(schedule(progress, loop.session_step, 20, 0.6))
        loop.record(len(packed), error=error)
    _report(run, "decoder")


def load_vae(run: Run) -> Any:
    """The VAE as far as it is trained, on the device."""
    vae = build_vae(run.options)
    run.restore("vae", vae)
    if device().type == "cuda":
        vae.to(memory_format=torch.channels_last)
    return vae.to(device())


def latents_file(run: Run, *, half: bool = False) -> Path:
    """Where the latents of all pictures are."""
    return run.cache / ("latents-half.npy" if half else "latents.npy")


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures [batch, 3, height, width] -> packed latents [batch, channels, h, w], not normalised; float32."""
    with autocast():
        mode = vae.encode(pixels.to(device())).latent_dist.mode()
    return patchify(mode.float())


def _reconstructed(vae: Any, pixels: Tensor) -> Tensor:
    """The loss of pictures that go through all of the VAE, and their squared error."""
    posterior = vae.encode(pixels).latent_dist
    error = vae.decode(posterior.sample()).sample.float() - pixels
    divergence = _divergence(posterior.mean.float(), posterior.logvar.float())
    return torch.stack([reconstruction_loss(error) + KL_WEIGHT * divergence, error.square().mean()])


def _decoded(vae: Any, latents: Tensor, pixels: Tensor) -> Tensor:
    """The same through the decoder alone."""
    error = vae.decode(latents).sample.float() - pixels
    return torch.stack([reconstruction_loss(error, TUNING_SQUARE_WEIGHT), error.square().mean()])


def reconstruction_loss(error: Tensor, square_weight: float = SQUARE_WEIGHT) -> Tensor:
    """What a wrong picture [batch, 3, height, width] costs: levels, squared levels, and differences of neighbours."""
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + square_weight * error.square().mean() + EDGE_WEIGHT * edges


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


def _divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def _encode_all(run: Run, vae: Any, pictures: Pictures, *, half: bool) -> tuple[Tensor, Tensor]:
    """Write the latents of every picture; returns the mean and the mean square of each channel."""
    options = run.options
    side = options.grid // 2 if half else options.grid
    path = latents_file(run, half=half)
    unfinished = path.with_suffix(".partial")
    target = open_memmap(unfinished, "w+", np.float16, (len(pictures.pixels), side**2, options.token_channels))
    sums = torch.zeros(2, options.token_channels, dtype=torch.float64, device=device())
    for start in range(0, len(target), _ENCODE_BATCH):
        pixels = from_uint8(pictures.pixels[start : start + _ENCODE_BATCH])
        tokens = to_tokens(encode(vae, avg_pool2d(pixels, 2) if half else pixels)).half()
        target[start : start + len(tokens)] = tokens.cpu().numpy()
        sums += torch.stack([tokens.double().sum((0, 1)), tokens.double().square().sum((0, 1))])
    target.flush()
    unfinished.replace(path)
    mean, square = sums / (target.shape[0] * target.shape[1])
    return mean, square


def _report(run: Run, stage: str) -> None:
    psnr = held_back_psnr(run, load_vae(run).eval())
    run.note(stage, psnr=round(psnr, 2))
    run.log(stage, f"held-back pictures: PSNR {psnr:.2f} dB")
