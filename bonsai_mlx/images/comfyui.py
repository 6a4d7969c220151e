"""The settings in a graph of ComfyUI's, which writes nothing but the whole graph of nodes into its images.

So this is a best effort: it starts at the sampler and walks up. Any input may be a link to another node instead of a
value, and is then followed. What is looked at is bounded, so that a hostile graph takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .recipe import FoundMetadata, parse_json_object
from .values import as_model, as_text, as_whole

_Inputs = Mapping[str, Any]  # each a value or a link [node id, output]

_TEXT_INPUTS = (
    *("text", "t5xxl", "text_g", "clip_l", "text_l", "prompt", "string", "value", "populated_text"),
    *("text_positive", "positive"),
)
_SEED_INPUTS = ("seed", "noise_seed")
_NUMBER_INPUTS = ("value", "int", "number", *_SEED_INPUTS)  # of nodes that hold one number for others
_MODEL_INPUTS = ("unet_name", "ckpt_name", "model_name")
_NOT_TOWARDS_TEXT = frozenset({"model", "clip", "vae", "negative", "noise", "sampler", "sigmas", "latent_image"})
_SAMPLER_INPUTS = ("positive", "guider", "conditioning")
_PART = re.compile(r"(?:string|text)_?[a-f1-9]")  # inputs of nodes that put texts together
_MAX_LINKS = 32  # of one node that are followed
_MAX_NODES = 4_096  # that are asked for one setting
_MAX_SOURCES = 8  # that are asked for the number behind one link
_MAX_DEPTH, _MAX_CHARS = 16, 1_000_000  # of texts that are put together from others


def found_in_graph(graph: str | Mapping[str, Any]) -> FoundMetadata | None:
    """The settings in a graph, as JSON or parsed; None where there is no sampler in it."""
    data = (parse_json_object(graph) or {}) if isinstance(graph, str) else graph
    nodes = _Graph(data)
    sampler = nodes.sampler()
    if sampler is None:
        return None
    inputs = nodes.inputs[sampler]
    wanted = next((inputs[name] for name in _SAMPLER_INPUTS if name in inputs), None)
    return FoundMetadata(
        source="comfyui",
        prompt=nodes.first_text(wanted),
        negative=nodes.first_text(inputs.get("negative")),
        seed=nodes.first_whole(sampler, *_SEED_INPUTS),
        steps=nodes.first_whole(sampler, "steps"),
        width=nodes.first_whole(sampler, "width"),
        height=nodes.first_whole(sampler, "height"),
        model=nodes.first_model(sampler),
        text=graph if isinstance(graph, str) else "",
    )


class _Graph:
    """The nodes by id. One that zeroes a conditioning out hides the text above it, so it gets no inputs."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self.inputs: dict[str, _Inputs] = {}
        self._classes: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._wholes: dict[tuple[str, str], int | None] = {}
        for node_id, node in graph.items():
            if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
                self._classes[node_id] = as_text(node.get("class_type")).lower()
                self.inputs[node_id] = {} if node.get("class_type") == "ConditioningZeroOut" else node["inputs"]
        self._links = {node_id: _links(inputs) for node_id, inputs in self.inputs.items()}
        self._numbers = {node_id: _numbers(inputs) for node_id, inputs in self.inputs.items()}
        self._longest = {node_id: _longest_text(inputs) for node_id, inputs in self.inputs.items()}

    def sampler(self) -> str | None:
        """The first node that makes latents from latents and a prompt, else the first that is called a sampler."""
        able = [node_id for node_id, inputs in self.inputs.items() if any(name in inputs for name in _SAMPLER_INPUTS)]
        named = (node_id for node_id in able if "sampler" in self._classes[node_id])
        return next((node_id for node_id in able if "latent_image" in self.inputs[node_id]), None) or next(named, None)

    def first_text(self, link: object) -> str:
        start = _linked_node(link)
        if start is None:
            return as_text(link)
        sources = self._upstream(start, _NOT_TOWARDS_TEXT)
        return next((text for node_id in sources if (text := self._text_of(node_id))), "")

    def first_whole(self, start: str, *names: str) -> int | None:
        for node_id in self._upstream(start):
            for name in names:
                number = self._whole_at(name, self.inputs[node_id].get(name))
                if number is not None:
                    return number
        return None

    def first_model(self, start: str) -> str | None:
        values = (self.inputs[node_id].get(name) for node_id in self._upstream(start) for name in _MODEL_INPUTS)
        return next((model for value in values if (model := as_model(value))), None)

    def _upstream(self, start: str, skip: frozenset[str] = frozenset()) -> Iterator[str]:
        """`start` and all nodes that feed it, nearest first; inputs named in `skip` are not followed."""
        queue, seen = [start], {start}  # the queue grows while it is walked
        for node_id in queue:
            if node_id not in self.inputs:
                continue
            yield node_id
            for name, linked in self._links[node_id]:
                if name not in skip and linked not in seen and len(seen) < _MAX_NODES:
                    seen.add(linked)
                    queue.append(linked)

    def _text_of(self, node_id: str, depth: int = 0) -> str:
        if node_id not in self._texts and depth <= _MAX_DEPTH:
            self._texts[node_id] = ""  # for a node that is its own source
            self._texts[node_id] = self._compose(self.inputs[node_id], depth)[:_MAX_CHARS]
        return self._texts.get(node_id, "")

    def _compose(self, inputs: _Inputs, depth: int) -> str:
        named = {name.lower(): value for name, value in inputs.items()}
        parts = [self._text_at(value, depth) for name, value in named.items() if _PART.fullmatch(name)]
        if any(parts):
            return as_text(named.get("delimiter", named.get("separator"))).join(filter(None, parts))
        return next((text for name in _TEXT_INPUTS if (text := self._text_at(named.get(name), depth))), "")

    def _text_at(self, value: object, depth: int) -> str:
        """An input's text, or what the node that it is linked to gives, whatever that is called there."""
        linked = _linked_node(value)
        if linked not in self.inputs:
            return as_text(value)
        return self._text_of(linked, depth + 1) or self._longest[linked]

    def _whole_at(self, name: str, value: object) -> int | None:
        linked = _linked_node(value)
        if linked is None:
            return as_whole(value)
        if (linked, name) not in self._wholes:
            self._wholes[linked, name] = self._whole_behind(linked, name)
        return self._wholes[linked, name]

    def _whole_behind(self, start: str, name: str) -> int | None:
        """The number that a node or those before it hold, under the same name or a usual one, or as the only one."""
        for node_id, _ in zip(self._upstream(start), range(_MAX_SOURCES), strict=False):
            held = self._numbers[node_id]
            for key in (name, *_NUMBER_INPUTS):
                if key in held:
                    return held[key]
            if len(held) == 1:
                return next(iter(held.values()))
        return None


def _linked_node(value: object) -> str | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return str(value[0])
    return None


def _links(inputs: _Inputs) -> list[tuple[str, str]]:
    links = [(name, linked) for name, value in inputs.items() if (linked := _linked_node(value)) is not None]
    return links[:_MAX_LINKS]


def _numbers(inputs: _Inputs) -> dict[str, int]:
    return {name.lower(): number for name, value in inputs.items() if (number := as_whole(value)) is not None}


def _longest_text(inputs: _Inputs) -> str:
    return max(map(as_text, inputs.values()), key=len, default="")
