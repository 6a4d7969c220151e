"""A second family of models, registered from outside, draws through the same pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bonsai_mlx import Pipeline, families
from bonsai_mlx.adapters.file import AdapterError, AdapterFile
from bonsai_mlx.adapters.fitting import FittedAdapter
from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.model import Adapters, Description, Pictures
from bonsai_mlx.request import Request, ResolvedRequest
from bonsai_mlx.result import Event, GenerationResult
from bonsai_mlx.runtime.memory import RunMemory


@dataclass(frozen=True)
class ConstantPlan:
    peak_bytes: int = 1 << 20
    resident_bytes: int = 0
    phases: Mapping[str, int] = ()  # type: ignore[assignment]


class Colours:
    """A model whose pictures have one colour, which the seed decides."""

    embeddings: Any = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded = False

    def describe(self) -> Description:
        return Description("colours", "8-bit", 1, (64, 64))

    def sampler(self, request: ResolvedRequest) -> Mapping[str, Any]:
        return {"scheduler": "Constant"}

    def resolve(self, request: Request) -> ResolvedRequest:
        return request.resolved(steps=1, size=(64, 64))

    def plan(self, request: ResolvedRequest, limit_bytes: int | None, **options: Any) -> ConstantPlan:
        return ConstantPlan()

    def fit(self, adapter: AdapterFile) -> FittedAdapter:
        raise AdapterError("colours take no adapters")

    def prepare(self, plan: ConstantPlan) -> int:
        return 0

    def run(
        self,
        request: ResolvedRequest,
        plan: ConstantPlan,
        memory: RunMemory,
        *,
        pictures: Pictures | None = None,
        adapters: Adapters = (),
        latents: Any = None,
        preview: bool = False,
    ) -> Generator[Event, None, None]:
        self.loaded = True
        memory.phase("denoise")
        yield Event("denoise", 1, 1, 0.0)
        image = Image.new("RGB", (request.width, request.height), (request.seed % 256, 0, 0))
        yield Event("done", 1, 1, 0.0, result=GenerationResult(image, request, memory=memory.summary()))

    def unload(self) -> None:
        self.loaded = False


@pytest.fixture
def colours(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint folder of a family that the program does not know by itself."""
    family = families.Family(
        "colours", lambda index: index.get("_class_name") == "Colours", lambda folder, **_: Colours(folder)
    )
    families.register(family)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Colours"}))
    yield tmp_path
    families.FAMILIES.remove(family)


def test_a_registered_family_draws(colours: Path) -> None:
    pipe = Pipeline.from_pretrained(colours)
    assert pipe.model.describe().family == "colours"
    result = pipe.generate("anything", seed=200)
    assert (result.image.size, result.image.getpixel((5, 5))) == ((64, 64), (200, 0, 0))
    recipe = pipe.recipe(result)
    assert (recipe.variant, recipe.scheduler, recipe.shift, recipe.model) == ("8-bit", "Constant", None, colours.name)
    pipe.unload()
    assert not pipe.model.loaded  # type: ignore[attr-defined]


def test_the_others_are_opened_as_before(colours: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    assert Pipeline.from_pretrained(tiny_checkpoint()).model.describe().family == "flux2"


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"_class_name": "Sculptor"}', None])
def test_what_no_family_recognises_is_an_error_that_names_the_file(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        families.open_model(tmp_path)
