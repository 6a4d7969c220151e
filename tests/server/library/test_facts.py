"""What a picture's page tells about how it was made."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from bonsai_mlx.images.recipe import Recipe
from bonsai_mlx.request import Draw, Enlarge
from server.library.facts import facts
from tests.server.conftest import LiveServer

DIGEST = "a" * 64
HOW = {"variant": "ternary", "model": "ternary"}

CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    ({"guidance": 2.5, "negative_prompt": "red"}, [("What to avoid", "red"), ("Guidance", "2.5")]),
    (
        {"loras": [{"name": "ink", "strength": 0.8}, {"name": "fog", "strength": -0.25}]},
        [("Adapter", "ink, 0.8"), ("Adapter", "fog, -0.25")],
    ),
    ({"variation_amount": 0.1, "variation_seed": 7}, [("Variation", "0.1 of seed 7")]),
    ({"styles": ["Ink wash"], "typed": "a cat"}, [("You typed", "a cat"), ("Style", "Ink wash")]),
    ({"init": DIGEST, "strength": 0.6}, [("Drawn anew", "60 %")]),
    ({"init": DIGEST, "mask": DIGEST}, [("Repainted", "only what was marked")]),
    ({"init": DIGEST, "extend": [0, 32, 64, 0]}, [("Extended", "32 px top, 64 px right")]),
    ({"init": DIGEST, "morph": DIGEST, "morph_weight": 0.25}, [("Of the second picture", "25 %")]),
    ({"temperature": 0.7, "unconditional": True}, [("Words", "none were read"), ("Temperature", "0.7")]),
]


def recipe_of(**fields: Any) -> dict[str, Any]:
    request = Draw(**({"prompt": "a fox", "seed": 1, "steps": 4, "width": 64, "height": 64} | fields))
    of_model = {"guidance": fields.get("guidance", 1.0), "bits": not {"temperature", "morph"}.isdisjoint(fields)}
    resolved = request.resolved(steps=4, size=(64, 64), **of_model)
    return dict(json.loads(Recipe.of(resolved, **HOW).to_json()))


@pytest.mark.parametrize(("fields", "told"), CASES)
def test_what_was_chosen_is_told_in_words(fields: dict[str, Any], told: list[tuple[str, str]]) -> None:
    assert facts(recipe_of(**fields)) == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, [("Enlarged", "2 times, as it was")]),
        ({"by": 4, "method": "refine", "prompt": "a fox"}, [("Enlarged", "4 times, with finer strokes")]),
        ({"method": "learned", "upscaler": "sharp"}, [("Enlarged", "2 times, by an upscaler"), ("Upscaler", "sharp")]),
    ],
)
def test_how_it_was_enlarged(fields: dict[str, Any], told: list[tuple[str, str]]) -> None:
    request = Enlarge(source=DIGEST, **fields).resolved(size=(64, 64), steps=4)
    assert facts(json.loads(Recipe.of(request, **HOW).to_json())) == told


def test_parts_that_took_the_place_of_the_models_own() -> None:
    parts = {"text_encoder": "ternary-qwen3", "decoder": "small-decoder"}
    assert facts(recipe_of() | parts) == [("Text encoder", "ternary-qwen3"), ("Decoder", "small-decoder")]


@pytest.mark.parametrize("row", [{}, {"schema": 9}, recipe_of() | {"loras": 7}, recipe_of() | {"strength": "much"}])
def test_what_is_no_recipe_of_ours_tells_nothing(row: dict[str, Any]) -> None:
    assert facts(row) == []


def test_the_pictures_page_has_them(shared: LiveServer) -> None:
    made = shared.finished(
        shared.post_job("a <b>fox</b>", width=64, height=64, variation_amount=0.2, variation_seed=3)["id"]
    )
    page = shared.client.get(f"/i/{made['image_id']}", headers={"Accept": "text/html"}).text
    rows = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page)
    assert ("Variation", "0.2 of seed 3") in [(name, html.unescape(value)) for name, value in rows]
