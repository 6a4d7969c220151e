"""Steps as data: what they may say, and which one is named where they say something else."""

from __future__ import annotations

from typing import Any

import pytest

from bonsai_mlx.errors import RequestError
from bonsai_mlx.pipelines.chains import (
    MAX_STEPS,
    as_json,
    has_place,
    merged,
    missing,
    seeded,
    spoken,
    steps_of,
    worded,
)
from bonsai_mlx.request import Draw, Enlarge

DRAW: dict[str, Any] = {"operation": "draw", "prompt": "a {prompt}", "id": "one"}
REDRAW: dict[str, Any] = {"operation": "draw", "prompt": "{prompt}", "init": "one", "references": ["previous"]}
LARGE: dict[str, Any] = {"operation": "enlarge", "source": "previous", "by": 4, "width": 9, "height": 9, "steps": 0}


def test_steps_are_requests_and_can_be_written_again() -> None:
    steps = steps_of([DRAW, REDRAW | {"model": "ternary"}, LARGE])
    assert steps[0].request == Draw("a {prompt}")
    assert steps[1].request == Draw("{prompt}", init="one", references=("previous",))
    assert steps[2].request == Enlarge("previous", by=4)
    assert steps_of(as_json(steps)) == steps
    assert list(missing(steps)) == []
    assert list(missing(steps_of([REDRAW | {"references": [], "mask": "m"}]))) == ["one", "m"]


def test_what_is_redrawn_larger_takes_the_words_of_its_picture() -> None:
    """As `enlarge` takes those of a file: of the step that it names, whatever was written or drawn between them."""
    fine = LARGE | {"method": "refine"}
    steps = steps_of([{"operation": "write", "prompt": "fox"}, DRAW, REDRAW, fine, fine | {"source": "one"}])
    assert [step.request.prompt for step in steps[3:]] == ["{prompt}", "a {prompt}"]
    [_, own] = steps_of([DRAW, fine | {"prompt": "fur"}])
    assert own.request.prompt == "fur"
    assert steps_of([DRAW, LARGE])[1].request.prompt == ""
    with pytest.raises(RequestError, match="is empty; say what") as caught:
        steps_of([DRAW, fine | {"source": "a" * 64}])
    assert caught.value.field == "steps[1].prompt"


def test_words_and_seeds_are_changed_everywhere() -> None:
    steps = steps_of([DRAW, REDRAW])
    assert [step.request.prompt for step in spoken(steps, "fox")] == ["a fox", "fox"]
    with pytest.raises(RequestError, match="your words"):
        spoken(steps, None)
    with pytest.raises(RequestError, match=r"is not used by this pipeline.*write \{prompt\} in the pipeline") as caught:
        spoken(spoken(steps, "fox"), "owl")
    assert caught.value.field == "prompt"
    assert [step.request.seed for step in seeded(steps, 8)] == [8, 8]
    said = worded(steps_of([DRAW | {"prompt": "a fox"}, REDRAW | {"prompt": "a fox at night"}]))
    assert [step.request.prompt for step in said] == ["{prompt}", "{prompt} at night"]
    assert (has_place(said), has_place(spoken(said, "owl"))) == (True, False)


def test_styles_are_put_around_other_words_anew() -> None:
    styled = {"prompt": "a comic panel of a fox", "typed": "a fox", "styles": ["Comic"]}
    [step] = spoken(worded(steps_of([DRAW | styled])), "an owl")
    assert step.request == Draw("an owl", styles=("Comic",))
    [step] = spoken(worded(steps_of([DRAW | {"prompt": "a red fox in the snow", "typed": "fox"}])), "an owl")
    assert step.request == Draw("an owl")


def test_chains_of_several_pictures_have_each_step_once() -> None:
    one, other = DRAW | {"id": "a"}, DRAW | {"id": "b"}
    assert merged([[one], [one, other]]) == [one, other]
    assert merged([[DRAW | {"id": str(place)} for place in range(MAX_STEPS)]]) == []


FAULTS: list[tuple[Any, str]] = [
    (None, "steps"),
    ("steps", "steps"),
    ([DRAW | {"id": str(place)} for place in range(MAX_STEPS + 1)], "steps"),
    ([7], "steps[0]"),
    ([DRAW | {"operation": "exec"}], "steps[0].operation"),
    ([DRAW | {"operation": ["draw"]}], "steps[0].operation"),
    ([DRAW | {"code": "1"}], "steps[0].code"),
    ([DRAW | {"version": 99}], "steps[0].version"),
    ([DRAW | {"id": 7}], "steps[0].id"),
    ([DRAW, DRAW], "steps[1].id"),
    ([DRAW | {"model": []}], "steps[0].model"),
    ([{"operation": "draw"}], "steps[0].prompt"),
    ([DRAW, {"operation": "enlarge"}], "steps[1].source"),
    ([REDRAW], "steps[0]"),
    ([DRAW | {"pictures": {"a": "no base64!"}}], "steps[0].pictures"),
    ([DRAW | {"prompt": 7}], "steps[0].prompt"),
    ([DRAW | {"prompt": " "}], "steps[0].prompt"),
    ([DRAW, REDRAW | {"init": {}}], "steps[1].init"),
    ([DRAW, REDRAW | {"init": "x" * 81}], "steps[1].init"),
    ([DRAW, REDRAW | {"references": "one"}], "steps[1].references"),
    ([DRAW, REDRAW | {"references": ["one", 7]}], "steps[1].references[1]"),
    ([DRAW, REDRAW | {"strength": 2}], "steps[1].strength"),
    ([DRAW | {"width": 100}], "steps[0].width"),
    ([DRAW, LARGE | {"by": 3}], "steps[1].by"),
    ([DRAW, LARGE | {"method": "refine", "source": "a"}], "steps[1].prompt"),
    ([DRAW | {"pictures": ["a"]}], "steps[0].pictures"),
]


@pytest.mark.parametrize(("values", "field"), FAULTS)
def test_what_is_no_step_is_named(values: Any, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        steps_of(values)
    assert caught.value.field == field


def test_what_is_missing_is_told_with_what_to_write() -> None:
    with pytest.raises(RequestError, match=r'is missing; write one, or "\{prompt\}" where'):
        steps_of([{"operation": "draw"}])
    with pytest.raises(RequestError, match='is missing; name an earlier step by its id, or "previous"'):
        steps_of([DRAW, {"operation": "enlarge"}])
    with pytest.raises(RequestError, match=r"is missing; write one") as caught:
        steps_of([{"operation": "write"}, DRAW])
    assert caught.value.field == "steps[0].prompt"
