"""The pipeline as its users see it: the same seed, the same picture; events in order; memory given back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.errors import CheckpointError, OutOfMemory, RequestError
from bonsai_mlx.flux2 import text_encoder
from bonsai_mlx.flux2.plan import CACHED_CONTEXTS
from bonsai_mlx.flux2.text_encoder import EmbeddingCache
from bonsai_mlx.hub.catalog import lookup
from bonsai_mlx.images.recipe import timestamp
from tests.pipeline.conftest import SMALL, active, pixels

pytestmark = pytest.mark.slow


def test_the_same_seed_gives_the_same_bits(seedling: Path) -> None:
    pipe = Pipeline.from_pretrained(seedling)
    first = pixels(pipe)
    assert first.shape == (80, 64, 3)
    assert np.ptp(first) > 50
    assert np.array_equal(first, pixels(pipe))
    assert np.array_equal(first, pixels(Pipeline.from_pretrained(seedling)))


def test_everything_that_is_asked_for_matters(tiny: Pipeline) -> None:
    first = pixels(tiny)
    for changes in ({"seed": 8}, {"steps": 3}, {"prompt": "a blue fish"}):
        assert not np.array_equal(first, pixels(tiny, **changes))


TOLD = {"a red circle": (214, 40, 40), "a blue square": (40, 90, 210)}


@pytest.mark.parametrize(("variant", "prompts"), [("ternary", [*TOLD]), ("binary", [*TOLD][1:])])
def test_it_draws_what_it_is_told(seedling: Path, prompts: list[str]) -> None:
    pipe = Pipeline.from_pretrained(seedling)
    for prompt in prompts:
        image = np.asarray(pipe.generate(prompt, seed=1).image, dtype=float)
        width, height = pipe.model.checkpoint.recommended_size
        assert image.shape == (height, width, 3)
        middle = image[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
        assert np.abs(middle - TOLD[prompt]).mean() < 40


def test_noise_is_that_of_the_published_studio(tiny: Pipeline) -> None:
    request = GenerationRequest("a fox", **SMALL)
    channels = tiny.model.checkpoint.transformer.in_channels
    noise = mx.random.normal((1, channels, 5, 4), key=mx.random.key(7)).astype(mx.bfloat16).astype(mx.float32)
    assert mx.array_equal(tiny.model._noise(request), noise)


def test_a_variation_is_near_its_picture_and_the_nearer_the_less(tiny: Pipeline) -> None:
    first = pixels(tiny).astype(float)

    def distance(amount: float) -> float:
        return float(np.abs(pixels(tiny, variation_amount=amount, variation_seed=8) - first).mean())

    assert np.array_equal(pixels(tiny, variation_amount=0), first)
    assert 0 < distance(0.1) < distance(0.4) < distance(1)
    assert np.array_equal(pixels(tiny, variation_amount=1, variation_seed=8), pixels(tiny, seed=8))


def test_latents_can_be_given(tiny: Pipeline) -> None:
    noise = tiny.model._noise(GenerationRequest("a fox", **SMALL))
    seeded = pixels(tiny)
    assert np.array_equal(seeded, pixels(tiny, seed=99, latents=np.array(noise)))
    assert np.array_equal(seeded, pixels(tiny, seed=99, latents=noise))
    assert not np.array_equal(seeded, pixels(tiny, latents=np.zeros(noise.shape)))


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (np.zeros((1, 32, 4, 5)), "needs (1, 32, 5, 4)"),
        (np.zeros((32, 5, 4)), "needs (1, 32, 5, 4)"),
        (np.full((1, 32, 5, 4), np.nan), "not finite"),
        ("noise", "no array of numbers"),
        ([[1, 2], [3]], "no array of numbers"),
    ],
)
def test_wrong_latents_are_refused(tiny: Pipeline, latents: Any, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate("a fox", **SMALL, latents=latents)
    assert caught.value.field == "latents"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"references": "photo.png"}, "references", "'photo.png' is no list; give one"),
        ({"references": Image.new("RGB", (64, 64))}, "references", "is no list; give one"),
        ({"references": [np.zeros((64, 64, 3))]}, "references[0]", "it is a ndarray; give Pillow's Image, a path"),
        ({"loras": "ink"}, "loras", "'ink' is no list"),
        ({"loras": 7}, "loras", "7 is no list"),
        ({"styles": "ink wash"}, "styles", "'ink wash' is no list"),
        ({"extend": 16, "init_image": Image.new("RGB", (64, 64))}, "extend", "16 is no list"),
        ({"extend": (0, 0, 0, 0), "init_image": Image.new("RGB", (64, 64))}, "extend", "adds nothing; give pixels on"),
        ({"reference_detail": 256, "init_image": Image.new("RGB", (64, 64))}, "reference_detail", "give one"),
    ],
)
def test_what_is_no_list_or_changes_nothing_is_refused_by_name(
    tiny: Pipeline, given: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate("a fox", **{"seed": 7, "steps": 1} | given)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_no_list_is_an_empty_one(tiny: Pipeline) -> None:
    none: dict[str, Any] = {"references": None, "loras": None, "styles": None}
    assert np.array_equal(pixels(tiny, **none), pixels(tiny))


def test_events_come_in_order_with_the_right_counts(tiny: Pipeline) -> None:
    events = list(tiny.run(GenerationRequest("a fox", **SMALL)))
    order = [event.phase for event in events]
    assert list(dict.fromkeys(order)) == ["load", "encode", "denoise", "decode", "done"]
    steps: dict[str, list[tuple[int, int]]] = {}
    for event in events:
        steps.setdefault(event.phase, []).append((event.step, event.steps))
    assert steps["load"] == [(0, 1), (1, 1)]
    read = tiny.model.checkpoint.prompt_layers[-1]
    assert steps["encode"] == [(done, read) for done in range(1, read + 1)]
    assert steps["denoise"] == [(0, 2), (1, 2), (2, 2)]
    total = len(steps["decode"])
    assert steps["decode"] == [(done, total) for done in range(1, total + 1)]
    assert steps["done"] == [(1, 1)]
    times = [event.elapsed_s for event in events]
    assert times == sorted(times)
    assert [event.result is not None for event in events] == [False] * (len(events) - 1) + [True]
    assert all(event.preview is None for event in events)


def test_the_result_says_how_it_came_about(tiny: Pipeline) -> None:
    result = tiny.generate("a fox", width=64, height=64, steps=1)
    request = result.request
    assert (result.seed, result.steps, request.width, request.height) == (request.seed, 1, 64, 64)
    assert result.image.mode == "RGB"
    assert result.timings["total"] == pytest.approx(
        sum(seconds for name, seconds in result.timings.items() if name != "total"), abs=0.01
    )
    assert result.memory["peak_bytes"] == max(result.memory["phases"].values())
    before, recipe = timestamp(), tiny.recipe(result)
    assert before <= str(recipe.created_at) <= timestamp()
    assert (recipe.prompt, recipe.seed, recipe.steps, recipe.variant) == ("a fox", result.seed, 1, "ternary")


def test_what_is_left_open_is_the_checkpoint_s_choice(tiny_checkpoint: Callable[..., Path]) -> None:
    own = {"recommended_size": [80, 64], "recommended_steps": 3}
    pipe = Pipeline.from_pretrained(tiny_checkpoint(model_index=own))
    first, second = pipe.generate("a red house"), pipe.generate("a red house")
    wished = pipe.model.checkpoint
    assert (wished.recommended_size, wished.recommended_steps) == ((80, 64), 3)
    assert (first.image.size, first.steps) == (wished.recommended_size, wished.recommended_steps)
    assert first.seed != second.seed


@pytest.mark.parametrize("variant", ["ternary"])
def test_previews_come_with_every_step_and_change_nothing(pipe: Pipeline) -> None:
    events = list(pipe.run(GenerationRequest("a red house", **SMALL), preview=True))
    previews = {(event.phase, event.step): event.preview for event in events if event.preview}
    assert list(previews) == [("denoise", 1), ("denoise", 2)]
    assert {preview.size for preview in previews.values()} == {(8, 10)}
    assert events[-1].result
    small = np.asarray(events[-1].result.image.resize((8, 10)), dtype=float)
    assert np.abs(np.asarray(previews["denoise", 2], dtype=float) - small).mean() < 25
    assert np.array_equal(np.asarray(events[-1].result.image), pixels(pipe))


def test_a_first_preview_is_prepared_in_events_and_can_be_stopped(tiny: Pipeline) -> None:
    request = GenerationRequest("a red house", **SMALL)
    loads = [(event.step, event.steps) for event in tiny.run(request, preview=True) if event.phase == "load"]
    total = loads[-1][1]
    assert loads == [(0, 1), *((done, total) for done in range(1, total + 1))]
    assert total > 10
    again = [(event.step, event.steps) for event in tiny.run(request, preview=True) if event.phase == "load"]
    assert again == [(0, 1), (1, 1)]


def test_a_prompt_that_is_cut_is_told(tiny: Pipeline) -> None:
    for prompt, cut in (("a red house", False), ("a red house " * tiny.model.checkpoint.max_sequence_length, True)) * 2:
        *events, last = tiny.run(GenerationRequest(prompt, **SMALL))  # the second time nothing is encoded
        assert all(event.truncated is cut for event in events)
        assert last.result
        assert last.result.truncated is cut
        assert tiny.recipe(last.result).truncated is (True if cut else None)


def test_a_picture_leaves_the_random_state_alone(tiny: Pipeline) -> None:
    """MLX computes it when somebody asks: until then each use makes the chain behind it longer."""
    before = np.array(mx.random.state[0])
    pixels(tiny)
    assert np.array_equal(np.array(mx.random.state[0]), before)


def test_a_repeated_prompt_is_not_encoded_again(tiny: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for prompt in ("a red house", "a blue fish", "a green tree"):
        pixels(tiny, prompt)
    monkeypatch.setattr(text_encoder, "encode", lambda *_: pytest.fail("the prompt was encoded again"))
    phases = {event.phase for event in tiny.run(GenerationRequest("a red house", **SMALL | {"seed": 9}))}
    assert "encode" not in phases


def test_pipelines_with_one_text_encoder_share_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = EmbeddingCache()
    pixels(Pipeline.from_pretrained("seedling-ternary", embeddings=shared))
    binary = Pipeline.from_pretrained("seedling-binary", embeddings=shared)
    monkeypatch.setattr(text_encoder, "encode", lambda *_: pytest.fail("the prompt was encoded again"))
    assert np.ptp(pixels(binary)) > 50


def test_few_prompts_are_kept(tiny: Pipeline) -> None:
    pixels(tiny, "one picture", steps=1)
    first = active()
    for number in range(CACHED_CONTEXTS + 2):
        pixels(tiny, f"picture {number}", steps=1)
    config = tiny.model.checkpoint.transformer
    context_bytes = tiny.model.checkpoint.max_sequence_length * config.dim * tiny.model.dtype.size
    assert active() - first == (CACHED_CONTEXTS - 1) * context_bytes


def test_every_plan_draws_the_same_picture(tiny_checkpoint: Callable[..., Path]) -> None:
    request = GenerationRequest("a red house", **SMALL | {"width": 128, "height": 128})
    limit: int | None = None
    drawn, levels = [], []
    while True:
        pipe = Pipeline.from_pretrained(tiny_checkpoint(), memory_limit_bytes=limit)
        try:
            plan = pipe.plan(request)
        except OutOfMemory as error:
            assert "the smallest that can be met" in str(error)  # noqa: PT017  the loop ends with it
            break
        *_, last = pipe.run(request)
        assert last.result
        drawn.append(np.asarray(last.result.image).astype(int))
        levels.append(plan.level)
        assert (pipe.model._transformer is None) == plan.drops_transformer
        limit = plan.peak_bytes - 1
    assert len(levels) >= 2
    for image in drawn[1:]:
        assert np.abs(image - drawn[0]).max() <= 1


def test_models_are_found_by_name(variant: str) -> None:
    pipe = Pipeline.from_pretrained(f"seedling-{variant}")
    assert (pipe.name, pipe.entry, pipe.model.describe().precision) == (
        f"seedling-{variant}",
        lookup(pipe.name),
        variant,
    )


def test_a_folder_here_does_not_hide_a_model_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seedling: Path, variant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"seedling-{variant}"
    (tmp_path / name).mkdir()
    assert Pipeline.from_pretrained(name).entry == lookup(name)
    for folder in (f"./{name}", Path(name)):
        with pytest.raises(CheckpointError, match=rf"{name}/model_index\.json: the file is missing"):
            Pipeline.from_pretrained(folder)
    assert Pipeline.from_pretrained(str(seedling)).entry is None


def test_a_path_is_never_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="seedling: there is no such checkpoint folder"):
        Pipeline.from_pretrained(Path("seedling"))


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="bonsai-mlx download ternary"):
        Pipeline.from_pretrained("ternary")
    with pytest.raises(CheckpointError, match="no checkpoint called 'nope'"):
        Pipeline.from_pretrained("nope")
