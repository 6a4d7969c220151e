"""The bodies and answers of pipelines. A step is a request with its operation; its own checks are those of chains."""

from typing import Annotated, Any, Self

import pydantic
from pydantic import Field, model_validator

from bonsai_mlx.pipelines.chains import MAX_STEPS, Write
from bonsai_mlx.pipelines.saved import MAX_NAME_CHARS
from bonsai_mlx.request import VERSION, Draw, Enlarge, Prompt, Seed

from ...parameters import Fields, Flag, ModelName, ShownAs, annotation, body_fields, schema_of
from ...schemas.names import Id, Way
from ...validation import Answer, refused

_PICTURES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string", "contentEncoding": "base64"}}
_BESIDE: dict[str, Any] = {
    "version": {"type": "integer", "const": VERSION},
    "id": {"type": "string", "description": "by which later steps name this one's picture, beside `previous`"},
    "model": {"type": "string"},
    "pictures": _PICTURES | {"description": "masks by digest, PNG in base64"},
}
_NAMES: dict[str, Any] = {"type": "string", "description": "an earlier step's id, `previous`, or a picture's id"}


def _step_schema(operation: str, kind: type[Any]) -> dict[str, Any]:
    made = schema_of(pydantic.create_model(kind.__name__, **body_fields(kind)))
    pictures = {name: _NAMES for name in ("init", "mask", "source", "morph") if name in made["properties"]}
    if "references" in made["properties"]:
        pictures["references"] = {"type": "array", "items": _NAMES}
    own = {"operation": {"type": "string", "const": operation}}
    properties = own | made["properties"] | pictures | _BESIDE
    return {"type": "object", "properties": properties, "required": ["operation", *made["required"]]}


def _steps_schema() -> dict[str, Any]:
    steps = [_step_schema("draw", Draw), _step_schema("enlarge", Enlarge), _step_schema("write", Write)]
    return {"type": "array", "minItems": 1, "maxItems": MAX_STEPS, "items": {"anyOf": steps}}


Steps = Annotated[list[Any], ShownAs(_steps_schema)]
PipelineName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"\S")]


class StepsFields(Fields):
    """A pipeline to keep."""

    steps: Steps
    name: PipelineName | None = Field(None, description="may be left out; else the one of the address")


class PipelineFields(Fields):
    """A pipeline as `bonsai-mlx run` reads it."""

    steps: Steps
    name: PipelineName | None = None


class RunFields(Fields):
    """A pipeline, and what it is carried out on."""

    pipeline: PipelineFields | None = None
    name: PipelineName | None = Field(None, description="of one that is kept, instead of a pipeline")
    prompt: annotation(Prompt) | None = Field(None, description="your words, where the steps say {prompt}")  # type: ignore[valid-type]
    seed: annotation(Seed) | None = Field(None, description="of every step, instead of its own")  # type: ignore[valid-type]
    model: ModelName | None = Field(None, description="of every step, instead of its own")
    force: Flag = False

    @model_validator(mode="after")
    def _one_pipeline(self) -> Self:
        if (self.pipeline is None) == (self.name is None):
            raise refused("Give a pipeline, or the name of one that is kept.", field="pipeline")
        return self


class FromImage(Fields):
    """A pipeline made of the steps that a picture came about by."""

    image: Id = Field(alias="from", description="a picture of the gallery")
    name: PipelineName


class PipelineListed(Answer):
    """A pipeline that is kept."""

    name: str
    operations: list[str] = Field(description="of its steps")
    ways: list[Way] = Field(description="what each step does, in more words")
    takes_prompt: bool = Field(description="whether it has a place for your words")
    bytes: int


class PipelineProblem(Answer):
    """A file in the folder that is no pipeline."""

    name: str
    problem: str


class PipelineList(Answer):
    pipelines: list[PipelineListed]
    problems: list[PipelineProblem]


class PipelineShown(PipelineListed):
    """A pipeline that is kept, with its steps, and the pictures that have to be there for it."""

    steps: Steps
    pictures: list[str] = Field(description="ids of pictures that the steps name and do not make")
