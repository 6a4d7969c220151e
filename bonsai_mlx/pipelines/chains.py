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
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, TypeAlias, cast

from ..bounds import bounds_by_name
from ..errors import RequestError
from ..images.recipe import Recipe
from ..request import VERSION, Draw, Enlarge, Operation, Prompt, Seed, operation_of, plain
from ..wording import fault_of

MAX_STEPS = 16
MAX_BYTES = 400_000  # of a chain in a recipe: readers of texts in pictures stop at a million
PREVIOUS, PROMPT = "previous", "{prompt}"
WRITE = "write"
_RESOLVED = {"enlarge": ("width", "height")}  # follow from the picture
_BESIDE = {"operation", "version", "id", "model", "pictures"}
_NAMES_PICTURES = ("init", "mask", "source", "morph")
_REMEDIES = {
    "prompt": f'write one, or "{PROMPT}" where the words of each run go',
    "source": f'name an earlier step by its id, or "{PREVIOUS}"',
}
_MOST_NAME_CHARS = 80
_ANY_PICTURE = "0" * 64


@dataclass(frozen=True, slots=True)
class Write:
    """Words made of words: in the steps that follow, the place for words is a place for what was written."""

    prompt: Prompt
    seed: Seed | None = None

    def validated(self) -> Write:
        bounds = bounds_by_name(cast(Any, type(self)))
        return replace(
            self, **{name: cast(Any, one.checked(name, getattr(self, name))) for name, one in bounds.items()}
        )

    @property
    def pictures(self) -> tuple[str, ...]:
        return ()


StepRequest: TypeAlias = Operation | Write
_KINDS: Mapping[str, type[StepRequest]] = {"draw": Draw, "enlarge": Enlarge, WRITE: Write}


@dataclass(frozen=True, slots=True)
class Step:
    """One of a chain; its request may name steps where it names pictures."""

    request: StepRequest
    id: str | None = None
    model: str | None = None
    pictures: Mapping[str, bytes] | None = None  # PNG files by digest

    @property
    def operation(self) -> str:
        return WRITE if isinstance(self.request, Write) else operation_of(self.request)

    @property
    def way(self) -> str:
        """What it does, for people: a drawing also redraws, repaints, extends or changes a picture."""
        request = self.request
        if not isinstance(request, Draw):
            return self.operation
        if request.init is None:
            return "change" if request.references else "draw"
        return "extend" if request.extend else "repaint" if request.mask else "redraw"

    @property
    def named(self) -> list[str]:
        return list(self.request.pictures)


def steps_of(values: object, field: str = "steps") -> list[Step]:
    """The steps of a list of JSON objects, every field in its bounds. RequestError names the one that is at fault."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= MAX_STEPS:
        raise RequestError(field, f"is no list of 1 to {MAX_STEPS} steps")
    steps: list[Step] = []
    for place, value in enumerate(values):
        step = _step(value, f"{field}[{place}]", steps)
        known = {one.id for one in steps}
        if step.id is not None and step.id in known:
            raise RequestError(f"{field}[{place}].id", f"{step.id[:80]!r} is the name of an earlier step")
        if PREVIOUS in step.named and all(one.operation == WRITE for one in steps):
            raise RequestError(f"{field}[{place}]", "the first step that draws has no previous one")
        steps.append(step)
    if steps[-1].operation == WRITE:
        raise RequestError(
            f"{field}[{len(steps) - 1}]", "writes, and nothing is drawn of it; end with a step that draws"
        )
    return steps


def _step(value: object, field: str, before: Sequence[Step]) -> Step:
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
    if own.get("method") == "refine" and not own.get("prompt"):
        own["prompt"] = _words_of(own.get("source"), before)
    for name in ("id", "model"):
        if not isinstance(value.get(name), str | None):
            raise RequestError(f"{field}.{name}", "is no text")
    needed = [item.name for item in fields(_KINDS[operation]) if item.default is item.default_factory is MISSING]
    if lacking := [name for name in needed if name not in own]:
        raise RequestError(f"{field}.{lacking[0]}", f"is missing; {_REMEDIES.get(lacking[0], 'give it')}")
    request = cast(Any, _KINDS[operation])(**own)
    _check(request, field)
    return Step(request, value.get("id"), value.get("model"), _pictures(value.get("pictures", {}), field))


def _words_of(name: object, steps: Sequence[Step]) -> str:
    """What is seen in the picture of an earlier step."""
    drawn = (step for step in reversed(steps) if step.operation != WRITE)
    return next((step.request.prompt for step in drawn if name in (PREVIOUS, step.id)), "")


def _check(request: StepRequest, field: str) -> None:
    """RequestError as for a request whose pictures are there."""
    references = getattr(request, "references", ())
    if not isinstance(references, tuple):
        raise RequestError(f"{field}.references", "is no list of names")
    named = {name: getattr(request, name, None) for name in _NAMES_PICTURES}
    for name, value in {**named, **{f"references[{i}]": one for i, one in enumerate(references)}}.items():
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= _MOST_NAME_CHARS):
            raise RequestError(f"{field}.{name}", "is no name of a step or a picture")
    try:
        named_anew = request if isinstance(request, Write) else _with_any_pictures(request)
        named_anew.validated()
    except RequestError as error:
        raise RequestError(f"{field}.{error.field}", error.message) from None


def _with_any_pictures(request: Operation) -> Operation:
    return with_pictures(request, dict.fromkeys(request.pictures, _ANY_PICTURE))


def with_pictures(request: Operation, named: Mapping[str, str]) -> Operation:
    own = {field: getattr(request, field, None) for field in _NAMES_PICTURES}
    changes: dict[str, Any] = {field: named[name] for field, name in own.items() if name is not None and name in named}
    if references := getattr(request, "references", ()):
        changes["references"] = tuple(named.get(name, name) for name in references)
    return replace(request, **changes)


def _pictures(values: object, field: str) -> dict[str, bytes]:
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise RequestError(f"{field}.pictures", "is no object of texts")
    try:
        return {str(name): base64.b64decode(value, validate=True) for name, value in values.items()}
    except (binascii.Error, ValueError):
        raise RequestError(f"{field}.pictures", "is no base64") from None


def merged(chains: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Steps of several pictures, each once; none at all where they are more than a recipe holds."""
    found: dict[str, dict[str, Any]] = {}
    for chain in chains:
        for step in chain:
            found.setdefault(str(step["id"]), dict(step))
    steps = list(found.values())
    return steps if len(steps) < MAX_STEPS and len(json.dumps(steps)) <= MAX_BYTES else []


def with_chain(recipe: Recipe, chain: Sequence[Mapping[str, Any]]) -> Recipe:
    return replace(recipe, parameters={**recipe.parameters, "chain": list(chain)}) if chain else recipe


def as_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    made = []
    for step in steps:
        values = {item.name: getattr(step.request, item.name) for item in fields(cast(Any, step.request))}
        defaults = {item.name: item.default for item in fields(cast(Any, step.request))}
        own = {
            name: list(plain(value)) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != defaults[name]
        }
        beside = {"id": step.id, "model": step.model}
        pictures = {name: base64.b64encode(data).decode() for name, data in (step.pictures or {}).items()}
        further = {"pictures": pictures} if pictures else {}
        told = {name: value for name, value in beside.items() if value is not None}
        made.append({"operation": step.operation} | own | told | further)
    return made


def steps_in(data: bytes) -> object:
    """`steps` of a pipeline's JSON, whatever they are. ValueError says what is wrong with a text that is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({fault_of(error)}); a pipeline is an object with `steps`") from None
    if not isinstance(found, dict):
        raise ValueError("is JSON, but a pipeline is an object with `steps`")
    if further := sorted(found.keys() - {"name", "steps"}):
        raise ValueError(f"has {further[0]!r}, which is unknown; a pipeline has `steps`, maybe a `name`, nothing else")
    return found.get("steps")


def document(name: str | None, steps: Sequence[Step]) -> bytes:
    values = ({"name": name} if name else {}) | {"steps": as_json(steps)}
    return f"{json.dumps(values, ensure_ascii=False, indent=1)}\n".encode()


def worded(steps: Sequence[Step]) -> list[Step]:
    """The steps with a place for other words wherever the first one's stand; styles are put around those anew."""
    steps = [replace(step, request=_typed(step.request)) for step in steps]
    first = steps[0].request.prompt
    return [replace(step, request=_saying(step.request, first, PROMPT)) for step in steps]


def _typed(request: StepRequest) -> StepRequest:
    if not isinstance(request, Draw) or request.typed is None:
        return request
    return replace(request, prompt=request.typed if request.styles else request.prompt, typed=None)


def has_place(steps: Sequence[Step]) -> bool:
    return any(PROMPT in step.request.prompt for step in steps)


def spoken(steps: Sequence[Step], prompt: str | None) -> list[Step]:
    """The steps with these words in their place; those behind one that writes wait for what it writes.

    RequestError if there is a place and there are no words, or the other way round.
    """
    if prompt is not None and not has_place(steps):
        lack = "is not used by this pipeline, whose words are its own; leave it out, or write"
        raise RequestError("prompt", f"{lack} {PROMPT} in the pipeline where it goes")
    return _spoken(steps, prompt)


def _spoken(steps: Sequence[Step], prompt: str | None) -> list[Step]:
    written = next((place for place, step in enumerate(steps) if step.operation == WRITE), len(steps) - 1)
    now, later = steps[: written + 1], steps[written + 1 :]
    if prompt is None and has_place(now):
        raise RequestError("prompt", "is missing: this pipeline has a place for your words")
    return [*(replace(step, request=_saying(step.request, PROMPT, prompt or "")) for step in now), *later]


def after_writing(steps: Sequence[Step], typed: str, written: str) -> list[Step]:
    """The steps behind one that has written, on its text; pictures know what it was made of."""
    steps = [replace(step, request=_known_as_written(step.request, typed)) for step in steps]
    return _spoken(steps, written)


def _known_as_written(request: StepRequest, typed: str) -> StepRequest:
    if not isinstance(request, Draw) or request.typed or request.styles or PROMPT not in request.prompt:
        return request  # styles note what they were put around themselves
    return replace(request, typed=typed)


def _saying(request: StepRequest, old: str, new: str) -> StepRequest:
    return replace(request, prompt=request.prompt.replace(old, new)) if old else request


def seeded(steps: Sequence[Step], seed: int) -> list[Step]:
    return [replace(step, request=replace(step.request, seed=seed)) for step in steps]


def missing(steps: Sequence[Step]) -> Iterator[str]:
    there = {PREVIOUS}
    for step in steps:
        there |= set(step.pictures or ())
        yield from (name for name in step.named if name not in there)
        there |= {step.id} if step.id else set()
