"""What can be learned from a graph of nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bonsai_mlx.images.comfyui import found_in_graph

SAMPLER = {
    "class_type": "KSampler",
    "inputs": {"seed": 7, "steps": 20, "positive": ["2", 0], "negative": ["3", 0], "model": ["4", 0]},
}
GRAPH: dict[str, Any] = {
    "1": SAMPLER,
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry"}},
    "4": {"class_type": "UNETLoader", "inputs": {"unet_name": "klein.safetensors"}},
}


def graph(**changed: Any) -> dict[str, Any]:
    return GRAPH | changed


def test_the_settings_of_a_plain_graph() -> None:
    for written in (GRAPH, json.dumps(GRAPH)):
        found = found_in_graph(written)
        assert found is not None
        assert (found.prompt, found.negative, found.seed, found.steps) == ("a fox", "blurry", 7, 20)
        assert found.model == "klein.safetensors"


def seed_node(**inputs: Any) -> dict[str, Any]:
    return {"class_type": "Whatever", "inputs": inputs}


@pytest.mark.parametrize(
    ("node", "seed"),
    [
        (seed_node(seed=9), 9),
        (seed_node(value=9), 9),
        (seed_node(number=9), 9),
        (seed_node(the_one_and_only=9), 9),
        (seed_node(first=9, second=8), None),
    ],
)
def test_a_number_behind_a_link(node: dict[str, Any], seed: int | None) -> None:
    linked = {"class_type": "KSampler", "inputs": SAMPLER["inputs"] | {"seed": ["5", 0]}}
    found = found_in_graph(graph(**{"1": linked, "5": node}))
    assert found is not None
    assert found.seed == seed


@pytest.mark.parametrize("bad", ["", "no json", "[]", "{}", '{"1": 7}', '{"1": {"inputs": []}}'])
def test_what_has_no_sampler_says_nothing(bad: str) -> None:
    assert found_in_graph(bad) is None


def test_links_in_a_circle_end() -> None:
    circle = {"class_type": "Join", "inputs": {"string_a": ["5", 0], "string_b": ["6", 0]}}
    turned = {"class_type": "Join", "inputs": {"string_a": ["5", 0]}}
    encode = {"class_type": "CLIPTextEncode", "inputs": {"text": ["5", 0]}}
    found = found_in_graph(graph(**{"2": encode, "5": circle, "6": turned}))
    assert found is not None
    assert found.prompt == ""


def test_a_link_to_a_node_that_is_not_there_leads_nowhere() -> None:
    linked = {"class_type": "KSampler", "inputs": SAMPLER["inputs"] | {"seed": ["99", 0]}}
    found = found_in_graph(graph(**{"1": linked}))
    assert found is not None
    assert (found.seed, found.steps) == (None, 20)
