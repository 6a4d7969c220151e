"""A request as parts of the interface: its parameters as fields of a body, and the whole of it as a value of a field.

Both are made from the fields of `bonsai_mlx.request` and their bounds: a parameter that is added there, with a default,
is in every body, in the document, and in what is told of a job.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from dataclasses import Field as DataclassField
from typing import Annotated, Any, Literal, Self, get_type_hints

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    create_model,
    model_validator,
)
from pydantic.config import JsonDict

from bonsai_mlx.bounds import (
    AdapterUse,
    Between,
    Choice,
    Lora,
    Maybe,
    Part,
    PictureDigest,
    Several,
    Whole,
    Words,
    bounds_of,
)
from bonsai_mlx.errors import RequestError
from bonsai_mlx.hub.published import CATALOG
from bonsai_mlx.pipelines.styles import Style
from bonsai_mlx.request import (
    ANYTHING,
    OPERATIONS,
    VERSION,
    Draw,
    Enlarge,
    ResolvedOperation,
    as_json,
    from_json,
)

from .settings import Settings
from .validation import refused, unknown_field


def whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class LoraFields(BaseModel):
    """An adapter by its name in the folder."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, pattern=r"\S")
    strength: float = Field(1.0, strict=True, ge=-10, le=10)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the file, if it must be this one")

    def lora(self) -> Lora:
        return Lora(self.name, self.strength, self.sha256)


def annotation(hint: Any) -> Any:
    """The type of a body's field for the annotation of a request's: strict, in its bounds, null where it may be."""
    match bounds_of(hint):
        case Whole(low, high, multiple_of):
            multiple = multiple_of if multiple_of > 1 else None
            # strict: `true` is not a step count, and `"7"` is not a seed
            bounds = pydantic.Field(strict=True, ge=low, le=high, multiple_of=multiple)
            return Annotated[int, bounds, BeforeValidator(whole)]
        case Between(least, most):
            return Annotated[float, pydantic.Field(strict=True, ge=least, le=most)]
        case Words(max_chars, empty=True):
            return Annotated[str, pydantic.Field(max_length=max_chars)]
        case Words(max_chars):
            return Annotated[str, pydantic.Field(min_length=1, max_length=max_chars, pattern=r"\S")]
        case Part(zero):
            part = pydantic.Field(strict=True, ge=0, le=1) if zero else pydantic.Field(strict=True, gt=0, le=1)
            return Annotated[float, part]
        case Choice(values):
            return Literal[values]
        case AdapterUse():
            return Annotated[LoraFields, AfterValidator(LoraFields.lora)]
        case PictureDigest():
            return Annotated[str, pydantic.Field(pattern="^[0-9a-f]{32,64}$")]
        case Several(kind, least, most):
            entries: Any = list.__class_getitem__(annotation(Annotated[object, kind]))
            return Annotated[entries, pydantic.Field(min_length=least, max_length=most)]
        case Maybe(inner):
            return annotation(Annotated[object, inner]) | None
        case None:
            return hint


def body_fields(kind: type[Any]) -> dict[str, Any]:
    """For pydantic's `create_model`: name -> type and default of each parameter of an operation."""
    hints = get_type_hints(kind, include_extras=True)
    return {item.name: (annotation(hints[item.name]), _default(item)) for item in fields(kind)}


def _default(item: DataclassField[Any]) -> Any:
    return ... if item.default is MISSING else item.default


def draw_of(body: object) -> Draw:
    """The request that a body with `body_fields(Draw)` makes; what it leaves out stays open."""
    return Draw(**{item.name: getattr(body, item.name) for item in fields(Draw)})


def _read(value: object) -> ResolvedOperation:
    if isinstance(value, ResolvedOperation):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a request is an object")
    try:
        return from_json(value)
    except RequestError as error:
        raise ValueError(str(error)) from None


def _schema() -> dict[str, Any]:
    described = "what is made, with nothing left open; it can be asked for again as it is"
    return {"anyOf": [_schema_of(name, kind) for name, kind in OPERATIONS.items()], "description": described}


def schema_of(shape: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references: the document has no place for what only one schema uses."""
    schema = shape.model_json_schema()
    inner = schema.pop("$defs", {})
    found: dict[str, Any] = _inlined(schema, inner)
    return found


def _inlined(schema: Any, inner: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, inner) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(inner[schema["$ref"].rsplit("/", 1)[-1]], inner)
    return {name: _inlined(part, inner) for name, part in schema.items()}


def _schema_of(operation: str, kind: type[ResolvedOperation]) -> dict[str, Any]:
    made = schema_of(pydantic.create_model(kind.__name__, **body_fields(kind)))
    named = {
        "operation": {"type": "string", "const": operation},
        "version": {"type": "integer", "const": VERSION},
    }
    return {"type": "object", "properties": named | made["properties"], "required": [*named, *made["required"]]}


class ShownAs:
    """Annotates a field with the schema that `make` returns, which is made when the document is: a start needs none."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        return self._make()


# Typed in the program, and in JSON as `as_json` writes it.
RequestValue = Annotated[ResolvedOperation, PlainValidator(_read), PlainSerializer(as_json), ShownAs(_schema)]


# The bodies of requests for pictures.

PROMPT_TOKENS = 512  # of the published models
MAX_BATCH: int = Settings.model_fields["max_batch"].default
# strict: 1 is not `true`
Flag = Annotated[bool, Field(strict=True)]
# The schema names what is known; matching is kinder (any case, the demo's Linux names) and unknown ones are explained.
KNOWN_MODELS: list[str] = [name for entry in CATALOG for name in entry.names]
Tokens = Annotated[int, Field(strict=True, ge=1, le=4_096), BeforeValidator(whole)]
ModelName = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"enum": [*KNOWN_MODELS]})]


class Fields(BaseModel):
    """The body of a request, which may say nothing else: an unknown field is most likely a misspelt one."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: object) -> object:
        known = [one.alias or name for name, one in cls.model_fields.items()]
        for name in values if isinstance(values, dict) else ():
            if name not in known:
                raise unknown_field(str(name), known)
        return values


_DrawFields: Any = create_model("_DrawFields", __base__=Fields, **body_fields(Draw))


class PictureFields(_DrawFields):  # type: ignore[misc]  # the fields of a `Draw`, whatever they are
    """What every request for pictures may say; what is left out is the checkpoint's recommendation."""

    force: Flag = Field(False, description="Try even if the memory plan says that the picture cannot fit.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        """A picture that is drawn without words needs none; it has a name all the same."""
        if isinstance(values, dict) and values.get("unconditional") is True and not values.get("prompt"):
            return values | {"prompt": ANYTHING}
        return values

    def draw(self) -> Draw:
        return draw_of(self)


class _DemoFields(PictureFields):
    """With the fields of the Bonsai demo, as far as they ask for what is done here anyway."""

    guidance: float | None = Field(None, strict=True, ge=0, le=100, allow_inf_nan=False)
    tiled_vae: Flag | None = None
    max_sequence_length: Tokens | None = None

    @model_validator(mode="after")
    def _as_it_is_done(self) -> Self:
        if self.tiled_vae is False:
            message = "Pictures are always decoded in strips, which leave no trace in them."
            raise refused(message, field="tiled_vae", remedy="Leave tiled_vae out.")
        if self.max_sequence_length not in (None, PROMPT_TOKENS):
            message = f"Prompts are read up to {PROMPT_TOKENS} tokens."
            raise refused(message, field="max_sequence_length", remedy="Leave max_sequence_length out.")
        return self


class GenerateRequest(_DemoFields):
    """`backend` is the Bonsai demo's name of `model`. What a model does not use is an error."""

    model: ModelName | None = None
    backend: ModelName | None = None


_EnlargeFields: Any = create_model("_EnlargeFields", __base__=Fields, **body_fields(Enlarge))


class EnlargeRequest(_EnlargeFields):  # type: ignore[misc]  # the fields of an `Enlarge`, whatever they are
    """A picture to be made larger; `source` is an id of the gallery or of `POST /inputs`."""

    model: ModelName | None = None
    force: Flag = Field(False, description="Try even if the memory plan says that the picture cannot fit.")

    def enlarge(self) -> Enlarge:
        return Enlarge(**{item.name: getattr(self, item.name) for item in fields(Enlarge)})


class CompareRequest(_DemoFields):
    """The same picture with two checkpoints."""

    backends: list[ModelName] | None = Field(None, min_length=2, max_length=2)


AxisName = Literal["seed", "steps", "model", "strength", "style", "lora", "variation_amount", "variation_seed"]


class AxisFields(Fields):
    """One list of values."""

    name: AxisName
    values: Annotated[list[int | float | str], Field(min_length=1, max_length=1_000)]


class GridRequest(PictureFields):
    """A picture over lists of values, and over the alternatives in its prompt, `a {red|blue} house`."""

    model: ModelName | None = None
    axes: list[AxisFields] = Field([], max_length=6)


_StyleFields: Any = create_model("_StyleFields", __base__=Fields, **body_fields(Style))


class StyleFields(_StyleFields):  # type: ignore[misc]  # the fields of a `Style`, whatever they are
    """A style to keep. `{prompt}` in its text is where the prompt goes."""


_COUNTED_COMPARISON: JsonDict = {
    "required": ["compare", "count"],
    "properties": {"compare": {"const": True}, "count": {"minimum": 2}},
}


class PromptRequest(PictureFields):
    """The request whose prompt is measured."""

    model: ModelName | None = None


class JobRequest(PictureFields):
    """One to eight pictures with consecutive seeds, or one seed with both models of a comparison."""

    model_config = ConfigDict(json_schema_extra={"not": _COUNTED_COMPARISON})

    model: ModelName | None = None
    count: Annotated[int, Field(strict=True, ge=1, le=MAX_BATCH), BeforeValidator(whole)] = 1
    compare: Flag = False

    @model_validator(mode="after")
    def _compare_is_one_pair(self) -> Self:
        if self.compare and self.count != 1:
            raise refused("A comparison is one pair; leave count out.", field="count")
        return self
