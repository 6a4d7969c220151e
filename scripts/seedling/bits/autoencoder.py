"""The stages of the Bernoulli autoencoder: training it, encoding every picture once, and fine-tuning its decoder.

The networks are the seedling's VAE, with whose weights the training begins: of its 16 latent channels the signs are
kept. Logits are normalised by a BatchNorm without weights, so that each channel's bits are about half ones; it folds
into the 1x1 convolution before it (`folded`). At first bits are drawn, with ever fewer surprises, later they are signs
and being undecided costs something.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.lib.format import open_memmap
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..draw import rendering
from ..model.corpus import Pictures
from ..model.networks import (
    build_vae,
    convolving,
    device,
    from_tokens,
    from_uint8,
    patchify,
    to_tokens,
    to_uint8,
    unpatchify,
)
from ..model.optimizers import Optimizers, schedule
from ..model.pieces import backward
from ..model.run import Loop, Run
from ..model.vae import reconstruction_loss
from ..options import Options
from .codes import binarised, flipped, indecision
from .shipped import AUTOENCODER_FILE, VAE_FILE

AUTOENCODER = "bits-ae"  # the weights' name
SQUARE_WEIGHTS = (2.0, 20.0)  # of squared errors, at the beginning and at the end
FIRST_GAIN = 4.0  # of the logits when bits are drawn; it grows without bound until `DRAWN_PART`
DRAWN_PART = 0.3  # of the time, in which bits are drawn
DECISION_WEIGHT = 0.02  # at the end, of p (1 - p)
FLIPS = 0.03  # share of bits that are wrong at most while the decoder is tuned
_FLOOR = 0.02  # of the rate, at the end of the cosine
_ENCODE_BATCH = 64


class BitAutoencoder(nn.Module):
    """Pictures to bits -1 and +1, and back."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.channels = options.latent_channels
        self.vae: Any = build_vae(options)
        self.norm = nn.BatchNorm2d(self.channels, affine=False, momentum=0.02)

    def logits(self, pixels: Tensor) -> Tensor:
        """Pixels [batch, 3, h, w] in -1..1 -> normalised logits [batch, channels, h / 8, w / 8], float32."""
        with convolving():
            moments = self.vae.encode(pixels).latent_dist.parameters
        with torch.autocast(pixels.device.type, enabled=False):
            return cast(Tensor, self.norm(moments[:, : self.channels].float()))

    def decoded(self, bits: Tensor) -> Tensor:
        """Bits [batch, channels, h, w] -> pixels [batch, 3, 8h, 8w], about -1..1, float32."""
        with convolving():
            return cast(Tensor, self.vae.decode(bits).sample.float())


def train_autoencoder(run: Run) -> None:
    """The stage "bits-ae": crops first, because they are cheap, then whole pictures.

    Where one is published it is taken as it is, unless the run has a VAE of its own to begin with.
    """
    options = run.options
    if take_published(run):
        return
    pictures = Pictures(run)
    model = load_autoencoder(run)
    optimizers = Optimizers(model.named_parameters(), options.bits_vae_rate, options.bits_vae_rate)
    generator = run.seed(AUTOENCODER)
    loop = Loop(run, AUTOENCODER, lambda: run.save(AUTOENCODER, model))
    for progress in loop:
        model.norm.train(progress < DRAWN_PART)  # then its statistics are final, as those of an exported model
        side = options.vae_crop if progress < options.vae_crop_part else options.size
        share = (side / options.vae_crop) ** 2
        batch = max(2, round(options.vae_batch / share))
        reconstruct = partial(_reconstructed, model, progress)
        loss, error, undecided = backward(reconstruct, options.vae_piece, pictures.crops(batch, side, generator))
        cosine = 0.5 * (1 + math.cos(math.pi * progress)) * (1 - _FLOOR) + _FLOOR
        optimizers.step(cosine * min(1.0, (loop.session_step + 1) / options.warm_up))
        loop.record(batch, loss=loss, error=error, undecided=undecided)
    report(run, AUTOENCODER)


def encode_codes(run: Run) -> None:
    """The stage "bits-codes": the bits of every picture at full size and at half, packed eight to a byte.

    Files in the cache, uint8 [pictures, tokens, channels / 8]; the first channel of a token is the lowest bit.
    """
    pictures = Pictures(run)
    model = load_autoencoder(run).eval()
    for half in (True, False):
        ones = _encode_all(run, model, pictures, half=half)
    entropy = _entropy(ones)
    dead = int((entropy < 0.05).sum())
    run.note("bits-codes", entropy=round(float(entropy.mean()), 3), dead=dead)
    run.log("bits-codes", f"entropy of a bit {float(entropy.mean()):.3f}, {dead} of {len(entropy)} channels dead")


def tune_decoder(run: Run) -> None:
    """The stage "bits-decoder": whole pictures from their codes, of which some bits are wrong, as a model's are."""
    options = run.options
    pictures = Pictures(run)
    codes = np.load(codes_file(run), mmap_mode="r+")
    model = load_autoencoder(run)
    model.requires_grad_(False)
    model.vae.decoder.requires_grad_(True)
    model.vae.post_quant_conv.requires_grad_(True)
    optimizers = Optimizers(model.named_parameters(), options.decoder_rate, options.decoder_rate)
    generator = run.seed("bits-decoder")
    loop = Loop(run, "bits-decoder", lambda: run.save(AUTOENCODER, model))
    for progress in loop:
        chosen = torch.randint(len(codes), (options.decoder_batch,), generator=generator)
        bits = unpatchify(from_tokens(unpacked_codes(codes[chosen.numpy()]).to(device())))
        wrong = flipped(bits, FLIPS * torch.rand(len(bits), device=bits.device))
        _, error = backward(partial(_decoded, model), options.vae_piece, wrong, pictures.take(chosen))
        optimizers.step(schedule(progress, loop.session_step, 20, 0.6))
        loop.record(len(bits), error=error)
    report(run, "bits-decoder")


def load_autoencoder(run: Run) -> BitAutoencoder:
    """The autoencoder as far as it is trained; at the beginning it has the weights of the seedling's VAE."""
    model = BitAutoencoder(run.options)
    if not run.restore(AUTOENCODER, model):
        begin(run, model)
    return model.to(device(), memory_format=torch.channels_last)


def begin(run: Run, model: BitAutoencoder) -> None:
    """Give the model the VAE of this run, or else the published one if it is of the same sizes."""
    path = run.weights("vae") if run.weights("vae").is_file() else VAE_FILE
    tensors = load_file(path)
    own = model.vae.state_dict()
    if all(name in tensors and tensors[name].shape == value.shape for name, value in own.items()):
        model.vae.load_state_dict(tensors)


def take_published(run: Run) -> bool:
    """Whether the published autoencoder is now the run's: its logits are normalised inside of `quant_conv`."""
    if run.progress.get(AUTOENCODER) or run.weights("vae").is_file() or not AUTOENCODER_FILE.is_file():
        return False
    model = BitAutoencoder(run.options)
    own, tensors = model.vae.state_dict(), load_file(AUTOENCODER_FILE)
    if any(tensors[name].shape != value.shape for name, value in own.items()):
        return False
    model.vae.load_state_dict(tensors)
    run.save(AUTOENCODER, model)
    run.log(AUTOENCODER, "the published autoencoder is taken")
    return True


def codes_file(run: Run, *, half: bool = False) -> Path:
    """Where the codes of all pictures are."""
    return run.cache / ("bits-half.npy" if half else "bits.npy")


def unpacked_codes(packed: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """Packed tokens [..., bytes] -> bits -1 and +1 [..., 8 * bytes], float32."""
    return torch.from_numpy(np.unpackbits(packed, axis=-1, bitorder="little")).float() * 2 - 1


def folded(model: BitAutoencoder) -> dict[str, Tensor]:
    """The VAE's tensors with the logits' normalisation inside of `quant_conv`: the sign of its output is the bit.

    The second half of its output, which would be variances, is not used: zeros. `bn` leaves the bits as they are.
    """
    tensors = {name: value.detach().clone() for name, value in model.vae.state_dict().items()}
    mean, variance = cast(Tensor, model.norm.running_mean), cast(Tensor, model.norm.running_var)
    scale, channels = torch.rsqrt(variance + model.norm.eps), model.channels
    weight, bias = tensors["quant_conv.weight"], tensors["quant_conv.bias"]
    bias[:channels] = (bias[:channels] - mean) * scale
    weight[:channels] *= scale[:, None, None, None]
    weight[channels:], bias[channels:] = 0.0, 0.0
    tensors["bn.running_mean"].zero_()
    tensors["bn.running_var"].fill_(1.0)
    return tensors


@torch.no_grad()
def encode(model: BitAutoencoder, pixels: Tensor) -> Tensor:
    """Pictures [batch, 3, height, width] -> packed bits [batch, 4 * channels, h, w]."""
    return patchify(binarised(model.logits(pixels.to(device()))))


@torch.no_grad()
def decode(model: BitAutoencoder, packed: Tensor) -> Tensor:
    """Packed bits -> pixels [batch, height, width, 3], uint8."""
    return to_uint8(model.decoded(unpatchify(packed)))


@torch.no_grad()
def reconstructions(model: BitAutoencoder, pixels: Tensor) -> Tensor:
    """Pictures [batch, height, width, 3], uint8, through bits and back."""
    return torch.cat([decode(model, encode(model, from_uint8(part))) for part in pixels.split(8)])


def report(run: Run, stage: str) -> float:
    """Log and note what held-back pictures look like after a way through the bits: PSNR in dB."""
    model = load_autoencoder(run).eval()
    pixels = Pictures(run, rendering.HELD_BACK).pixels
    error = (reconstructions(model, pixels).float() - pixels.float()).square().mean()
    psnr = 10 * math.log10(255**2 / float(error))
    with torch.no_grad():
        undecided = float(indecision(model.logits(from_uint8(pixels[:16]))))
    run.note(stage, psnr=round(psnr, 2), undecided=round(undecided, 4))
    run.log(stage, f"held-back pictures: PSNR {psnr:.2f} dB, mean p(1-p) {undecided:.4f}")
    return psnr


def _reconstructed(model: BitAutoencoder, progress: float, pixels: Tensor) -> Tensor:
    """The loss of pictures that go through bits, their squared error, and the bits' indecision."""
    logits = model.logits(pixels)
    error = model.decoded(binarised(logits, _gain(progress))) - pixels
    first, last = SQUARE_WEIGHTS
    undecided = indecision(logits)
    decision = DECISION_WEIGHT * max(0.0, (progress - DRAWN_PART) / (1 - DRAWN_PART))
    loss = reconstruction_loss(error, first + (last - first) * progress) + decision * undecided
    return torch.stack([loss, error.square().mean(), undecided.detach()])


def _gain(progress: float) -> float | None:
    return FIRST_GAIN / (1 - progress / DRAWN_PART) if progress < DRAWN_PART else None


def _decoded(model: BitAutoencoder, bits: Tensor, pixels: Tensor) -> Tensor:
    error = model.decoded(bits) - pixels
    return torch.stack([reconstruction_loss(error, SQUARE_WEIGHTS[-1]), error.square().mean()])


def _encode_all(run: Run, model: BitAutoencoder, pictures: Pictures, *, half: bool) -> Tensor:
    """Write the codes of every picture; returns the share of ones of each latent channel."""
    options = run.options
    side = options.grid // 2 if half else options.grid
    path = codes_file(run, half=half)
    unfinished = path.with_suffix(".partial")
    shape = (len(pictures.pixels), side**2, options.token_channels // 8)
    target = open_memmap(unfinished, "w+", np.uint8, shape)
    ones = torch.zeros(options.latent_channels, dtype=torch.float64)
    for start in range(0, len(target), _ENCODE_BATCH):
        pixels = from_uint8(pictures.pixels[start : start + _ENCODE_BATCH])
        bits = to_tokens(encode(model, avg_pool2d(pixels, 2) if half else pixels)) > 0
        target[start : start + len(bits)] = np.packbits(bits.cpu().numpy(), axis=-1, bitorder="little")
        ones += bits.double().sum((0, 1)).view(-1, 4).sum(1).cpu()
    target.flush()
    unfinished.replace(path)
    return ones / (4 * target.shape[0] * target.shape[1])


def _entropy(share: Tensor) -> Tensor:
    """Bits of information in a bit that is 1 with these probabilities, if all else is unknown."""
    p = share.clamp(1e-9, 1 - 1e-9)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())
