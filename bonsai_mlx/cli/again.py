"""`bonsai-mlx again`: a picture made once more from its file, and from the pictures that went into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..editing.normalise import mask_of, normalised
from ..editing.pictures import PictureSet, digest_of
from ..errors import BonsaiError, PictureError, RequestError
from ..hub.addresses import is_repository
from ..hub.catalog import is_known, part
from ..images.mask import read_mask
from ..images.metadata import encode
from ..images.recipe import Recipe
from ..pipelines import saved
from ..pipelines.chains import Step, Write, after_writing, missing, seeded, spoken, with_chain
from ..pipelines.lineage import Pictures, check_names, described, has_chain, read_chain, steps_of_recipe
from ..request import OPERATIONS, VERSION, Draw, Enlarge, Operation, from_json, opened, operation_of
from .generate import GenerateOptions, carry_out, draw, follow, model_of, report, say, varied
from .like import found_in
from .output import Output
from .words import written

if TYPE_CHECKING:
    from ..pipeline import Pipeline

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic"}
_MOST_FILES = 2_000  # of a folder that are looked at: a folder of photos is not the place for more


def again_command(options: GenerateOptions, path: Path, places: tuple[Path, ...] = ()) -> int:
    """Draw what the file's recipe says; the same pixels, unless `options` has another seed.

    What went into it is looked for beside it and in `places`, files and folders. BonsaiError names what is missing.
    """
    recipe = found_in(path).recipe
    if recipe is None:
        raise BonsaiError(f"{path} was not made by this program, or its recipe was taken out; see generate --like")
    for place in places:
        if not place.exists():
            raise BonsaiError(f"--input {place}: there is no such file or folder")
    request = request_of(recipe)
    if has_chain(recipe) and (options.seed is not None or _lacks(request, path, places)):
        steps = steps_of_recipe(recipe)
        return run_steps(options, steps if options.seed is None else seeded(steps, options.seed), path, places)
    pictures = _pictures(request, path, places)
    if options.seed is not None:
        request = replace(request, seed=options.seed)
    if not options.model and not options.variant:
        options = replace(options, model=_model(recipe))
    options = replace(
        options,
        text_encoder=_part("text encoder", options.text_encoder, recipe.text_encoder),
        decoder=_part("decoder", options.decoder, recipe.decoder),
    )
    if isinstance(request, Enlarge):
        upscaler = _upscaler(request.upscaler, path, places)
        return carry_out(options, [request], pictures.by_digest, upscaler, chain=recipe.parameters.get("chain", ()))
    chain = recipe.parameters.get("chain", ())
    return draw(options, varied(request, options), pictures.by_digest, chain)


def run_command(options: GenerateOptions, path: Path, places: tuple[Path, ...] = ()) -> int:
    """Carry out the steps in a file, or of one of the user's own pipelines, with other words and another seed if
    `options` have them, and save the last one's picture."""
    own = None if path.exists() or path.name != str(path) else saved.find(path.name)
    steps = spoken(saved.load(own).steps if own else read_chain(path), options.prompt)
    return run_steps(options, steps if options.seed is None else seeded(steps, options.seed), path, places)


def run_steps(options: GenerateOptions, steps: Sequence[Step], path: Path, places: tuple[Path, ...]) -> int:
    """Carry out steps, one after the other, and save the last one's picture. BonsaiError names the step at fault."""
    output = Output.choose(options.output, options.format, 1)
    output.check()
    check_names(steps)
    wanted = set(missing(steps))
    given = PictureSet()
    for file in _files(path, places) if wanted else ():
        wanted -= _found(file, wanted, given)
    pictures, pipe = Pictures(given.by_digest), None
    chain: list[dict[str, Any]] = []
    steps = list(steps)
    for place in range(len(steps)):
        step = steps[place]
        if isinstance(step.request, Write):
            if pipe is not None:
                pipe.unload()  # the writer has the memory to itself
            text = written(options, step.request, step.model)
            steps[place + 1 :] = after_writing(steps[place + 1 :], step.request.prompt, text)
            continue
        request = pictures.request(step, place)
        pipe = _pipeline_for(pipe, options, step)
        upscaler = _upscaler(getattr(request, "upscaler", None), path, places)
        say(options, f"Step {place + 1} of {len(steps)}: {operation_of(request)}, {pipe.name}")
        result = follow(pipe.run(request, pictures=pictures.by_digest, upscaler=upscaler), options.quiet)
        recipe = with_chain(pipe.recipe(result), chain)
        chain = [*chain, described(recipe, pictures.made(step, result.image), result.mask)]
    data = encode(result.image, recipe, options.metadata, output.format, options.quality, result.mask, result.code)
    report(options, result, output.save(data, result.seed))
    return 0


def _pipeline_for(pipe: Pipeline | None, options: GenerateOptions, step: Step) -> Pipeline:
    from ..pipeline import Pipeline

    asked = options.model or options.variant is not None
    name = model_of(options) if asked or step.model is None else step.model
    if pipe is not None and pipe.name == name:
        return pipe
    if not asked and step.model is not None and not (is_known(name) or is_repository(name)):
        raise BonsaiError(f"its model, {name}, is not known here; name one with --model")
    if pipe is not None:
        pipe.unload()
    return Pipeline.from_pretrained(name, **options.loading)


def _lacks(request: Operation, path: Path, places: tuple[Path, ...]) -> bool:
    try:
        _pictures(request, path, places)
    except BonsaiError:
        return True
    return False


def _upscaler(name: str | None, path: Path, places: tuple[Path, ...]) -> Path | None:
    if name is None:
        return None
    candidates = [place / name if place.is_dir() else place for place in (*places, path.parent)]
    for candidate in candidates:
        if candidate.name == name and candidate.is_file():
            return candidate
    raise BonsaiError(f"the upscaler {name} is not found; give the file, or its folder, with --input")


def request_of(recipe: Recipe) -> Operation:
    own = {name: getattr(recipe, name) for name in ("prompt", "seed", "steps", "width", "height")}
    operation = str(recipe.parameters.get("operation", "draw"))
    known = {item.name for item in fields(OPERATIONS[operation])}
    further = {name: value for name, value in recipe.parameters.items() if name in known}
    try:
        resolved = from_json({"operation": operation, "version": VERSION} | own | further)
    except RequestError as error:
        raise BonsaiError(f"the recipe cannot be carried out: {error}") from error
    return opened(resolved)


def _model(recipe: Recipe) -> str:
    for name in (recipe.model, recipe.repo or ""):
        if is_known(name) or is_repository(name):
            return name
    raise BonsaiError(f"its model, {recipe.model}, is not known here; name one with --model")


def _part(kind: str, given: str | None, used: str | None) -> str | None:
    """The one that is given, else that of the recipe. BonsaiError for one that only its path can name."""
    if given is None and used is not None and part(used) is None:
        raise BonsaiError(f"it was drawn with another {kind}, {used}; give that with --{kind.replace(' ', '-')}")
    return given or used


def _pictures(request: Operation, path: Path, places: tuple[Path, ...]) -> PictureSet:
    pictures, missing = PictureSet(), set(request.pictures)
    if isinstance(request, Draw) and request.mask is not None:
        missing -= _mask_inside(path, pictures)
    for file in _files(path, places) if missing else ():
        missing -= _found(file, missing, pictures)
        if not missing:
            break
    if missing:
        raise BonsaiError(_lack(request, missing))
    return pictures


def _mask_inside(path: Path, pictures: PictureSet) -> set[str]:
    try:
        mask = read_mask(path)
    except ValueError:
        return set()
    return {pictures.keep(mask)} if mask else set()


def _files(path: Path, places: tuple[Path, ...]) -> Iterator[Path]:
    yield from (place for place in places if not place.is_dir())
    for folder in (*(place for place in places if place.is_dir()), path.parent):
        found = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
        yield from found[:_MOST_FILES]


def _found(file: Path, missing: set[str], pictures: PictureSet) -> set[str]:
    """Which of the missing ones the file holds, as a picture or as a mask; what is no picture holds none."""
    try:
        taken = normalised(file)
        candidates = filter(None, (taken.picture, taken.whole, mask_of(file)))
    except PictureError:
        return set()
    return {pictures.keep(one) for one in candidates if digest_of(one) in missing}


def _lack(request: Operation, missing: set[str]) -> str:
    roles = {request.source: "source"} if isinstance(request, Enlarge) else _roles(request)
    names = ", ".join(f"{roles[digest]} ({digest[:12]}...)" for digest in request.pictures if digest in missing)
    return f"what went into the picture is not found: {names}; give the files, or their folder, with --input"


def _roles(request: Draw) -> dict[str, str]:
    roles = {digest: f"reference {place}" for place, digest in enumerate(request.references, 1)}
    named = {role: getattr(request, role) for role in ("init", "mask", "morph")}
    return roles | {digest: role for role, digest in named.items() if digest}
