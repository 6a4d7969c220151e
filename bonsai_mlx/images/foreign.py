"""What other programs write into their images: A1111, Forge, SwarmUI, Fooocus, InvokeAI, mflux, Draw Things, ComfyUI.

Owns the keys and shapes of their settings. All of it comes from files that anyone may have made, so every value is
checked for its type, and whatever does not fit is left out rather than an error.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .containers import EXIF_COMMENT, XMP
from .infotext import MIN_PARAMS, found_in_infotext, parse_infotext
from .recipe import FoundMetadata, parse_json_object

_MAX_WHOLE = 2**64
_MAX_EXTRA, _MAX_EXTRA_CHARS = 64, 500

# How a program calls our fields, where the names differ from ours.
_KEYS = {
    "swarmui": {"negative": "negativeprompt"},
    "fooocus": {"negative": "negative_prompt", "size": "resolution", "model": "base_model"},
    "invokeai": {"prompt": "positive_prompt", "negative": "negative_prompt"},
    "mflux": {"negative": "negative_prompt"},
    "drawthings": {"prompt": "c", "negative": "uc"},
    "exif": {"negative": "negative_prompt"},
}


def find_foreign(texts: Mapping[str, str]) -> FoundMetadata | None:
    """What the texts of one image (containers.read_texts) say, by the first form that is understood."""
    return (
        _in_parameters(texts.get("parameters", ""), fooocus="fooocus_scheme" in texts)
        or _in_json("invokeai", texts.get("invokeai_metadata", ""))
        or _in_comment(texts.get(EXIF_COMMENT, ""))
        or _in_comment(_xmp_comment(texts.get(XMP, "")))
        or _in_comfyui_graph(texts.get("prompt", ""))
    )


def _in_parameters(text: str, *, fooocus: bool) -> FoundMetadata | None:
    """The one keyword that three programs share: JSON of two shapes, else an infotext."""
    if not text.strip():
        return None
    data = parse_json_object(text)
    if data is None:
        return found_in_infotext(text, "fooocus" if fooocus else "a1111")
    if isinstance(data.get("sui_image_params"), dict):
        return _from_mapping("swarmui", data["sui_image_params"], text)
    return _from_mapping("fooocus", data, text) if fooocus else None


def _in_comment(text: str) -> FoundMetadata | None:
    """A comment may come from a camera or a person, so it needs a clear sign of a program."""
    data = parse_json_object(text)
    if data is None:
        is_infotext = len(parse_infotext(text).params) >= MIN_PARAMS
        return found_in_infotext(text) if is_infotext else None
    if isinstance(data.get("sui_image_params"), dict):
        return _from_mapping("swarmui", data["sui_image_params"], text)
    if "mflux_version" in data:
        return _from_mapping("mflux", data, text)
    if isinstance(data.get("c"), str):
        return _from_mapping("drawthings", data, text)
    return _from_mapping("exif", data, text) if isinstance(data.get("prompt"), str) else None


def _xmp_comment(xmp: str) -> str:
    """Draw Things' JSON inside XMP. Found as text: an XML parser would bring its own ways to be attacked."""
    start = xmp.find("<exif:UserComment")
    end = xmp.find("</exif:UserComment>", start)
    if start < 0 or end < 0:
        return ""
    return html.unescape(re.sub(r"<[^<>]*>", "", xmp[start:end])).strip()


def _in_json(source: str, text: str) -> FoundMetadata | None:
    data = parse_json_object(text)
    return _from_mapping(source, data, text) if data else None


def _from_mapping(source: str, data: Mapping[str, Any], text: str) -> FoundMetadata:
    """Settings that stand side by side in one object, under the names of `_KEYS`."""
    names = {name: _KEYS[source].get(name, name) for name in (*_FIELDS, "size")}
    width, height = _size(data.get(names["size"]))
    return FoundMetadata(
        source=source,
        prompt=_text(data.get(names["prompt"])),
        negative=_text(data.get(names["negative"])),
        seed=_whole(data.get(names["seed"])),
        steps=_whole(data.get(names["steps"])),
        width=_whole(data.get(names["width"])) or width,
        height=_whole(data.get(names["height"])) or height,
        model=_model(data.get(names["model"])),
        extra=_extra(data, frozenset(names.values())),
        text=text,
    )


_FIELDS = ("prompt", "negative", "seed", "steps", "width", "height", "model")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    """Whole numbers also come as 7.0 and "7"."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_WHOLE:
        return None
    return int(value) if value == int(value) else None


def _size(value: object) -> tuple[int | None, int | None]:
    """("512x768" or "(512, 768)") -> (512, 768)."""
    numbers = re.findall(r"\d{1,6}", value) if isinstance(value, str) and len(value) < 32 else []
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (None, None)


def _model(value: object) -> str | None:
    """A name, or an object that has one (InvokeAI)."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("model_name")
    return value if isinstance(value, str) and value else None


def _extra(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, str]:
    simple = ((key, str(value)) for key, value in data.items() if key not in known and _is_simple(value))
    return {
        key: text for (key, text), _ in zip(simple, range(_MAX_EXTRA), strict=False) if len(text) <= _MAX_EXTRA_CHARS
    }


def _is_simple(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


# ComfyUI writes no settings but the whole graph of nodes, so this is a best effort: start at the sampler and walk up.

_Nodes = Mapping[str, Mapping[str, Any]]  # node id -> the node's inputs, each a value or a link [node id, output]
_TEXT_INPUTS = ("text", "t5xxl", "clip_l", "prompt", "string", "value")
_SEED_INPUTS, _MODEL_INPUTS = ("seed", "noise_seed"), ("unet_name", "ckpt_name", "model_name")
_NOT_TOWARDS_TEXT = frozenset({"model", "clip", "vae", "negative", "noise", "sampler", "sigmas", "latent_image"})


def _in_comfyui_graph(text: str) -> FoundMetadata | None:
    nodes = _comfyui_nodes(parse_json_object(text) or {})
    sampler = next((i for i in nodes if "latent_image" in nodes[i] and {"positive", "guider"} & nodes[i].keys()), None)
    if sampler is None:
        return None
    wanted = nodes[sampler].get("positive", nodes[sampler].get("guider"))
    return FoundMetadata(
        source="comfyui",
        prompt=_first_text(nodes, wanted),
        negative=_first_text(nodes, nodes[sampler].get("negative")),
        seed=_first_whole(nodes, sampler, *_SEED_INPUTS),
        steps=_first_whole(nodes, sampler, "steps"),
        width=_first_whole(nodes, sampler, "width"),
        height=_first_whole(nodes, sampler, "height"),
        model=next((m for n in _upstream(nodes, sampler) for key in _MODEL_INPUTS if (m := _model(n.get(key)))), None),
        text=text,
    )


def _comfyui_nodes(graph: Mapping[str, Any]) -> _Nodes:
    """Inputs by node id. A node that zeroes a conditioning out hides the text above it, so it gets no inputs."""
    nodes = {}
    for node_id, node in graph.items():
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
            nodes[node_id] = {} if node.get("class_type") == "ConditioningZeroOut" else node["inputs"]
    return nodes


def _upstream(nodes: _Nodes, start: str, skip: frozenset[str] = frozenset()) -> Iterator[Mapping[str, Any]]:
    """The inputs of `start` and of all nodes that feed it, nearest first; inputs named in `skip` are not followed."""
    queue, seen = [start], {start}  # the queue grows while it is walked
    for node_id in queue:
        if node_id not in nodes:
            continue
        yield nodes[node_id]
        for name, value in nodes[node_id].items():
            linked = None if name in skip else _linked_node(value)
            if linked is not None and linked not in seen:
                seen.add(linked)
                queue.append(linked)


def _linked_node(value: object) -> str | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return str(value[0])
    return None


def _first_text(nodes: _Nodes, link: object) -> str:
    start = _linked_node(link)
    if start is None:
        return ""
    inputs = _upstream(nodes, start, _NOT_TOWARDS_TEXT)
    return next((text for node in inputs for name in _TEXT_INPUTS if (text := _text(node.get(name)))), "")


def _first_whole(nodes: _Nodes, start: str, *names: str) -> int | None:
    inputs = _upstream(nodes, start)
    return next((n for node in inputs for name in names if (n := _whole(node.get(name))) is not None), None)
