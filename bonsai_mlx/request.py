"""What goes into a generation and what comes out of it, as plain data.

A request is one of several operations: `Draw` and `Enlarge`. It is made once, where a caller's words are read, and
goes unchanged through the queue, its row in the index and the engine into the picture's recipe: a new parameter is a
field here, and is used where it matters. `Operation` may leave things open, `ResolvedOperation` leaves nothing open;
`Request` and `ResolvedRequest` are what a model draws.
Nothing here imports MLX: a web server validates requests and reads events without loading a tensor library.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Self, TypeAlias, cast

from .bounds import (
    YES_OR_NO,
    AdapterUse,
    Between,
    Choice,
    Lora,
    Part,
    PictureDigest,
    Several,
    Whole,
    Words,
    bounds_by_name,
)
from .errors import RequestError

VERSION = 1  # of the JSON form; goes up when a field changes its meaning
SIZE_MULTIPLE_PX = 16  # one token covers 16x16 pixels: 8 by the VAE, 2 by patching
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
MAX_STEPS = 100
MAX_SEED = 2**32 - 1
MAX_CANVAS_AREA = 40_000_000  # pixels of a picture that is changed, with what is added to it
MAX_REFERENCES = 4
EXTEND_STRENGTH = 0.9  # suits a picture that is extended: what is added keeps the lines of what it continues
MORPH_STRENGTH = 0.3  # lets bits of two pictures come to terms
REFINE_STRENGTH = 0.3  # redraws the finest strokes and keeps what is there
MAX_FEATHER_PX = 256
MAX_EXTEND_PX = 2048  # on each side
MAX_MARGIN_PX = 1024
MAX_STYLES = 8  # of one picture
MAX_STYLE_NAME_CHARS = 60
MAX_GUIDANCE = 30
MAX_LORAS = 8
ANYTHING = "anything"  # what a picture is called that was drawn without words
MAX_PROMPT_CHARS = 32_000  # far beyond the 512 tokens that are read, and enough for any client


Prompt = Annotated[str, Words(MAX_PROMPT_CHARS)]
Seed = Annotated[int, Whole(0, MAX_SEED)]
Steps = Annotated[int, Whole(1, MAX_STEPS)]
Side = Annotated[int, Whole(MIN_SIZE_PX, MAX_SIZE_PX, SIZE_MULTIPLE_PX)]
Digest = Annotated[str, PictureDigest()]
Digests = Annotated[tuple[str, ...], Several(PictureDigest(), 0, MAX_REFERENCES)]
ReferenceDetail = Annotated[int, Choice((256, 512, 768, 1024))]  # references have at most this squared, in pixels
Strength = Annotated[float, Part()]
Guidance = Annotated[float, Between(1, MAX_GUIDANCE)]
Temperature = Annotated[float, Between(0.3, 1.2)]
NegativePrompt = Annotated[
    str, Words(MAX_PROMPT_CHARS, empty=True, remedy="say what is to be avoided, or leave it out")
]
Amount = Annotated[float, Part(zero=True)]
StrengthRule = Annotated[str, Choice(("sigma", "steps"))]
MaskContent: TypeAlias = Annotated[str, Choice(("original", "surroundings"))]
Feather = Annotated[int, Whole(0, MAX_FEATHER_PX)]
Margin = Annotated[int, Whole(0, MAX_MARGIN_PX)]
Loras = Annotated[tuple[Lora, ...], Several(AdapterUse(), 0, MAX_LORAS)]
Flag = Annotated[bool, YES_OR_NO]
_STYLE_NAME = Words(MAX_STYLE_NAME_CHARS, remedy="give the name of a style")
StyleName = Annotated[str, _STYLE_NAME]
StyleNames = Annotated[tuple[str, ...], Several(_STYLE_NAME, 0, MAX_STYLES)]
Factor = Annotated[int, Choice((2, 4))]
EnlargeMethod = Annotated[str, Choice(("exact", "refine", "learned"))]
UpscalerName = Annotated[str, Words(200, remedy="name the file of an upscaler, or leave it out")]
AnyWords = Annotated[str, Words(MAX_PROMPT_CHARS, empty=True)]
AnySteps = Annotated[int, Whole(0, MAX_STEPS)]
AnySide = Annotated[int, Whole(1, MAX_CANVAS_AREA)]
Margins = Annotated[tuple[int, ...], Several(Whole(0, MAX_EXTEND_PX), 4, 4)]  # pixels: left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Draw:
    """A picture from words and, if any are given, from pictures, which are named by digest.

    `None` stands for the checkpoint's own recommendation, for a seed, for a random one, and with pictures, for what
    suits them. Pictures are independent of each other: a mask goes with references, an extension with a reference.
    """

    prompt: Prompt
    seed: Seed | None = None
    steps: Steps | None = None
    width: Side | None = None  # pixels that are drawn; a picture that is kept in part may be larger
    height: Side | None = None
    guidance: Guidance | None = None  # how much the prompt counts, of a model that is not distilled; 1: one pass a step
    negative_prompt: NegativePrompt = ""  # what guidance leads away from
    variation_amount: Amount = 0.0  # how far from the seed's noise to that of `variation_seed`, on the sphere
    variation_seed: Seed | None = None
    references: Digests = ()  # pictures that the model looks at while it draws
    reference_detail: ReferenceDetail | None = None
    init: Digest | None = None  # the picture that is changed: redrawn, repainted in the mask, or extended
    strength: Strength = 1.0  # how much of it is noise at the start
    strength_rule: StrengthRule = "sigma"  # or "steps", diffusers' own; see flux2.scheduler.from_strength
    mask: Digest | None = None  # white is repainted
    mask_content: MaskContent = "original"  # what the masked place starts from; or what lies around it
    feather_px: Feather = 16  # in which the repainted part fades into what is kept
    restore_unmasked: Flag = True  # put the picture's own pixels back where nothing was to change
    source_as_reference: Flag | None = None  # `init` is a reference too
    only_masked: Flag | None = None  # draw the mask's surroundings alone, enlarged, and put them back
    margin_px: Margin | None = None  # of those surroundings; a quarter of the mask's longer side, 32 at least
    extend: Margins | None = None
    morph: Digest | None = None  # another picture, of whose bits some replace those of `init` before it is redrawn
    morph_weight: Amount = 0.5  # how many
    styles: StyleNames = ()  # see pipelines.styles; they are in the prompt already where `typed` is given
    typed: Prompt | None = None  # the prompt before styles, or the writer, made this one of it
    loras: Loras = ()  # adapters by name, each with a strength; see `adapters`
    temperature: Temperature | None = None  # of a model that draws in bits: the lower, the surer of what is likely
    unconditional: Flag = False  # of such a model: whatever comes; the prompt is no more than the picture's name

    def resolved(self, *, steps: int, size: tuple[int, int], guidance: float = 1.0, bits: bool = False) -> ResolvedDraw:
        """The request with nothing left open, or RequestError for the first field that is out of bounds.

        `steps`, `size`, (width, height) in pixels, and `guidance` are the checkpoint's recommendations. A guidance of 1
        is that of a distilled model, which takes no other and no negative prompt. `bits` says that it draws in bits.
        """
        if guidance == 1:
            self._check_unguided()
        if bits:
            self._check_coins()
        else:
            self.check_numbers()
        recommended = {"seed": random_seed(), "steps": steps, "width": size[0], "height": size[1], "guidance": guidance}
        recommended |= {"temperature": 1.0} if bits else {}
        if self.variation_amount:
            recommended["variation_seed"] = random_seed()
        values: dict[str, Any] = {
            name: recommended.get(name, value) if value is None else value for name, value in parameters(self).items()
        }
        return ResolvedDraw(**values).validated()

    def _check_unguided(self) -> None:
        if self.guidance not in (None, 1):
            raise RequestError("guidance", "the model is distilled and has no guidance to set; leave it out")
        if self.negative_prompt.strip():
            message = "the model is distilled and follows no negative prompt; leave it out, and say what is to be seen"
            raise RequestError("negative_prompt", message)

    def check_numbers(self) -> None:
        """RequestError for what only a model that draws in bits can do."""
        for name in ("temperature", "unconditional", "morph"):
            if getattr(self, name):
                raise RequestError(name, "is for models that draw in bits, and this one does not; leave it out")

    def _check_coins(self) -> None:
        """RequestError for what a model that draws in bits cannot do."""
        if self.references or self.source_as_reference:
            name = "references" if self.references else "source_as_reference"
            raise RequestError(name, "this model looks at no pictures; give one to change as the init picture")
        if self.variation_amount:
            message = "this model draws from coins, which have nothing between them; change a picture by its strength"
            raise RequestError("variation_amount", message)

    @property
    def words(self) -> str:
        """What the model reads."""
        return "" if self.unconditional else self.prompt

    def validated(self) -> Self:
        """The request with numbers as Python's own, or RequestError for the first field that is out of bounds."""
        checked: dict[str, Any] = {
            name: bounds.checked(name, getattr(self, name))
            for name, bounds in bounds_by_name(cast(Any, type(self))).items()
        }
        for name in ("mask", "extend", "morph"):
            if checked[name] is not None and checked["init"] is None:
                raise RequestError(name, "belongs to a picture that is changed; give that as the init picture")
        if checked["morph"] is not None and (checked["mask"] or checked["extend"]):
            raise RequestError("morph", "is of whole pictures; leave the mask and what is to be added out")
        _check_once(checked["loras"])
        if checked["extend"] is not None and not any(checked["extend"]):
            checked["extend"] = None
        if checked["guidance"] == 1 and checked["negative_prompt"].strip():
            raise RequestError(
                "negative_prompt", "changes nothing at a guidance of 1; give more guidance, or leave it out"
            )
        if not checked["variation_amount"]:
            checked["variation_seed"] = None
        return replace(self, **checked)

    @property
    def pictures(self) -> tuple[str, ...]:
        named = (*self.references, self.init, self.mask, self.morph)
        return tuple(dict.fromkeys(digest for digest in named if digest is not None))


@dataclass(frozen=True, slots=True)
class ResolvedDraw(Draw):
    """A picture with nothing left open: the same one on the same machine, every time."""

    seed: Seed
    steps: Steps
    width: Side
    height: Side
    guidance: Guidance = 1.0


@dataclass(frozen=True, slots=True)
class Enlarge:
    """A picture with two or four times the sides: by Lanczos alone, redrawn on top of that, or by an upscaler's file.

    What is redrawn needs words; they are those that the picture was drawn from, unless others are given.
    """

    source: Digest
    by: Factor = 2
    method: EnlargeMethod = "exact"
    upscaler: UpscalerName | None = None  # the name of its file; with "refine" it enlarges what is then redrawn
    prompt: AnyWords = ""
    seed: Seed | None = None
    steps: Steps | None = None
    strength: Strength = REFINE_STRENGTH
    loras: Loras = ()  # adapters, of what is redrawn

    def resolved(self, *, size: tuple[int, int], steps: int) -> ResolvedEnlarge:
        """The request with nothing left open. RequestError.

        `size` is that of the picture, (width, height) in pixels; `steps` the checkpoint's recommendation.
        """
        values: dict[str, Any] = parameters(self)
        redraws = self.method == "refine"
        values["seed"] = (random_seed() if redraws else 0) if self.seed is None else self.seed
        values["steps"] = (steps if self.steps is None else self.steps) if redraws else 0
        values |= {"width": size[0] * self.by, "height": size[1] * self.by}
        return ResolvedEnlarge(**values).validated()

    def validated(self) -> Self:
        checked: dict[str, Any] = {
            name: bounds.checked(name, getattr(self, name))
            for name, bounds in bounds_by_name(cast(Any, type(self))).items()
        }
        if checked["method"] == "learned" and checked["upscaler"] is None:
            raise RequestError("upscaler", "is missing; name the file of an upscaler")
        if checked["method"] == "exact" and checked["upscaler"] is not None:
            raise RequestError("upscaler", "is not used by the exact method; choose learned or refine")
        if checked["method"] == "refine" and not checked["prompt"].strip():
            raise RequestError("prompt", "is empty; say what is to be seen, in a few words")
        _check_once(checked["loras"])
        return replace(self, **checked)

    @property
    def pictures(self) -> tuple[str, ...]:
        return (self.source,)


def _check_once(loras: Sequence[Lora]) -> None:
    names = [one.name.casefold() for one in loras]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError("loras", f"{twice} is named twice; name it once, with one strength")


@dataclass(frozen=True, slots=True)
class ResolvedEnlarge(Enlarge):
    """An enlarged picture with nothing left open."""

    seed: Seed = 0
    steps: AnySteps = 0
    width: AnySide = 0
    height: AnySide = 0

    def validated(self) -> Self:
        """See Draw; RequestError also for too large a picture."""
        if self.width * self.height > MAX_CANVAS_AREA:
            limit = MAX_CANVAS_AREA // 1_000_000
            raise RequestError("by", f"makes {self.width}x{self.height} pixels; at most {limit} million are possible")
        return Enlarge.validated(self)


Request: TypeAlias = Draw
ResolvedRequest: TypeAlias = ResolvedDraw
Operation: TypeAlias = Draw | Enlarge
ResolvedOperation: TypeAlias = ResolvedDraw | ResolvedEnlarge
GenerationRequest = Draw  # the name under which a Python program makes one
_OF_VARIATIONS = ("variation_amount", "variation_seed")
_OF_PICTURES = (
    "references",
    "reference_detail",
    "init",
    "strength",
    "strength_rule",
    "mask",
    "mask_content",
    "feather_px",
    "restore_unmasked",
    "source_as_reference",
    "only_masked",
    "margin_px",
    "extend",
    "morph",
    "morph_weight",
)
_IF_ANY = ("styles", "typed", "negative_prompt", "loras", "temperature", "unconditional")
OPERATIONS: Mapping[str, type[ResolvedOperation]] = {"draw": ResolvedDraw, "enlarge": ResolvedEnlarge}


def operation_of(request: Operation) -> str:
    return "enlarge" if isinstance(request, Enlarge) else "draw"


def as_json(request: ResolvedOperation) -> dict[str, Any]:
    """The request as a JSON object that names its operation and the version of this form.

    What says how pictures are used is left out where none goes in, and what says of variations where it is none; so
    is how the prompt was made where it was typed, and adapters where there are none.
    """
    return {"operation": operation_of(request), "version": VERSION, **chosen(request)}


def chosen(request: Operation) -> dict[str, Any]:
    """The request's fields without those that say nothing about it; tuples are lists, as in JSON."""
    idle: tuple[str, ...]
    if isinstance(request, Enlarge):
        idle = () if request.method == "refine" else ("strength",)
        idle = idle if request.loras else (*idle, "loras")
        idle = idle if request.upscaler else (*idle, "upscaler")
    else:
        idle = _idle_of_drawing(request)
    values = {name: plain(value) for name, value in parameters(request).items() if name not in idle}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


_PARTLY = ("mask_content", "feather_px", "restore_unmasked", "only_masked", "margin_px")
_CHANGED = ("strength", "strength_rule", "source_as_reference", *_PARTLY)
_REDRAWN = ("prompt", "seed", "steps", "strength", "loras")


def refuse_idle(request: Operation) -> None:
    """RequestError for the first field that was set and changes nothing, since something else is missing.

    For what a person or a program has written; a recipe may hold such fields.
    """
    rules: tuple[tuple[tuple[str, ...], bool, str], ...]
    if isinstance(request, Enlarge):
        rules = ((_REDRAWN, request.method == "refine", "is about what is redrawn; choose the method refine too"),)
    else:
        partly = request.mask is not None or request.extend is not None
        rules = (
            (("variation_seed",), bool(request.variation_amount), "belongs to a variation; give variation_amount too"),
            (("reference_detail",), bool(request.references or request.init), "is about references; give one"),
            (_CHANGED, request.init is not None, "is about a picture that is changed; give that as init"),
            (("styles",), not request.unconditional, "is about a prompt, and none is read; leave unconditional out"),
            (("morph_weight",), request.morph is not None, "is about a picture to morph into; give morph too"),
            (_PARTLY, partly or request.init is None, "is about what is repainted; give a mask, or extend"),
        )
    defaults = {item.name: item.default for item in fields(request)}
    for names, used, remedy in rules:
        for name in names:
            value = getattr(request, name)
            if not used and (tuple(value) if isinstance(value, list) else value) != defaults[name]:
                raise RequestError(name, f"{remedy}, or leave it out")


def plain(value: Any) -> Any:
    if isinstance(value, Lora):
        return {name: one for name, one in asdict(value).items() if one is not None}
    return tuple(plain(one) for one in value) if isinstance(value, tuple) else value


def _idle_of_drawing(request: Draw) -> tuple[str, ...]:
    idle = [*(() if request.pictures else _OF_PICTURES), *(() if request.variation_amount else _OF_VARIATIONS)]
    idle += [] if request.morph else ["morph", "morph_weight"]
    idle += ["guidance"] if request.guidance in (None, 1) else []
    return (*idle, *(name for name in _IF_ANY if not getattr(request, name)))


def parameters(request: Operation) -> dict[str, Any]:
    return {item.name: getattr(request, item.name) for item in fields(request)}


def from_json(values: Mapping[str, Any]) -> ResolvedOperation:
    """The request that `as_json` wrote. RequestError for one of a later version, or out of bounds.

    Fields that an earlier version did not have get their defaults.
    """
    version, operation = values.get("version"), values.get("operation")
    if not isinstance(version, int) or version > VERSION:
        raise RequestError("version", f"{version!r} is not known to this version of the program; update it")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise RequestError("operation", f"{operation!r} is not known; known are {', '.join(OPERATIONS)}")
    kind = OPERATIONS[operation]
    known = {item.name for item in fields(kind)}
    if unknown := sorted(values.keys() - known - {"operation", "version"}):
        raise RequestError(unknown[0], "is no field of this operation")
    try:
        made = kind(**{name: value for name, value in values.items() if name in known})
    except TypeError as error:  # Python's message names what is missing
        raise RequestError("request", f"is incomplete ({error})") from error
    return made.validated()


def opened(request: ResolvedOperation) -> Operation:
    """The same request as one that may leave things open, for something in it to be changed."""
    kind = Enlarge if isinstance(request, Enlarge) else Draw
    values = parameters(request)
    values["steps"] = values["steps"] or None  # nothing was redrawn
    return kind(**{item.name: values[item.name] for item in fields(kind)})


def random_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def batch(request: ResolvedOperation, count: int) -> Iterator[ResolvedOperation]:
    """The same picture with `count` consecutive seeds, variations with consecutive variation seeds."""
    if isinstance(request, ResolvedDraw) and request.variation_seed is not None:
        return (replace(request, variation_seed=seed) for seed in consecutive_seeds(request.variation_seed, count))
    return (replace(request, seed=seed) for seed in consecutive_seeds(request.seed, count))


def consecutive_seeds(first: int, count: int) -> Iterator[int]:
    """`count` seeds from `first` on; after the largest comes 0."""
    return ((first + offset) % (MAX_SEED + 1) for offset in range(count))
