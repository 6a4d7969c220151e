"""Settings of other programs are understood in the shapes that those programs write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.images.exif import EXIF_COMMENT
from bonsai_mlx.images.parsers import find_settings
from bonsai_mlx.images.recipe import FoundMetadata
from bonsai_mlx.images.scan import XMP

from ..ending import must_end

INFOTEXT = "a fox\nNegative prompt: dogs\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 512x768, Model: m"

SWARMUI = {
    "sui_image_params": {
        "prompt": "a fox",
        "negativeprompt": "dogs",
        "model": "m",
        "seed": 7,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 512,
        "height": 768,
        "swarm_version": "0.9.3.1",
    },
    "sui_extra_data": {"date": "2025-01-25", "generation_time": "4.84 sec"},
    "sui_models": [{"name": "m"}],
}
FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "dogs",
    "steps": 20,
    "resolution": "(512, 768)",
    "seed": "7",
    "base_model": "m",
    "sampler": "dpmpp_2m",
}
INVOKEAI = {
    "generation_mode": "txt2img",
    "positive_prompt": "a fox",
    "negative_prompt": "dogs",
    "width": 512,
    "height": 768,
    "seed": 7,
    "steps": 20,
    "model": {"key": "0a1b", "name": "m", "type": "main"},
    "loras": [],
}
MFLUX = {
    "mflux_version": "0.11.0",
    "model": "m",
    "seed": 7,
    "steps": 20,
    "guidance": None,
    "height": 768,
    "width": 512,
    "quantize": 4,
    "lora_paths": None,
    "prompt": "a fox",
    "negative_prompt": "dogs",
}
DRAW_THINGS = {"c": "a fox", "uc": "dogs", "model": "m", "seed": 7, "steps": 20, "size": "512x768", "scale": 4.5}
DRAW_THINGS_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment>\n <rdf:Alt>\n'
    '  <rdf:li xml:lang="x-default">{&quot;c&quot;:&quot;a fox&quot;,&quot;uc&quot;:&quot;dogs&quot;,'
    "&quot;model&quot;:&quot;m&quot;,&quot;seed&quot;:7,&quot;steps&quot;:20,&quot;size&quot;:&quot;512x768&quot;}"
    "</rdf:li>\n </rdf:Alt>\n</exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"
)
COMFYUI = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 20,
            "cfg": 8.0,
            "model": ["4", 0],
            "positive": ["16", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "dogs", "clip": ["4", 1]}},
    "16": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "image": ["99", 0]}},
    "20": {"class_type": "PrimitiveString", "inputs": {"value": "a fox"}},
}
COMFYUI_FLUX = {
    "13": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["25", 0],
            "guider": ["22", 0],
            "sampler": ["16", 0],
            "sigmas": ["17", 0],
            "latent_image": ["27", 0],
        },
    },
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20, "model": ["12", 0]}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "m"}},
    "22": {"class_type": "CFGGuider", "inputs": {"model": ["12", 0], "positive": ["26", 0], "negative": ["7", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "dogs"}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}},
    "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 512, "height": 768}},
}

CASES: dict[str, dict[str, str]] = {
    "a1111": {"parameters": INFOTEXT},
    "a1111 jpeg": {EXIF_COMMENT: INFOTEXT},
    "swarmui": {"parameters": json.dumps(SWARMUI)},
    "swarmui jpeg": {EXIF_COMMENT: json.dumps(SWARMUI)},
    "fooocus": {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
    "fooocus infotext": {"parameters": INFOTEXT, "fooocus_scheme": "a1111"},
    "invokeai": {"invokeai_metadata": json.dumps(INVOKEAI)},
    "mflux": {EXIF_COMMENT: json.dumps(MFLUX)},
    "drawthings": {XMP: DRAW_THINGS_XMP},
    "drawthings exif": {EXIF_COMMENT: json.dumps(DRAW_THINGS)},
    "exif": {EXIF_COMMENT: json.dumps({key: value for key, value in MFLUX.items() if key != "mflux_version"})},
    "comfyui": {"prompt": json.dumps(COMFYUI), "workflow": "{}"},
}


@pytest.mark.parametrize("name", CASES)
def test_every_program_gives_the_same_settings(name: str) -> None:
    found = find_settings(CASES[name])
    assert found is not None
    assert found.source == name.split()[0]
    assert (found.prompt, found.negative, found.model) == ("a fox", "dogs", "m")
    assert (found.seed, found.steps, found.width, found.height) == (7, 20, 512, 768)
    assert found.recipe is None
    assert found.text


def test_comfyui_with_a_guider() -> None:
    assert find_settings({"prompt": json.dumps(COMFYUI_FLUX)}) == FoundMetadata(
        "comfyui", "a fox", "", 7, 20, 512, 768, "m", text=json.dumps(COMFYUI_FLUX)
    )


def test_comfyui_zeroed_negative_is_not_the_prompt() -> None:
    graph: dict[str, Any] = COMFYUI | {"7": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}}
    found = find_settings({"prompt": json.dumps(graph)})
    assert found is not None
    assert (found.prompt, found.negative) == ("a fox", "")


def test_other_settings_are_kept_for_showing() -> None:
    found = find_settings(CASES["swarmui"])
    assert found is not None
    assert found.extra == {"cfgscale": "7.0", "swarm_version": "0.9.3.1"}
    many = find_settings(
        {EXIF_COMMENT: json.dumps({"prompt": "p", "long": "x" * 501} | {str(i): i for i in range(1000)})}
    )
    assert many is not None
    assert "long" not in many.extra
    assert 60 <= len(many.extra) <= 64


def test_order_of_trust() -> None:
    everything = {key: text for texts in reversed(CASES.values()) for key, text in texts.items()}
    everything["parameters"] = INFOTEXT
    del everything["fooocus_scheme"]
    order = []
    for key in ("parameters", "invokeai_metadata", EXIF_COMMENT, XMP, "prompt"):
        found = find_settings(everything)
        assert found is not None
        order.append(found.source)
        del everything[key]
    assert order == ["a1111", "invokeai", "a1111", "drawthings", "comfyui"]


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"parameters": "  "},
        {"parameters": json.dumps({"prompt": "nobody's"})},
        {"invokeai_metadata": "{}"},
        {"invokeai_metadata": "[1]"},
        {EXIF_COMMENT: "Taken on holiday: sun, sea"},
        {EXIF_COMMENT: json.dumps({"camera": "x"})},
        {EXIF_COMMENT: json.dumps({"c": 7})},
        {XMP: "<exif:UserComment>"},
        {XMP: "</exif:UserComment><exif:UserComment>{}"},
        {"prompt": "a plain text"},
        {"prompt": json.dumps({"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}}})},
        {"prompt": json.dumps({"1": 7, "2": {"inputs": []}, "3": {"inputs": None}})},
    ],
)
def test_texts_that_say_nothing(texts: dict[str, str]) -> None:
    assert find_settings(texts) is None


@pytest.mark.parametrize(
    "value", [None, True, -1, 7.5, 1e400, 10**400, float("nan"), "7.5", "9" * 30, [7], {"a": 7}, 2**64]
)
def test_numbers_of_the_wrong_kind_are_left_out(value: object) -> None:
    texts = {EXIF_COMMENT: json.dumps(MFLUX | {"seed": value, "width": value}), "invokeai_metadata": ""}
    found = find_settings(texts)
    assert found is not None
    assert (found.seed, found.width, found.height, found.prompt) == (None, None, 768, "a fox")


@pytest.mark.parametrize("value", [7, 7.0, "7"])
def test_numbers_in_other_forms_are_read(value: object) -> None:
    found = find_settings({EXIF_COMMENT: json.dumps(MFLUX | {"seed": value})})
    assert found is not None
    assert found.seed == 7
    assert isinstance(found.seed, int)


def test_a_comfyui_graph_that_goes_in_circles() -> None:
    loop = {"class_type": "KSampler", "inputs": {"latent_image": ["1", 0], "positive": ["2", 0], "negative": ["1", 0]}}
    graph = {"1": loop, "2": {"class_type": "x", "inputs": {"conditioning": ["2", 0], "a": ["1", 0]}}}
    assert find_settings({"prompt": json.dumps(graph)}) == FoundMetadata("comfyui", text=json.dumps(graph))


def test_a_huge_comfyui_graph_takes_linear_time() -> None:
    nodes = {str(i): {"inputs": {str(j): [str((i * 7 + j) % 3000), 0] for j in range(15)}} for i in range(3000)}
    nodes["0"]["inputs"] |= {"latent_image": ["1", 0], "positive": ["2", 0]}  # type: ignore[dict-item]
    text = json.dumps(nodes)
    assert 600_000 < len(text) < 1_000_000
    with must_end():
        assert find_settings({"prompt": text}) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["sui_image_params", "prompt", "c", "uc", "seed", "steps", "size", "width", "model", "mflux_version"]
)
NODES = st.fixed_dictionaries(
    {
        "inputs": st.dictionaries(
            st.sampled_from(["latent_image", "positive", "guider", "negative", "text", "seed", "steps", "model"]),
            st.tuples(st.sampled_from(["1", "2", "3", "x"]), st.integers()).map(list) | JSON,
        )
    }
)


@pytest.mark.slow
@given(
    st.sampled_from(["parameters", "invokeai_metadata", EXIF_COMMENT, "prompt"]),
    st.dictionaries(KEYS, JSON) | st.dictionaries(st.sampled_from(["1", "2", "3"]), NODES | JSON),
)
def test_any_json_gives_well_typed_settings(key: str, data: dict[str, Any]) -> None:
    found = find_settings({key: json.dumps(data), "fooocus_scheme": ""})
    if found is not None:
        assert isinstance(found.prompt, str)
        assert isinstance(found.negative, str)
        assert all(n is None or type(n) is int for n in (found.seed, found.steps, found.width, found.height))
        assert found.model is None or isinstance(found.model, str)


@pytest.mark.slow
@given(st.sampled_from(["parameters", XMP, EXIF_COMMENT, "prompt"]), st.text())
def test_any_text_is_survived(key: str, text: str) -> None:
    find_settings({key: text})


@pytest.mark.parametrize("piece", ["<", "<a", "&quot;", "<exif:UserComment>", "&", "<x>"])
def test_hostile_xmp_takes_linear_time(piece: str) -> None:
    with must_end():
        find_settings({XMP: "<exif:UserComment>" + piece * (900_000 // len(piece)) + "</exif:UserComment>"})
