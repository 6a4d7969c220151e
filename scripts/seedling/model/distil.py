"""The stages after "flow": a student that draws in four steps without guidance, then its ternary and binary copies.

guidance  the student learns the guided velocity, so that one evaluation does the work of two
steps     it learns to land, with one step, where the guided model lands with many: full precision is what comes out
ternary,  the block linears are rounded; the copy learns to do what the full-precision student does
binary

Half of the samples of the last three are at the exact noise levels of a four-step drawing: one half of those begins
with pictures of the data, the other with the model's own drawings, so that it learns to mend its own errors. The text
encoder is fixed at its published 4 bits from here on, and shared by all.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..options import Options
from .corpus import Corpus
from .flow import mix, new_generator, noise_levels, shifted, student_levels, unshifted
from .networks import Generator, autocast
from .optimizers import Optimizers, schedule
from .pieces import backward, evaluated, imitated
from .quantise import BITS, TEXT_BITS, Variant, block_linears, packed, packed_text, rounded, unpacked
from .run import Loop, Run

Velocity = Callable[[Tensor, Tensor], Tensor]  # latents, noise levels -> velocity
TEXT_FILE = "text"  # the text encoder's matrices, packed


def distil_guidance(run: Run) -> None:
    """The stage "guidance": from "teacher" to "guided"."""
    options = run.options
    corpus = Corpus(run)
    teacher = _frozen(run, corpus, "teacher")
    if not run.weights(TEXT_FILE).is_file():
        run.keep(TEXT_FILE, pack_text_encoder(teacher.text))
    student = _student(run, corpus, "guided", teacher.transformer)
    optimizers = Optimizers(student.transformer.named_parameters(), options.distil_muon_rate, options.distil_adam_rate)
    generator = run.seed("guidance")
    loop = Loop(run, "guidance", lambda: run.save("guided", student.transformer))
    for progress in loop:
        batch = corpus.batch(options.batch, generator)
        sigmas = noise_levels(options.batch, options.sigma_shift)
        noisy = mix(batch.latents, torch.randn_like(batch.latents), sigmas)
        context = evaluated(student.text, options.piece)(batch.ids, batch.lengths)
        plain = evaluated(teacher, options.piece)(noisy, sigmas, *corpus.without_text(options.batch))
        full = evaluated(teacher, options.piece)(noisy, sigmas, batch.ids, batch.lengths)
        target = plain + options.guidance * (full - plain)
        (loss,) = backward(imitated(student.velocity), options.piece, target, noisy, sigmas, context)
        _update(optimizers, loop, progress, loss)


def distil_steps(run: Run) -> None:
    """The stage "steps": from "guided" to "student", the full-precision reference."""
    options = run.options
    corpus = Corpus(run)
    guided = _with_text(run, _frozen(run, corpus, "guided"))
    student = _student(run, corpus, "student", guided.transformer)
    optimizers = Optimizers(student.transformer.named_parameters(), options.distil_muon_rate, options.distil_adam_rate)
    generator = run.seed("steps")
    loop = Loop(run, "steps", lambda: run.save("student", student.transformer))
    levels = student_levels(options)
    for progress in loop:
        starts, sigmas, context = _starts(options, corpus, generator, student, levels)
        part = options.batch // 2
        jumps = landing_velocity(_bound(guided, context[:part], options), starts[:part], levels, options)
        rest = evaluated(guided.velocity, options.piece)(starts[part:], sigmas[part:], context[part:])
        target = torch.cat([jumps, rest])
        (loss,) = backward(imitated(student.velocity), options.piece, target, starts, sigmas, context)
        _update(optimizers, loop, progress, loss)


def distil_quantised(run: Run, variant: Variant) -> None:
    """The stages "ternary" and "binary": from "student" to the packed transformer `packed-VARIANT`."""
    options = run.options
    corpus = Corpus(run)
    reference = _with_text(run, _frozen(run, corpus, "student"))
    model = _student(run, corpus, variant, reference.transformer)
    optimizers = Optimizers(model.transformer.named_parameters(), options.quantised_muon_rate, options.distil_adam_rate)
    generator = run.seed(variant)
    loop = Loop(run, variant, lambda: run.save(variant, model.transformer))
    levels = student_levels(options)
    for progress in loop:
        with rounded(model.transformer, variant):
            starts, sigmas, context = _starts(options, corpus, generator, model, levels)
            target = evaluated(reference.velocity, options.piece)(starts, sigmas, context)
            (loss,) = backward(imitated(model.velocity), options.piece, target, starts, sigmas, context)
        _update(optimizers, loop, progress, loss)
    run.keep(f"packed-{variant}", pack_transformer(model.transformer, variant))


def landing_velocity(guided: Velocity, starts: Tensor, levels: Tensor, options: Options) -> Tensor:
    """The velocity with which one step of the student lands where `substeps` steps of `guided` land.

    `starts` [4 * n, tokens, channels] lie at the first, second, ... level of a drawing, n each.
    """
    nodes = unshifted(levels, options.sigma_shift)
    fractions = torch.linspace(0, 1, options.substeps + 1, device=levels.device)
    paths = shifted(nodes[:-1, None] + (nodes[1:] - nodes[:-1])[:, None] * fractions, options.sigma_shift)
    paths = paths.repeat_interleave(len(starts) // len(paths), 0)  # a path of levels for each start
    x = starts
    for here, there in pairwise(paths.T):
        x = x + (there - here)[:, None, None] * guided(x, here)
    return (x - starts) / (paths[:, -1] - paths[:, 0])[:, None, None]


@torch.no_grad()
def own_path(model: Velocity, noise: Tensor, levels: Tensor) -> Tensor:
    """What the model has on its table before each step of a drawing from `noise` [n, ...]: [4 * n, ...]."""
    x, path = noise, [noise]
    for here, there in pairwise(levels[:-1].tolist()):
        x = x + (there - here) * model(x, x.new_full((len(x),), here))
        path.append(x)
    return torch.cat(path)


def pack_transformer(transformer: nn.Module, variant: Variant) -> dict[str, Tensor]:
    """Every tensor of the published transformer file, for the weights as they are."""
    tensors = {name: value.detach().cpu().to(torch.bfloat16) for name, value in transformer.state_dict().items()}
    for name, linear in block_linears(transformer):
        del tensors[f"{name}.weight"]
        tensors |= {f"{name}.{kind}": value for kind, value in packed(linear.weight, variant).items()}
    return tensors


def unpack_transformer(tensors: dict[str, Tensor], transformer: nn.Module, variant: Variant) -> None:
    """Give `transformer` the values that a published transformer file stands for."""
    state = {name: tensors[name].float() for name in transformer.state_dict() if f"{name[:-7]}.scales" not in tensors}
    for name, _ in block_linears(transformer):
        state[f"{name}.weight"] = unpacked(tensors, name, BITS[variant])
    transformer.load_state_dict(state)


def pack_text_encoder(text: nn.Module) -> dict[str, Tensor]:
    """The text encoder's tensors with every matrix packed to 4 bits, names as in the module."""
    tensors: dict[str, Tensor] = {}
    for name, value in text.state_dict().items():
        if value.ndim == 2:
            parts = packed_text(value)
            tensors |= {f"{name.removesuffix('.weight')}.{kind}": part for kind, part in parts.items()}
        else:
            tensors[name] = value.detach().cpu().to(torch.bfloat16)
    return tensors


def unpack_text_encoder(tensors: dict[str, Tensor], text: nn.Module) -> None:
    """Give `text` the values that packed tensors stand for."""
    state = {}
    for name, value in text.state_dict().items():
        layer = name.removesuffix(".weight")
        state[name] = unpacked(tensors, layer, TEXT_BITS) if value.ndim == 2 else tensors[name].float()
    text.load_state_dict(state)


def _starts(
    options: Options, corpus: Corpus, generator: torch.Generator, model: Generator, levels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch's noisy latents, noise levels and prompt embeddings.

    First a half at the levels of a drawing, n at each: of these n, half are the model's own drawings. Then a half at
    any level, from the data.
    """
    batch = corpus.batch(options.batch, generator)
    noise = torch.randn_like(batch.latents)
    each = options.batch // 2 // options.sample_steps
    own, part = each // 2, each * options.sample_steps
    # Small batches of their own size: compiling them would cost more than it saves.
    with torch.compiler.set_stance("force_eager"), torch.no_grad(), autocast():
        prompts = model.text(batch.ids[: each + options.batch - part], batch.lengths[: each + options.batch - part])
        drawn = own_path(_bound(model, prompts[:own], options), noise[:own], levels).unflatten(0, (-1, own))
    nodes = levels[:-1].repeat_interleave(each - own)
    repeated = [tensor[own:each].repeat(options.sample_steps, 1, 1) for tensor in (batch.latents, noise)]
    mixed = mix(repeated[0], repeated[1], nodes).unflatten(0, (-1, each - own))
    anywhere = noise_levels(options.batch - part, options.sigma_shift)
    rest = mix(batch.latents[each:][: len(anywhere)], noise[each:][: len(anywhere)], anywhere)
    starts = torch.cat([torch.cat([drawn, mixed], 1).flatten(0, 1), rest])
    sigmas = torch.cat([levels[:-1].repeat_interleave(each), anywhere])
    context = torch.cat([prompts[:each].repeat(options.sample_steps, 1, 1), prompts[each:]])
    return starts, sigmas, context


def _update(optimizers: Optimizers, loop: Loop, progress: float, loss: Tensor) -> None:
    """One step along the gradients of a batch."""
    options = loop.run.options
    optimizers.step(schedule(progress, loop.session_step, options.warm_up // 2, 0.85))
    loop.record(options.batch, loss=loss)


def _bound(model: Generator, context: Tensor, options: Options) -> Velocity:
    velocity = evaluated(model.velocity, options.piece)
    return lambda latents, sigmas: velocity(latents, sigmas, context)


def _frozen(run: Run, corpus: Corpus, name: str) -> Generator:
    """The generator whose weights are kept under `name`, for evaluation only."""
    model = new_generator(run, corpus)
    if not run.restore(name, model if name == "teacher" else model.transformer):
        raise FileNotFoundError(f"{run.weights(name)} is missing; run the stage that makes it first")
    return model.eval().requires_grad_(False)


def _with_text(run: Run, model: Generator) -> Generator:
    unpack_text_encoder(load_file(run.weights(TEXT_FILE)), model.text)
    return model


def _student(run: Run, corpus: Corpus, name: str, beginning: nn.Module) -> Generator:
    """A generator to train, resumed from `name` or begun with the weights of `beginning`; its text encoder is fixed."""
    model = _with_text(run, new_generator(run, corpus))
    if not run.restore(name, model.transformer):
        model.transformer.load_state_dict(beginning.state_dict())
    model.text.requires_grad_(False)
    return model
