"""Recipes for tests: one that is fixed, and a hypothesis strategy for all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from bonsai_mlx.images.recipe import Recipe

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))  # with NUL, controls and halves of surrogate pairs
NUMBERS = st.floats(min_value=0, max_value=1e9)
RECIPES = st.builds(
    Recipe,
    prompt=ANY_TEXT,
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 100),
    width=st.integers(64, 2048),
    height=st.integers(64, 2048),
    variant=st.sampled_from(["ternary", "binary"]),
    model=ANY_TEXT,
    repo=st.none() | ANY_TEXT,
    shift=st.none() | NUMBERS,
    timings=st.dictionaries(ANY_TEXT, NUMBERS, max_size=4),
    peak_memory_bytes=st.none() | st.integers(0, 2**40),
    truncated=st.none() | st.just(True),
)


def a_recipe(**changes: Any) -> Recipe:
    fields: dict[str, Any] = {
        "prompt": "a red fox",
        "seed": 7,
        "steps": 4,
        "width": 512,
        "height": 256,
        "variant": "ternary",
        "model": "ternary",
        "repo": "prism-ml/bonsai-image-ternary-4B-mlx-2bit",
        "revision": "2c24c81b",
        "scheduler": "flow-match-euler",
        "shift": 2.02,
        "mlx": "0.32.4",
        "timings": {"encode": 0.5, "total": 5.78},
        "peak_memory_bytes": 1_900_000_000,
    }
    return Recipe(**fields | changes)
