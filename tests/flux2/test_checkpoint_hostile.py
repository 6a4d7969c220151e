"""Checkpoints that were made to do harm: headers that lie, files that are none."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.weights.headers import verify_weights
from bonsai_mlx.weights.layout import PACKED, TEXT_ENCODER, TRANSFORMER, VAE
from bonsai_mlx.weights.spec import TensorSpec
from tests.damaged import WEIGHTS, edited, header_of, refused, write_header

JSON_FILES = (
    "model_index.json",
    f"{PACKED.folder(TRANSFORMER)}/config.json",
    f"{PACKED.folder(TRANSFORMER)}/quantization_config.json",
    f"{PACKED.folder(TEXT_ENCODER)}/config.json",
    f"{VAE}/config.json",
    "scheduler/scheduler_config.json",
)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _large(path: Path) -> None:
    path.write_text('{"a":[' + "0," * 500_000 + "0]}")


def _holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


@pytest.mark.parametrize("path", [*JSON_FILES, *WEIGHTS.values()])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_pipe, "it is a pipe, not a file"),
        (_endless, "it is a device, not a file"),
        (_large, "larger than the 65,536 bytes|it is a text in JSON"),
        (_holes, "larger than the 65,536 bytes|header's length is impossible"),
    ],
)
def test_what_is_no_file_of_its_kind_is_not_read(
    folder: Path, path: str, make: Callable[[Path], None], reason: str
) -> None:
    (folder / path).unlink()
    make(folder / path)
    message = refused(folder)
    assert str(folder / path) in message
    assert re.search(reason, message)


def test_a_header_has_a_bound(folder: Path) -> None:
    path = folder / PACKED.weights(VAE)
    header, data = header_of(path)
    write_header(path, json.dumps(header) + " " * (1 << 20), data)
    assert "header's length is impossible" in refused(folder)


def test_a_tensor_named_twice_is_refused(folder: Path) -> None:
    path = folder / PACKED.weights(VAE)
    header, data = header_of(path)
    entry = json.dumps(header["decoder.conv_in.bias"])
    write_header(path, json.dumps(header)[:-1] + f', "decoder.conv_in.bias": {entry}}}', data)
    assert "names a tensor twice" in refused(folder)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_length_that_lies_is_refused(folder: Path, length: int) -> None:
    path = folder / PACKED.weights(VAE)
    header, data = header_of(path)
    write_header(path, json.dumps(header), data, length)
    assert "header's length is impossible" in refused(folder)


@pytest.mark.parametrize("header", ["[]", "{}", "null", '{"a": 1}', "[" * 100_000, '{"a": {"dtype": "BF16"}}', "\xff"])
def test_a_nonsensical_header_is_refused(folder: Path, header: str) -> None:
    path = folder / PACKED.weights(VAE)
    write_header(path, header, b"")
    assert str(path) in refused(folder)


@pytest.mark.parametrize("shape", [[2**62 + 1], [-32], [32.0], [2**32 + 32], ["32"], [[32]]])
def test_shapes_that_crash_mlx_never_reach_it(folder: Path, shape: list[Any]) -> None:
    path = folder / PACKED.weights(VAE)
    edited(path, lambda header: header["decoder.conv_in.bias"].update(shape=shape))
    assert str(path) in refused(folder)


NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([2**31, 2**32 + 4, 2**63, 2**64 - 1, -1]))


ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "U32", "BOOL", "F16", "nonsense"]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2),
    }
)


@given(entries=st.dictionaries(st.sampled_from("abc"), ENTRIES, max_size=3), size=st.integers(0, 64))
def test_no_header_passes_but_the_expected_one(tmp_path_factory: Any, entries: dict[str, Any], size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.safetensors"
    write_header(path, json.dumps(entries), b"\0" * size)
    expected = {"a": TensorSpec(("BF16",), (4, 8))}
    right = {"a": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]}}
    if entries == right and size == 64:
        verify_weights(path, expected)
        return
    with pytest.raises(CheckpointError):
        verify_weights(path, expected)
