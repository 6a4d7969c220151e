"""Chains: the steps that a picture came about by, as data. In a picture's recipe they are those before its last one.

    {"steps": [{"operation": "draw", "prompt": "{prompt}", "id": "sketch"},
               {"operation": "draw", "prompt": "{prompt}", "init": "sketch", "strength": 0.5},
               {"operation": "enlarge", "source": "previous", "by": 2}]}

A step is a request that may leave things open, the `model` that carries it out, and an `id`. Where a request names a
picture, it may name an earlier step: by its id, which in a recipe is the digest of the picture that it made, or as
`previous`. `pictures` holds masks that were drawn by hand, by digest, as PNG in base64. There is no code in it, and
what is not known is an error.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..editing.normalise import mask_of, normalised
from ..editing.pictures import digest_of
from ..errors import BonsaiError, PictureError, RequestError
from ..fileio import open_regular
from ..images.mask import read_mask
from ..images.metadata import read
from ..images.recipe import Recipe, parse_json_object
from ..images.scan import MAX_FILE_BYTES
from ..request import VERSION, Draw, Enlarge, Operation, operation_of

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_STEPS = 16
MAX_BYTES = 400_000  # of a chain in a recipe: readers of texts in pictures stop at a million
PREVIOUS, PROMPT = "previous", "{prompt}"
_KINDS: Mapping[str, type[Operation]] = {"draw": Draw, "enlarge": Enlarge}
_RESOLVED = {"enlarge": ("width", "height")}  # follow from the picture
_BESIDE = {"operation", "version", "id", "model", "pictures"}


@dataclass(frozen=True, slots=True)
class Step:
    """One of a chain; its request may name steps where it names pictures."""

    request: Operation
    id: str | None = None
    model: str | None = None
    pictures: Mapping[str, bytes] | None = None  # PNG files by digest

    @property
    def named(self) -> list[str]:
        return list(self.request.pictures)


def steps_of(values: object, field: str = "steps") -> list[Step]:
    """The steps of a list of JSON objects. RequestError names the one that is at fault."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= MAX_STEPS:
        raise RequestError(field, f"is no list of 1 to {MAX_STEPS} steps")
    steps: list[Step] = []
    for place, value in enumerate(values):
        step = _step(value, f"{field}[{place}]")
        known = {one.id for one in steps}
        if step.id is not None and step.id in known:
            raise RequestError(f"{field}[{place}].id", f"{step.id[:80]!r} is the name of an earlier step")
        if PREVIOUS in step.named and place == 0:
            raise RequestError(f"{field}[0]", "the first step has no previous one")
        steps.append(step)
    return steps


def _step(value: object, field: str) -> Step:
    if not isinstance(value, Mapping):
        raise RequestError(field, "is no object")
    operation = value.get("operation")
    if not isinstance(operation, str) or operation not in _KINDS:
        raise RequestError(f"{field}.operation", f"{operation!r} is not known; known are {', '.join(_KINDS)}")
    version = value.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise RequestError(f"{field}.version", f"{version!r} is not known to this version of the program; update it")
    known = {item.name for item in fields(_KINDS[operation])}
    own = {name: tuple(one) if isinstance(one, list) else one for name, one in value.items() if name in known}
    if unknown := sorted(map(str, value.keys() - known - _BESIDE - set(_RESOLVED.get(operation, ())))):
        raise RequestError(f"{field}.{unknown[0][:80]}", "is no field of this operation")
    if operation == "enlarge" and not own.get("steps"):
        own.pop("steps", None)
    for name in ("id", "model"):
        if not isinstance(value.get(name), str | None):
            raise RequestError(f"{field}.{name}", "is no text")
    try:
        request = cast(Any, _KINDS[operation])(**own)
    except TypeError:
        raise RequestError(field, "says too little: a drawing needs a prompt, an enlarged picture its source") from None
    return Step(request, value.get("id"), value.get("model"), _pictures(value.get("pictures", {}), field))


def _pictures(values: object, field: str) -> dict[str, bytes]:
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise RequestError(f"{field}.pictures", "is no object of texts")
    try:
        return {str(name): base64.b64decode(value, validate=True) for name, value in values.items()}
    except (binascii.Error, ValueError):
        raise RequestError(f"{field}.pictures", "is no base64") from None


def steps_of_recipe(recipe: Recipe) -> list[Step]:
    """All steps that lead to a picture, its own last. RequestError."""
    return steps_of([*recipe.parameters.get("chain", ()), _described(recipe)])


def has_chain(recipe: Recipe) -> bool:
    return bool(recipe.parameters.get("chain"))


def chain_of(sources: Iterable[Path]) -> list[dict[str, Any]]:
    """The steps that the pictures in these files came about by; none for those that say nothing of it."""
    chain: dict[str, dict[str, Any]] = {}
    for source in sources:
        for step in _steps_to(source):
            chain.setdefault(step["id"], step)
    found = list(chain.values())
    short = len(found) < MAX_STEPS and len(json.dumps(found)) <= MAX_BYTES
    return found if short else []


def _steps_to(source: Path) -> list[dict[str, Any]]:
    try:
        found = read(source)
        if found is None or found.recipe is None:
            return []
        made = digest_of(normalised(source).picture)
        mask = read_mask(source)
    except (OSError, ValueError, PictureError):
        return []
    return [*found.recipe.parameters.get("chain", ()), described(found.recipe, made, mask)]


def described(recipe: Recipe, made: str, mask: Image | None) -> dict[str, Any]:
    """A picture's own step, as a later picture's recipe has it; `made` is the picture's digest."""
    own = _described(recipe) | {"id": made}
    if mask is not None:
        own["pictures"] = {digest_of(mask): base64.b64encode(_png(mask)).decode()}
    return own


def _described(recipe: Recipe) -> dict[str, Any]:
    own = {name: getattr(recipe, name) for name in ("prompt", "seed", "steps", "width", "height", "model")}
    further = {name: value for name, value in recipe.parameters.items() if name != "chain" and value is not None}
    return {"operation": "draw"} | own | further


def _png(picture: Image) -> bytes:
    import io

    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def with_chain(recipe: Recipe, chain: Sequence[Mapping[str, Any]]) -> Recipe:
    return replace(recipe, parameters={**recipe.parameters, "chain": list(chain)}) if chain else recipe


def as_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    made = []
    for step in steps:
        values = {item.name: getattr(step.request, item.name) for item in fields(cast(Any, step.request))}
        defaults = {item.name: item.default for item in fields(cast(Any, step.request))}
        own = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != defaults[name]
        }
        beside = {"id": step.id, "model": step.model}
        pictures = {name: base64.b64encode(data).decode() for name, data in (step.pictures or {}).items()}
        further = {"pictures": pictures} if pictures else {}
        told = {name: value for name, value in beside.items() if value is not None}
        made.append({"operation": operation_of(step.request)} | own | told | further)
    return made


def read_chain(path: Path) -> list[Step]:
    """The steps in a JSON file, or those that lead to a picture. BonsaiError; OSError."""
    with open_regular(path, follow_symlinks=True) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if data.lstrip()[:1] == b"{":
        found = parse_json_object(data)
        if found is None or found.keys() - {"name", "steps"}:
            raise BonsaiError(f"{path} is no pipeline: it has `steps` and may have a `name`, and nothing else")
        return steps_of(found.get("steps"))
    try:
        told = read(data)
    except ValueError:
        told = None
    if told is None or told.recipe is None:
        raise BonsaiError(f"{path} is neither a pipeline nor a picture with a recipe of this program")
    return worded(steps_of_recipe(told.recipe))


def worded(steps: Sequence[Step]) -> list[Step]:
    first = steps[0].request.prompt
    return [replace(step, request=_saying(step.request, first, PROMPT)) for step in steps]


def spoken(steps: Sequence[Step], prompt: str | None) -> list[Step]:
    """The steps with these words in their place. RequestError if there is a place and there are none."""
    if prompt is None and any(PROMPT in step.request.prompt for step in steps):
        raise RequestError("prompt", "is missing: this pipeline has a place for your words")
    return [replace(step, request=_saying(step.request, PROMPT, prompt or "")) for step in steps]


def _saying(request: Operation, old: str, new: str) -> Operation:
    return replace(request, prompt=request.prompt.replace(old, new)) if old else request


def seeded(steps: Sequence[Step], seed: int) -> list[Step]:
    return [replace(step, request=replace(step.request, seed=seed)) for step in steps]


class Pictures:
    """What a chain's steps have made and need, by digest; steps are known by their ids."""

    def __init__(self, given: Mapping[str, Image]) -> None:
        self.by_digest: dict[str, Image] = dict(given)
        self._made: dict[str, str] = {}

    def made(self, step: Step, picture: Image) -> str:
        """The digest of a step's picture, which later steps may name."""
        digest = digest_of(picture)
        self.by_digest[digest] = picture
        self._made |= {PREVIOUS: digest} | ({step.id: digest} if step.id else {})
        return digest

    def request(self, step: Step, place: int) -> Operation:
        """The step's request with the digests of its pictures. RequestError for one that is not there."""
        for digest, data in (step.pictures or {}).items():
            mask = mask_of(data)
            if digest_of(mask) == digest:
                self.by_digest[digest] = mask
        named = {name: self._found(name, place) for name in step.named}
        changes: dict[str, Any] = {
            field: named[value]
            for field in ("init", "mask", "source")
            if (value := getattr(step.request, field, None)) in named
        }
        if references := getattr(step.request, "references", ()):
            changes["references"] = tuple(named[name] for name in references)
        return replace(step.request, **changes)

    def _found(self, name: str, place: int) -> str:
        found = self._made.get(name, name)
        if found not in self.by_digest:
            lack = f"the picture {name[:16]} is neither an earlier step nor given; give its file with --input"
            raise RequestError(f"steps[{place}]", lack)
        return found


def missing(steps: Sequence[Step]) -> Iterator[str]:
    there = {PREVIOUS}
    for step in steps:
        there |= set(step.pictures or ())
        yield from (name for name in step.named if name not in there)
        there |= {step.id} if step.id else set()
