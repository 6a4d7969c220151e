"""The stage "flow": transformer and text encoder learn together to turn noise into latents of what a caption says.

Flow matching: x = (1 - sigma) * clean + sigma * noise, and the model predicts noise - clean. Some captions are left
empty, so that the model also knows pictures of anything, which guidance needs. The first part of the time goes to
pictures half as wide, a quarter of the tokens: what words mean and where things go is learned there, several times
faster.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import Options
from .corpus import Corpus
from .networks import Generator, compile_blocks, device, quicken
from .optimizers import Optimizers, schedule
from .pieces import backward, imitated
from .run import Loop, Run


def train_flow(run: Run) -> None:
    """The stage; keeps the weights "teacher"."""
    options = run.options
    corpus = Corpus(run)
    model = new_generator(run, corpus)
    run.restore("teacher", model)
    optimizers = Optimizers(model.named_parameters(), options.muon_rate, options.adam_rate)
    generator = run.seed("flow")
    loop = Loop(run, "flow", lambda: run.save("teacher", model))
    for progress in loop:
        half = progress < options.half_size_part
        batch = corpus.batch(options.batch, generator, options.unconditional, half=half)
        sigmas = noise_levels(options.batch, options.sigma_shift / 2 if half else options.sigma_shift)
        noise = torch.randn_like(batch.latents)
        noisy, target = mix(batch.latents, noise, sigmas), noise - batch.latents
        (loss,) = backward(imitated(model), options.piece, target, noisy, sigmas, batch.ids, batch.lengths)
        optimizers.step(schedule(progress, loop.session_step, options.warm_up, options.decay))
        loop.record(options.batch, loss=loss)


def new_generator(run: Run, corpus: Corpus) -> Generator:
    """A generator on the device, quick and compiled as the options say; its weights are fresh."""
    quicken()
    model = Generator(run.options, corpus.tokenizer.vocabulary).to(device())
    if run.options.compile:
        compile_blocks(model)
    return model


def noise_levels(count: int, shift: float) -> Tensor:
    """Noise levels in 0..1, one from each of `count` equal strata, shifted towards 1, in random order."""
    levels = (torch.arange(count, device=device()) + torch.rand(count, device=device())) / count
    return shifted(levels[torch.randperm(count, device=device())], shift)


def shifted(levels: Tensor, shift: float) -> Tensor:
    """The curve by which the published schedule moves evenly spaced levels towards noise."""
    return shift * levels / (1 + (shift - 1) * levels)


def unshifted(sigmas: Tensor, shift: float) -> Tensor:
    """The inverse of `shifted`."""
    return sigmas / (shift - (shift - 1) * sigmas)


def mix(clean: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Noisy latents [batch, tokens, channels] at noise levels [batch]."""
    levels = sigmas[:, None, None]
    return (1 - levels) * clean + levels * noise


def student_levels(options: Options) -> Tensor:
    """The noise levels of a drawing in `sample_steps` steps, the last of them 0."""
    from bonsai_mlx.flux2.scheduler import sigmas

    return torch.tensor(sigmas(options.grid**2, options.sample_steps), device=device())
