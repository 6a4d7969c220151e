"""What a generation request may ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.request import (
    MAX_PROMPT_CHARS,
    MAX_SEED,
    VERSION,
    GenerationRequest,
    ResolvedDraw,
    as_json,
    batch,
    from_json,
)


def fault(**changes: Any) -> RequestError:
    fields: dict[str, Any] = {"prompt": "a fox"} | changes
    with pytest.raises(RequestError) as caught:
        GenerationRequest(**fields).validated()
    return caught.value


@pytest.mark.parametrize("prompt", ["", " ", "\n\t "])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    assert str(fault(prompt=prompt)) == "prompt: is empty; describe the picture in a few words"


@pytest.mark.parametrize("prompt", [None, 7, GenerationRequest("a fox")])
def test_a_prompt_is_text(prompt: Any) -> None:
    error = fault(prompt=prompt)
    assert error.field == "prompt"
    assert f"not text but {type(prompt).__name__}" in str(error)


def test_a_prompt_has_a_longest_length() -> None:
    GenerationRequest("x" * MAX_PROMPT_CHARS).validated()
    assert fault(prompt="x" * (MAX_PROMPT_CHARS + 1)).field == "prompt"


@pytest.mark.parametrize(
    ("field", "low", "high"), [("seed", 0, MAX_SEED), ("steps", 1, 100), ("width", 64, 2048), ("height", 64, 2048)]
)
def test_bounds(field: str, low: int, high: int) -> None:
    for value in (low, high):
        GenerationRequest("a fox", **{field: value}).validated()
    step = 16 if field in ("width", "height") else 1
    for value in (low - step, high + step, -1, 10**30):
        error = fault(**{field: value})
        assert error.field == field
        assert f"from {low} to {high}" in str(error)


@pytest.mark.parametrize("value", [np.int64(128), np.uint16(128), np.array(128), mx.array(128), 128])
@pytest.mark.parametrize("field", ["seed", "steps", "width", "height"])
def test_whole_numbers_of_every_library(field: str, value: Any) -> None:
    request = GenerationRequest("a fox", **{"steps": 4, field: 64 if field == "steps" else value})
    resolved = request.resolved(steps=4, size=(512, 512))
    assert type(getattr(resolved, field)) is int
    assert getattr(request, field) == (64 if field == "steps" else 128)


@pytest.mark.parametrize("value", [1.0, "7", True, [], float("nan"), np.float32(1), np.bool_(True), np.array([1, 2])])
@pytest.mark.parametrize("field", ["seed", "steps", "width", "height"])
def test_only_whole_numbers(field: str, value: Any) -> None:
    error = fault(**{field: value})
    assert error.field == field
    assert "not a whole number" in str(error)


@pytest.mark.parametrize("field", ["width", "height"])
def test_sizes_are_multiples_of_16_and_the_neighbours_are_named(field: str) -> None:
    assert str(fault(**{field: 500})) == f"{field}: 500 is not a multiple of 16; 496 and 512 are"


def test_resolving_fills_what_was_left_open() -> None:
    filled = GenerationRequest("a fox", width=256).resolved(steps=4, size=(512, 384))
    assert (filled.steps, filled.width, filled.height) == (4, 256, 384)
    assert filled.seed is not None
    assert 0 <= filled.seed <= MAX_SEED


def test_resolving_keeps_what_was_given_and_checks_it() -> None:
    request = GenerationRequest("a fox", seed=0, steps=1, width=64, height=64)
    assert request.resolved(steps=4, size=(512, 512)) == ResolvedDraw("a fox", 0, 1, 64, 64)
    with pytest.raises(RequestError, match="steps"):
        GenerationRequest("a fox", steps=0).resolved(steps=4, size=(512, 512))


def test_a_resolved_request_has_nothing_open() -> None:
    with pytest.raises(RequestError, match="seed: None is not a whole number"):
        ResolvedDraw("a fox", None, 1, 64, 64).validated()  # type: ignore[arg-type]


def test_seeds_of_a_batch_count_up_and_begin_again() -> None:
    last = ResolvedDraw("a fox", MAX_SEED - 1, 1, 64, 64)
    assert [request.seed for request in batch(last, 3)] == [MAX_SEED - 1, MAX_SEED, 0]


RESOLVED = ResolvedDraw("a fox", 7, 4, 512, 384)
WRITTEN: dict[str, Any] = {"operation": "draw", "version": 1, "prompt": "a fox", "seed": 7, "steps": 4} | {
    "width": 512,
    "height": 384,
}

CHOSEN: dict[str, Any] = {  # of every field that a picture brings, something else than its default
    "references": ["a" * 64, "b" * 64],
    "reference_detail": 512,
    "init": "c" * 64,
    "strength": 0.5,
    "strength_rule": "steps",
    "mask": "d" * 64,
    "mask_content": "original",
    "feather_px": 0,
    "restore_unmasked": False,
    "source_as_reference": True,
    "only_masked": False,
    "margin_px": 8,
    "extend": [0, 16, 0, 7],
}
RESOLVED_EDIT = replace(RESOLVED, **CHOSEN | {"references": ("a" * 64, "b" * 64), "extend": (0, 16, 0, 7)})
BAD: list[tuple[str, Any]] = [
    ("references", "a" * 64),
    ("references", ["a" * 63]),
    ("references", ["a" * 64] * 5),
    ("references", [None]),
    ("reference_detail", 500),
    ("reference_detail", "512"),
    ("init", "../../etc/passwd"),
    ("init", 7),
    ("variation_amount", -0.1),
    ("variation_amount", 1.01),
    ("variation_amount", "0.5"),
    ("variation_seed", -1),
    ("variation_seed", 2**32),
    ("strength", 0),
    ("strength", 1.01),
    ("strength", float("nan")),
    ("strength", "0.5"),
    ("strength", True),
    ("strength_rule", "sigmas"),
    ("mask", ""),
    ("feather_px", 257),
    ("feather_px", -1),
    ("restore_unmasked", None),
    ("restore_unmasked", 1),
    ("source_as_reference", "yes"),
    ("only_masked", 0),
    ("margin_px", -1),
    ("margin_px", 1025),
    ("extend", [1, 2, 3]),
    ("extend", [0, 0, 0, 2049]),
    ("extend", [0, 0, 0, -16]),
    ("extend", 16),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_field_of_a_picture_has_bounds(field: str, value: Any) -> None:
    assert fault(**{"init": "c" * 64, field: value}).field == field


@pytest.mark.parametrize("field", ["mask", "extend"])
def test_a_mask_and_an_extension_need_a_picture(field: str) -> None:
    error = fault(**{field: CHOSEN[field]})
    assert error.field == field
    assert "init picture" in str(error)


def test_an_extension_by_nothing_is_none() -> None:
    assert GenerationRequest("a fox", init="c" * 64, extend=(0, 0, 0, 0)).validated().extend is None


def test_a_variation_has_a_seed_of_its_own_and_one_by_nothing_has_none() -> None:
    varied = replace(RESOLVED, variation_amount=0.5)
    assert varied.resolved(steps=4, size=(64, 64)).variation_seed is not None
    exact = replace(varied, variation_seed=MAX_SEED)
    assert as_json(exact) == WRITTEN | {"variation_amount": 0.5, "variation_seed": MAX_SEED}
    assert from_json(as_json(exact)) == exact
    assert [(one.seed, one.variation_seed) for one in batch(exact, 2)] == [(7, MAX_SEED), (7, 0)]
    assert replace(RESOLVED, variation_seed=3).resolved(steps=4, size=(64, 64)) == RESOLVED


def test_a_request_names_each_picture_once() -> None:
    twice = GenerationRequest("a fox", references=("a" * 64, "b" * 64), init="a" * 64, mask="d" * 64)
    assert twice.pictures == ("a" * 64, "b" * 64, "d" * 64)


def test_a_request_is_read_as_it_was_written() -> None:
    assert as_json(RESOLVED) == WRITTEN
    assert from_json(json.loads(json.dumps(WRITTEN))) == RESOLVED


def test_with_pictures_everything_is_written() -> None:
    chosen = {name: CHOSEN[name] for name in as_json(RESOLVED_EDIT).keys() - WRITTEN.keys()}
    assert chosen == CHOSEN
    assert as_json(RESOLVED_EDIT) == WRITTEN | CHOSEN
    assert from_json(json.loads(json.dumps(WRITTEN | CHOSEN))) == RESOLVED_EDIT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": VERSION + 1}, "version: 2 is not known to this version of the program; update it"),
        ({"version": None}, "version: None is not known"),
        ({"operation": "sculpt"}, "operation: 'sculpt' is not known; known are draw"),
        ({"operation": []}, "operation: [] is not known"),
        ({"flavour": 1}, "flavour: is no field of this operation"),
        ({"steps": 0}, "steps: 0 is out of range"),
        ({"seed": None}, "seed: None is not a whole number"),
        ({"prompt": ["a", "fox"]}, "prompt: is not text but list"),
    ],
)
def test_a_damaged_request_is_told_by_its_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        from_json(WRITTEN | changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("field", ["prompt", "seed", "height"])
def test_a_request_without_a_field_is_incomplete(field: str) -> None:
    with pytest.raises(RequestError, match=f"incomplete.*{field}"):
        from_json({name: value for name, value in WRITTEN.items() if name != field})


def test_open_seeds_differ() -> None:
    request = GenerationRequest("a fox")
    assert len({request.resolved(steps=4, size=(64, 64)).seed for _ in range(20)}) > 15


def test_needs_no_mlx() -> None:
    code = "import sys, bonsai_mlx.request; sys.exit(any(n.split('.')[0] == 'mlx' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
