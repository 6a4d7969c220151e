"""What a run starts from, what it looks at, and what it puts back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from bonsai_mlx import GenerationRequest, Pipeline
from bonsai_mlx.editing.pictures import PictureSet
from bonsai_mlx.errors import OutOfMemory, RequestError
from bonsai_mlx.flux2.transformer import Transformer
from tests.cli.conftest import NARROW

SIZE = (96, 80)


def photo(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def mask() -> Image.Image:
    found = Image.new("L", SIZE, 0)
    found.paste(255, (16, 16, 64, 48))
    return found


@pytest.fixture
def pipe(tiny_checkpoint: Callable[..., Path]) -> Pipeline:
    """Of one precision: pictures go in the same way whatever the blocks are stored in (tests/parity/test_pictures.py
    has two)."""
    narrow = {name: NARROW[name] for name in ("text_encoder", "model_index")}
    return Pipeline.from_pretrained(tiny_checkpoint(**narrow), dtype=mx.float32)


def drawn(pipe: Pipeline, **given: Any) -> np.ndarray[Any, Any]:
    return np.asarray(pipe.generate("a fox", seed=1, steps=given.pop("steps", 2), **given).image).astype(int)


@pytest.mark.slow
def test_the_picture_depends_on_what_is_looked_at(pipe: Pipeline) -> None:
    sides = {"width": SIZE[0], "height": SIZE[1]}
    without, one, other = (drawn(pipe, **sides, references=given) for given in ([], [photo()], [photo(seed=1)]))
    assert np.abs(without - one).max() > 2
    assert np.abs(one - other).max() > 2
    both, turned = (
        drawn(pipe, **sides, references=given) for given in ([photo(), photo(seed=1)], [photo(seed=1), photo()])
    )
    assert np.abs(both - turned).max() > 2


def test_what_is_looked_at_does_not_change_from_step_to_step(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray[Any, Any]] = []
    call = Transformer.__call__

    def remember(self: Transformer, *given: Any) -> mx.array:
        seen.append(np.array(given[4]))
        return call(self, *given)

    monkeypatch.setattr(Transformer, "__call__", remember)
    drawn(pipe, references=[photo(), photo((64, 64))], steps=3)
    assert len(seen) == 3
    assert seen[0].shape[1] == 6 * 5 + 4 * 4
    assert all((tokens == seen[0]).all() for tokens in seen)


@pytest.mark.slow
def test_a_small_strength_keeps_the_picture(pipe: Pipeline) -> None:
    """Through the VAE and back, a little noise apart; of a random VAE not even that is the picture itself."""
    nearly, half, whole = (drawn(pipe, init_image=photo(), strength=s, steps=4) for s in (0.02, 0.5, 1.0))
    exact = drawn(pipe, init_image=photo(), strength=0.001, steps=1)
    assert np.abs(nearly - exact).mean() < np.abs(half - exact).mean() < np.abs(whole - exact).mean()


def test_all_noise_is_the_picture_of_words_alone(pipe: Pipeline) -> None:
    plain = drawn(pipe, width=SIZE[0], height=SIZE[1])
    assert (drawn(pipe, init_image=photo(), strength=1.0) == plain).all()


def test_every_number_of_steps_is_taken(pipe: Pipeline) -> None:
    request = GenerationRequest("a fox", seed=1, steps=3, strength=0.4, init=None)
    pictures = PictureSet()
    init = pictures.keep(photo())
    for rule, taken in (("sigma", 3), ("steps", 2)):
        asked = GenerationRequest("a fox", seed=1, steps=3, strength=0.4, strength_rule=rule, init=init)
        events = list(pipe.run(asked, pictures=pictures.by_digest))
        assert max(event.step for event in events if event.phase == "denoise") == taken
        assert {event.steps for event in events if event.phase == "denoise"} == {taken}
    assert request.pictures == ()


def test_encoding_is_told_and_can_be_stopped(pipe: Pipeline) -> None:
    pictures = PictureSet()
    request = GenerationRequest("a fox", steps=1, references=(pictures.keep(photo()), pictures.keep(photo(seed=1))))
    events = pipe.run(request, pictures=pictures.by_digest)
    told = [event for event in events if event.phase == "encode image"]
    assert [event.step for event in told] == list(range(1, told[0].steps + 1))
    again = pipe.run(request, pictures=pictures.by_digest)
    assert next(event for event in again if event.phase == "encode image").step == 1
    again.close()
    assert drawn(pipe, width=64, height=64).shape == (64, 64, 3)


def plans(pipe: Pipeline, request: GenerationRequest, pictures: Any) -> list[int | None]:
    """Limits that lead to every plan there is for it."""
    limits: list[int | None] = [None]
    while True:
        pipe.memory_limit_bytes = limits[-1]
        try:
            limits.append(pipe.plan(request, pictures=pictures).peak_bytes - 1)
        except OutOfMemory:
            pipe.memory_limit_bytes = None
            return limits[:-1]


@pytest.mark.slow
def test_every_plan_gives_the_same_edit(pipe: Pipeline) -> None:
    pictures = PictureSet()
    request = GenerationRequest(
        "a fox",
        seed=1,
        steps=2,
        init=pictures.keep(photo()),
        mask=pictures.keep(mask()),
        references=(pictures.keep(photo((64, 64), 2)),),
        reference_detail=1024,
    )
    limits = plans(pipe, request, pictures.by_digest)
    assert len(limits) >= 2
    found = []
    for limit in limits:
        pipe.memory_limit_bytes = limit
        *_, last = pipe.run(request, pictures=pictures.by_digest)
        assert last.result is not None
        found.append(np.asarray(last.result.image).astype(int))
    for image in found[1:]:
        assert np.abs(image - found[0]).max() <= 1


def test_a_limit_makes_references_smaller_before_it_refuses(held_by_others: int, pipe: Pipeline) -> None:
    pictures = PictureSet()
    large = (pictures.keep(photo((1024, 1024))),)
    request = GenerationRequest("a fox", seed=1, steps=1, width=64, height=64, references=large)
    least = pipe.plan(replace(request, reference_detail=256), pictures=pictures.by_digest)
    assert least.peak_bytes < pipe.plan(request, pictures=pictures.by_digest).peak_bytes
    pipe.memory_limit_bytes = least.peak_bytes
    *_, last = pipe.run(request, pictures=pictures.by_digest)
    assert last.result is not None
    assert last.result.request.reference_detail in (256, 512)
    assert last.result.memory["peak_bytes"] - held_by_others <= least.peak_bytes


def test_a_picture_that_was_not_given_is_named(pipe: Pipeline) -> None:
    with pytest.raises(RequestError, match=r"references\[0\]: the picture aaaaaaaaaaaa"):
        list(pipe.run(GenerationRequest("a fox", references=("a" * 64,))))


@pytest.mark.parametrize("source", ["no file.png", b"no picture"])
def test_what_is_no_picture_is_named_by_its_place(source: Any, pipe: Pipeline) -> None:
    for given, field in (({"references": [photo(), source]}, "references[1]"), ({"init_image": source}, "init")):
        with pytest.raises(RequestError) as caught:
            pipe.generate("a fox", **given)
        assert caught.value.field == field
