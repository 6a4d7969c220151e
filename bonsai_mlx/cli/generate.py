"""`bonsai-mlx generate` on a terminal: what is drawn, by which model, and what is said at the end.

Everything that can be refused is refused before anything is drawn. stdout carries the result, stderr the progress and
the notes, so that `file=$(bonsai-mlx generate ... --quiet)` works. MLX is imported once all that is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..bounds import Lora
from ..errors import RequestError
from ..hub import api as hub
from ..hub.catalog import lookup, published_names, stand_in
from ..images.metadata import DEFAULT_QUALITY, Format, MetadataMode, encode
from ..pipelines.alternatives import has_alternatives
from ..pipelines.chains import with_chain
from ..pipelines.styles import styled
from ..printable import printable
from ..request import (
    ANYTHING,
    MAX_PROMPT_CHARS,
    GenerationRequest,
    Operation,
    ResolvedOperation,
    ResolvedRequest,
    consecutive_seeds,
    random_seed,
)
from ..result import TRUNCATED, Event, GenerationResult
from ..wording import format_bytes
from .like import settings_like
from .output import Output
from .progress import ProgressLine, suppress_progress

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What the command line asks for; None leaves the choice to the checkpoint, or to chance for the seed."""

    prompt: str | None  # "-": what comes on standard input; None: that of the picture `like`
    like: Path | None = None  # a picture whose settings hold where nothing else is said
    model: str | None = None  # a folder, a Hub repository or a catalog name; overrides `variant`
    variant: str | None = None
    companion: str | None = None  # what a single file lacks is this model's
    text_encoder: str | None = None  # a name or a path, of what takes the place of the model's own
    decoder: str | None = None
    seed: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    variation_amount: float | None = None
    variation_seed: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    temperature: float | None = None
    unconditional: bool | None = None
    output: Path | Literal["-"] | None = None
    format: Format | None = None  # what the name of the output says, else PNG
    quality: int = DEFAULT_QUALITY
    count: int = 1
    memory_limit_bytes: int | None = None
    metadata: MetadataMode = "full"
    quiet: bool = False
    styles: tuple[str, ...] = ()
    loras: tuple[Lora, ...] = ()
    loras_dir: Path | None = None  # the folder that names mean; None: the user's own

    @property
    def loading(self) -> dict[str, Any]:
        names = ("memory_limit_bytes", "companion", "text_encoder", "decoder", "loras_dir")
        return {name: getattr(self, name) for name in names}


def generate_command(options: GenerateOptions) -> int:
    """Draw and save `options.count` pictures. Returns 0, or raises the BonsaiError that says why it cannot."""
    options = _completed(options)
    request = GenerationRequest(
        options.prompt or (ANYTHING if options.unconditional else ""),
        seed=options.seed,
        steps=options.steps,
        width=options.width,
        height=options.height,
        loras=options.loras,
    )
    if has_alternatives(request.prompt):
        say(options, "The braces are drawn as they are; `bonsai-mlx grid` draws each of the alternatives in them.")
    return draw(options, varied(request, options))


def varied(request: GenerationRequest, options: GenerateOptions) -> GenerationRequest:
    """The request with guidance, temperature and variation. RequestError for a variation's seed without an amount."""
    if options.guidance is not None:
        request = replace(request, guidance=options.guidance)
    if options.negative_prompt is not None:
        request = replace(request, negative_prompt=options.negative_prompt)
    if options.temperature is not None:
        request = replace(request, temperature=options.temperature)
    if options.unconditional is not None:
        request = replace(request, unconditional=options.unconditional)
    if options.variation_amount is None:
        if options.variation_seed is not None:
            raise RequestError("--variation-seed", "belongs to a variation; give --variation too")
        return request
    return replace(request, variation_amount=options.variation_amount, variation_seed=options.variation_seed)


def draw(
    options: GenerateOptions,
    request: GenerationRequest,
    pictures: Mapping[str, Image] | None = None,
    chain: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> int:
    """Carry out a request `options.count` times and save what comes out.

    `pictures` are those that it names, `chain` the steps that they came about by, and `notes` what is said of them.
    """
    requests = _batch(with_styles(options, request), options.count)
    return carry_out(options, requests, pictures, chain=chain, notes=notes)


def carry_out(
    options: GenerateOptions,
    requests: Sequence[Operation],
    pictures: Mapping[str, Image] | None = None,
    upscaler: Path | None = None,
    *,
    chain: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> int:
    output = Output.choose(options.output, options.format, options.count)
    output.check()
    for note in notes:
        say(options, note)
    model = model_of(options)

    from ..pipeline import Pipeline  # the first thing that needs MLX

    pipe = Pipeline.from_pretrained(model, **options.loading)
    said = set[str]()
    for one in requests:
        if isinstance(one, GenerationRequest):
            say(options, f"{pipe.name}, {_settings(pipe.resolve(one, pictures=pictures))}")
        result = follow(pipe.run(one, pictures=pictures, upscaler=upscaler), options.quiet)
        for note in _notes(result, output.format):
            if note not in said:
                say(options, note)
            said.add(note)
        recipe = with_chain(pipe.recipe(result), chain)
        data = encode(result.image, recipe, options.metadata, output.format, options.quality, result.mask, result.code)
        report(options, result, output.save(data, _counted(result.request)))
    return 0


def _notes(result: GenerationResult, to: Format) -> Iterator[str]:
    if result.truncated:
        yield TRUNCATED
    yield from result.notes
    if to == "jpeg" and result.image.mode == "RGBA":
        yield "JPEG holds no transparency; what is transparent is laid on white. PNG and WebP keep it."


def with_styles(options: GenerateOptions, request: GenerationRequest) -> GenerationRequest:
    return styled(replace(request, styles=options.styles or request.styles).validated())


def model_of(options: GenerateOptions, *, draws: bool = True) -> str:
    """The model that is asked for, else the default one, or the seedling where that is not here."""
    return options.model or _ready_or_seedling(options.variant or published_names()[0], draws)


def _completed(options: GenerateOptions) -> GenerateOptions:
    """With the prompt from standard input, and the settings of the picture that is to be followed."""
    if options.prompt == "-":
        options = replace(options, prompt=_prompt_from_input())
    if options.like is None:
        return options
    found, notes = settings_like(options.like)
    for note in notes:
        say(options, note)
    given = {name for name in found if getattr(options, name) not in (None, ())}
    if options.variant or options.model:
        given |= {"model"}
    if options.width or options.height:
        given |= {"width", "height"}
    if options.prompt:
        given |= {"unconditional"}
    if options.variation_amount is not None or options.seed is not None:
        given |= {"variation_amount", "variation_seed"}
    return replace(options, **{name: value for name, value in found.items() if name not in given})


def _prompt_from_input() -> str:
    data = sys.stdin.buffer.read(4 * MAX_PROMPT_CHARS + 3)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise RequestError("prompt", "what comes on standard input is no text in UTF-8") from None


def _batch(request: GenerationRequest, count: int) -> list[GenerationRequest]:
    """One for each picture, with seeds that count up, and on from 0 after the last; of variations, their own seeds."""
    if request.variation_amount:
        first = random_seed() if request.variation_seed is None else request.variation_seed
        seed = random_seed() if request.seed is None else request.seed
        return [replace(request, seed=seed, variation_seed=own) for own in consecutive_seeds(first, count)]
    first = random_seed() if request.seed is None else request.seed
    return [replace(request, seed=seed) for seed in consecutive_seeds(first, count)]


def _counted(request: ResolvedOperation) -> int:
    varied = request.variation_seed if isinstance(request, ResolvedRequest) else None
    return request.seed if varied is None else varied


def _ready_or_seedling(variant: str, draws: bool = True) -> str:
    """The checkpoint if it is complete, else the embedded one, which is announced for what it is if it `draws`."""
    entry, seedling = lookup(variant), stand_in(variant)
    local = hub.status(entry)
    if local.state == "ready":
        return entry.name
    if not draws:
        return seedling.name
    lack = "is not downloaded yet" if local.state == "absent" else f"is here but {_word(local.state)}"
    sys.stderr.write(
        f"{entry.title} {lack}, so this uses the seedling: a tiny demonstration model that comes with the program.\n"
        'It draws simple things and scenes, such as "a red house", "two yellow stars" or "maple bonsai in autumn", at '
        f"{'x'.join(map(str, seedling.recommended_size))} pixels, and knows nothing else.\n"
        f"Get the real one ({format_bytes(local.bytes_total)}) with: {hub.remedy(entry)}\n"
    )
    return seedling.name


def _word(state: str) -> str:
    return "incomplete" if state == "partial" else state


def _settings(filled: ResolvedRequest) -> str:
    steps = "1 step" if filled.steps == 1 else f"{filled.steps} steps"
    adapters = "".join(f", {one.name} {one.strength:g}" for one in filled.loras)
    seed = f"seed {filled.seed}"
    if filled.variation_amount:
        seed = f"{seed} varied by {filled.variation_amount:g} with {filled.variation_seed}"
    guidance = f"guidance {filled.guidance:g}, " if (filled.guidance or 1) > 1 else ""
    if filled.temperature not in (None, 1):
        guidance += f"temperature {filled.temperature:g}, "
    return f"{seed}, {steps}, {guidance}{filled.width}x{filled.height}{adapters}"


def follow(events: Iterable[Event], quiet: bool) -> GenerationResult:
    result = None
    with suppress_progress() if quiet else ProgressLine(sys.stderr) as line:
        for event in events:
            line.show(event)
            result = event.result
    assert result is not None  # noqa: S101  the last event carries it
    return result


def report(options: GenerateOptions, result: GenerationResult, path: Path | None) -> None:
    """`path`: None for a picture that went to standard output, which then carries nothing else."""
    stream = sys.stdout if path else sys.stderr
    if not options.quiet:
        stream.write(f"{'   '.join(_how(result))}\n")
    if path:
        stream.write(f"{path}\n" if options.quiet else f"Saved {printable(path)}\n")
    stream.flush()


def _how(result: GenerationResult) -> Iterator[str]:
    if getattr(result.request, "method", "refine") == "refine":  # else nothing was drawn
        yield f"seed {result.seed}"
    yield _times(result.timings)
    if peak := result.memory["peak_bytes"]:
        yield f"peak memory {format_bytes(peak)}"


def _times(timings: Mapping[str, float]) -> str:
    parts = [f"{name} {seconds:.1f} s" for name, seconds in timings.items() if name not in ("total", "done")]
    return f"{', '.join(parts)}, in all {timings['total']:.1f} s"


def say(options: GenerateOptions, text: str) -> None:
    if not options.quiet:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
