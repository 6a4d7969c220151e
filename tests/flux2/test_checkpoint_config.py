"""What a checkpoint's JSON files may say: every impossible value is refused in one clear sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER, VAE
from tests.damaged import REPAIR, change_json, refused


def test_an_unknown_class_is_refused(folder: Path) -> None:
    change_json(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    assert "'StableDiffusionPipeline', not Flux2KleinPipeline" in refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\udcff"])
@pytest.mark.parametrize("path", ["model_index.json", "vae/config.json"])
def test_json_that_is_none_is_refused(folder: Path, path: str, text: str) -> None:
    (folder / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    message = refused(folder)
    assert str(folder / path) in message
    assert REPAIR in message


CONFIGS = {
    TRANSFORMER: f"{PACKED.folder(TRANSFORMER)}/config.json",
    TEXT_ENCODER: f"{PACKED.folder(TEXT_ENCODER)}/config.json",
    VAE: "vae/config.json",
}
REQUIRED = [
    (TRANSFORMER, "in_channels"),
    (TRANSFORMER, "num_layers"),
    (TRANSFORMER, "axes_dims_rope"),
    (TEXT_ENCODER, "hidden_size"),
    (TEXT_ENCODER, "head_dim"),
    (VAE, "block_out_channels"),
    (VAE, "latent_channels"),
]


@pytest.mark.parametrize(("component", "key"), REQUIRED)
def test_a_missing_key_is_named(folder: Path, component: str, key: str) -> None:
    path = folder / CONFIGS[component]
    change_json(path, **{key: ...})
    message = refused(folder)
    assert f"{path}: the key '{key}' is missing" in message
    assert REPAIR in message


BAD_INTEGERS = [None, "32", 32.0, True, 0, -1, 2**18 + 1, 10**30, [32], {}, float("nan"), float("inf")]
BAD_FLOATS = [None, "1e-6", 0, -1.0, True, float("nan"), float("inf"), 10**400, []]


@pytest.mark.parametrize(
    ("component", "key"),
    [
        (TRANSFORMER, "in_channels"),
        (TRANSFORMER, "num_layers"),
        (TEXT_ENCODER, "vocab_size"),
        (TEXT_ENCODER, "num_key_value_heads"),
        (VAE, "layers_per_block"),
    ],
)
def test_an_impossible_integer_is_named(folder: Path, component: str, key: str) -> None:
    path = folder / CONFIGS[component]
    for value in BAD_INTEGERS:
        change_json(path, **{key: value})
        message = refused(folder)
        assert f"{path}: {key} must be a whole number" in message, value
        assert REPAIR in message


@pytest.mark.parametrize(
    ("component", "key"),
    [(TRANSFORMER, "eps"), (TRANSFORMER, "mlp_ratio"), (TEXT_ENCODER, "rope_theta"), (VAE, "batch_norm_eps")],
)
def test_an_impossible_float_is_named(folder: Path, component: str, key: str) -> None:
    path = folder / CONFIGS[component]
    for value in BAD_FLOATS:
        change_json(path, **{key: value})
        assert f"{path}: {key} must be a finite number above 0" in refused(folder), str(value)[:9]


@pytest.mark.parametrize("value", [None, 8, "8888", [], [8, 8, 8, "8"], [8] * 17, [8, 8, 8, -8], {"a": 8}], ids=str)
def test_an_impossible_list_is_named(folder: Path, value: Any) -> None:
    path = folder / CONFIGS[TRANSFORMER]
    change_json(path, axes_dims_rope=value)
    assert f"{path}: axes_dims_rope must be" in refused(folder)


@pytest.mark.parametrize("count", [1025, 2**18])
@pytest.mark.parametrize(
    ("component", "key"),
    [
        (TRANSFORMER, "num_layers"),
        (TRANSFORMER, "num_single_layers"),
        (TEXT_ENCODER, "num_hidden_layers"),
        (VAE, "layers_per_block"),
    ],
)
def test_a_bomb_of_layers_is_refused(folder: Path, component: str, key: str, count: int) -> None:
    change_json(folder / CONFIGS[component], **{key: count})
    assert f"{key} must be a whole number from 1 to 1024" in refused(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text_encoder_out_layers", [0, 1, 2]),
        ("text_encoder_out_layers", "249"),
        ("max_sequence_length", 0),
        ("max_sequence_length", "64"),
        ("max_sequence_length", 10**6),
        ("recommended_steps", 0),
        ("recommended_steps", 1000),
        ("recommended_size", [128]),
        ("recommended_size", [100, 128]),
        ("recommended_size", [128, 4096]),
        ("recommended_size", [16, 16]),
        ("recommended_size", None),
    ],
)
def test_impossible_recommendations_are_named(folder: Path, key: str, value: Any) -> None:
    change_json(folder / "model_index.json", **{key: value})
    message = refused(folder)
    assert "model_index.json" in message
    assert key in message


UNKNOWN = [
    ({"bits": 5, "group_size": 64}, "bits must be 1, 2, 3, 4, 6 or 8, not 5"),
    ({"bits": True, "group_size": 64}, "bits must be 1, 2, 3, 4, 6 or 8, not True"),
    ({"bits": [2], "group_size": 64}, "bits must be 1, 2, 3, 4, 6 or 8, not [2]"),
    ({"bits": 2, "group_size": 48}, "group_size must be 32, 64 or 128, not 48"),
    ({"bits": 2, "group_size": None}, "group_size must be 32, 64 or 128, not None"),
]


@pytest.mark.parametrize(("packing", "words"), UNKNOWN)
def test_an_unknown_packing_is_refused(folder: Path, packing: dict[str, Any], words: str) -> None:
    change_json(folder / PACKED.folder(TRANSFORMER) / "quantization_config.json", **packing)
    assert words in refused(folder)


@pytest.mark.parametrize(
    ("packing", "words"), [*UNKNOWN, (None, "quantization must say"), (4, "quantization must say")]
)
def test_an_unknown_packing_of_the_text_encoder_is_refused(folder: Path, packing: Any, words: str) -> None:
    change_json(folder / CONFIGS[TEXT_ENCODER], quantization=packing, quantization_config=packing)
    assert words in refused(folder)
