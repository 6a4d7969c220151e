"""The stages of Bernoulli diffusion: a model of the codes, its guided student, and that one's copy with binary weights.

bits           learns which bits are flipped, from the seedling's weights; its text encoder is the published one, fixed
bits-guidance  the student learns the guided logits, so that one evaluation does the work of two
bits-binary    the block linears are rounded; the copy learns to say what the student says

In a part of the samples some tokens are known: their bits are clean, and the transformer is told. That is one more
channel of its input, 1 where a token is known; its column is `known_embedder` in the exported file.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..model.corpus import Batch
from ..model.distil import TEXT_FILE, pack_transformer, unpack_text_encoder, unpack_transformer
from ..model.flow import noise_levels
from ..model.networks import Generator, autocast, build_transformer, compile_blocks, device, quicken
from ..model.optimizers import Optimizers, schedule
from ..model.pieces import backward, evaluated
from ..model.quantise import rounded
from ..model.run import Loop, Run
from ..options import Options
from . import bernoulli
from .corpus import BitCorpus
from .shipped import TRANSFORMER_FILE

Flips = Callable[[Tensor, Tensor, Tensor], Tensor]  # tokens with their marks, noise levels, context -> logits
KNOWN_PART = 0.2  # of the samples, in which some tokens are known
TEACHER, GUIDED, BINARY, PACKED = "bits", "bits-guided", "bits-binary", "bits-packed"


class BitGenerator(Generator):
    """The seedling's networks with one more channel, which marks known tokens."""

    def __init__(self, options: Options, vocabulary: int) -> None:
        super().__init__(options, vocabulary)
        channels = options.token_channels
        self.transformer = build_transformer(options, in_channels=channels + 1, out_channels=channels)
        with torch.no_grad():
            self.transformer.x_embedder.weight[:, channels:] = 0.0


def train_bits(run: Run) -> None:
    """The stage "bits"; keeps the weights "bits"."""
    options = run.options
    corpus = BitCorpus(run)
    model = _model(run, corpus)
    if not run.restore(TEACHER, model.transformer):
        begin(run, model.transformer)
    optimizers = Optimizers(model.transformer.named_parameters(), options.muon_rate, options.adam_rate)
    generator = run.seed("bits")
    loop = Loop(run, "bits", lambda: run.save(TEACHER, model.transformer))
    for progress in loop:
        half = progress < options.half_size_part
        batch = corpus.batch(options.batch, generator, options.unconditional, half=half)
        sigmas = noise_levels(options.batch, options.bits_shift / 2 if half else options.bits_shift)
        known = known_tokens(batch.latents, KNOWN_PART)
        noisy = marked(bernoulli.noised(batch.latents, sigmas), batch.latents, known)
        context = evaluated(model.text, options.piece)(batch.ids, batch.lengths)
        (loss,) = backward(_likelihood(model.velocity), options.piece, batch.latents, noisy, sigmas, context)
        optimizers.step(schedule(progress, loop.session_step, options.warm_up, options.decay))
        loop.record(options.batch, loss=loss)


def distil_bits_guidance(run: Run) -> None:
    """The stage "bits-guidance": from "bits" to "bits-guided"."""
    options = run.options
    corpus = BitCorpus(run)
    teacher = _frozen(run, corpus, TEACHER)
    student = _student(run, corpus, GUIDED, teacher.transformer)
    optimizers = Optimizers(student.transformer.named_parameters(), options.distil_muon_rate, options.distil_adam_rate)
    generator = run.seed("bits-guidance")
    loop = Loop(run, "bits-guidance", lambda: run.save(GUIDED, student.transformer))
    flips = evaluated(teacher.velocity, options.piece)
    for progress in loop:
        batch = corpus.batch(options.batch, generator)
        sigmas = noise_levels(options.batch, options.bits_shift)
        noisy = _from_data(batch, sigmas)
        context = evaluated(student.text, options.piece)(batch.ids, batch.lengths)
        without = evaluated(student.text, options.piece)(*corpus.without_text(options.batch))
        plain, full = flips(noisy, sigmas, without), flips(noisy, sigmas, context)
        target = torch.sigmoid(plain + options.guidance * (full - plain))
        (loss,) = backward(_imitated(student.velocity), options.piece, target, noisy, sigmas, context)
        optimizers.step(schedule(progress, loop.session_step, options.warm_up // 2, 0.85))
        loop.record(options.batch, loss=loss)


def distil_bits_binary(run: Run) -> None:
    """The stage "bits-binary": from "bits-guided" to the packed transformer "bits-packed"."""
    options = run.options
    corpus = BitCorpus(run)
    reference = _frozen(run, corpus, GUIDED)
    model = _student(run, corpus, BINARY, reference.transformer)
    optimizers = Optimizers(model.transformer.named_parameters(), options.quantised_muon_rate, options.distil_adam_rate)
    generator = run.seed("bits-binary")
    loop = Loop(run, "bits-binary", lambda: run.save(BINARY, model.transformer))
    for progress in loop:
        with rounded(model.transformer, "binary"):
            noisy, sigmas, context = _starts(options, corpus, generator, model)
            target = torch.sigmoid(evaluated(reference.velocity, options.piece)(noisy, sigmas, context))
            (loss,) = backward(_imitated(model.velocity), options.piece, target, noisy, sigmas, context)
        optimizers.step(schedule(progress, loop.session_step, options.warm_up // 2, 0.85))
        loop.record(options.batch, loss=loss)
    run.keep(PACKED, packed_bits(model.transformer, options))


def packed_bits(transformer: nn.Module, options: Options) -> dict[str, Tensor]:
    """Every tensor of the exported transformer: blocks at one bit, the marks' column as `known_embedder`."""
    tensors = pack_transformer(transformer, "binary")
    weight, channels = tensors["x_embedder.weight"], options.token_channels
    tensors["x_embedder.weight"] = weight[:, :channels].contiguous()
    tensors["known_embedder.weight"] = weight[:, channels].contiguous()
    return tensors


def begin(run: Run, transformer: nn.Module) -> None:
    """The weights to begin with: this run's own student, or the published ternary ones; fresh if those do not fit."""
    beginning = build_transformer(run.options)
    if not run.restore("student", beginning):
        tensors = load_file(TRANSFORMER_FILE)
        own = pack_transformer(beginning, "ternary")
        if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in tensors.items()}:
            return
        unpack_transformer(tensors, beginning, "ternary")
    state = beginning.state_dict()
    column = torch.zeros(len(state["x_embedder.weight"]), 1)
    state["x_embedder.weight"] = torch.cat([state["x_embedder.weight"], column], 1)
    transformer.load_state_dict(state)


def marked(noisy: Tensor, clean: Tensor, known: Tensor) -> Tensor:
    """Tokens [batch, tokens, channels + 1]: noisy bits, clean where `known` [batch, tokens, 1] is 1, and `known`."""
    return torch.cat([torch.where(known > 0, clean, noisy), known], -1)


def known_tokens(latents: Tensor, part: float) -> Tensor:
    """Which tokens of a batch are known [batch, tokens, 1]: in a part of the samples a rectangle, or all around it."""
    side = round(latents.shape[1] ** 0.5)
    known = torch.zeros(len(latents), side, side, device=latents.device)
    for sample in (torch.rand(len(latents)) < part).nonzero().flatten().tolist():
        top, left, bottom, right = _rectangle(side)
        known[sample, top:bottom, left:right] = 1.0
    some = known.flatten(1).any(1)
    swap = some & (torch.rand(len(latents), device=latents.device) < 0.5)
    known[swap] = 1 - known[swap]
    return known.flatten(1)[..., None]


@torch.no_grad()
def own_path(flips: Flips, coins: Tensor, context: Tensor, levels: list[float]) -> Tensor:
    """What is on the model's table before each step of a drawing from `coins` [n, ...]: [levels - 1, n, ...]."""
    x, path = coins, [coins]
    zeros = torch.zeros_like(coins[..., :1])
    for here, there in pairwise(levels[:-1]):
        output = flips(torch.cat([x, zeros], -1), x.new_full((len(x),), here), context)
        x = bernoulli.drawn(bernoulli.posterior(x, output, here, there), torch.rand_like(x))
        path.append(x)
    return torch.stack(path)


def _rectangle(side: int) -> tuple[int, int, int, int]:
    ends = [sorted(torch.randint(0, side + 1, (2,)).tolist()) for _ in "yx"]
    (top, bottom), (left, right) = ends
    return top, left, max(bottom, top + 1), max(right, left + 1)


def _from_data(batch: Batch, sigmas: Tensor) -> Tensor:
    return marked(bernoulli.noised(batch.latents, sigmas), batch.latents, known_tokens(batch.latents, KNOWN_PART))


def _starts(
    options: Options, corpus: BitCorpus, generator: torch.Generator, model: BitGenerator
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch's marked tokens, noise levels and context: a quarter from a drawing of the model's own, a quarter from
    the data at the levels of a drawing, the rest from the data at any level."""
    from bonsai_mlx.bits.process import levels

    quarter, spread = options.batch // 4, levels(options.bits_steps, 1.0, "sigma")
    batch = corpus.batch(options.batch, generator)
    context = evaluated(model.text, options.piece)(batch.ids, batch.lengths)
    coins = torch.where(torch.rand_like(batch.latents[:1]) < 0.5, -1.0, 1.0)
    with torch.compiler.set_stance("force_eager"), autocast():
        path = own_path(evaluated(model.velocity, None), coins, context[:1], spread)[:, 0]
    places = torch.randint(0, len(path), (2 * quarter,))
    exact = torch.tensor(spread, device=device())[places]
    sigmas = torch.cat([exact, noise_levels(options.batch - len(exact), options.bits_shift)])
    noisy = _from_data(batch, sigmas)
    own = path[places[:quarter]]
    noisy[:quarter] = torch.cat([own, torch.zeros_like(own[..., :1])], -1)
    context[:quarter] = context[:1]
    return noisy, sigmas, context


def _likelihood(flips: Flips) -> Callable[..., Tensor]:
    def mean(clean: Tensor, noisy: Tensor, sigmas: Tensor, context: Tensor) -> Tensor:
        bits, known = noisy[..., :-1], noisy[..., -1:]
        return bernoulli.loss(flips(noisy, sigmas, context), clean, bits, sigmas, 1 - known)[None]

    return mean


def _imitated(flips: Flips) -> Callable[..., Tensor]:
    def mean(target: Tensor, noisy: Tensor, sigmas: Tensor, context: Tensor) -> Tensor:
        cost = binary_cross_entropy_with_logits(flips(noisy, sigmas, context), target, reduction="none")
        drawn = 1 - noisy[..., -1:]
        return ((cost * drawn).sum() / (drawn.sum() * cost.shape[-1]).clamp_min(1))[None]

    return mean


def _model(run: Run, corpus: BitCorpus) -> BitGenerator:
    quicken()
    model = BitGenerator(run.options, corpus.tokenizer.vocabulary).to(device())
    unpack_text_encoder(load_file(run.weights(TEXT_FILE)), model.text)
    model.text.requires_grad_(False)
    if run.options.compile:
        compile_blocks(model)
    return model


def _frozen(run: Run, corpus: BitCorpus, name: str) -> BitGenerator:
    model = _model(run, corpus)
    if not run.restore(name, model.transformer):
        raise FileNotFoundError(f"{run.weights(name)} is missing; run the stage that makes it first")
    return cast(BitGenerator, model.eval().requires_grad_(False))


def _student(run: Run, corpus: BitCorpus, name: str, beginning: Any) -> BitGenerator:
    model = _model(run, corpus)
    if not run.restore(name, model.transformer):
        model.transformer.load_state_dict(beginning.state_dict())
    return model
