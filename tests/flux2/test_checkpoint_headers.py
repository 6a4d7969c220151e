"""Weight files by hand: each breaks one rule of the format, or one of ours, and is refused before MLX sees it.

The specification agrees with every header, right or wrong, so that nothing but the rule itself can refuse it.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.weights.headers import verify_weights
from bonsai_mlx.weights.spec import TensorSpec
from tests.stress._safetensors_spec import reason_to_refuse

A = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
B = {"dtype": "U32", "shape": [3], "data_offsets": [16, 28]}
DATA = bytes(range(28))


def text(**entries: Any) -> str:
    """The header of a file with the tensors a and b, with these entries instead or beside."""
    return json.dumps({"a": A, "b": B} | entries)


def content(header: str | bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def promised(header: str | bytes) -> dict[str, TensorSpec]:
    """What the header says, as far as it can be read: a configuration that wants just that."""
    try:
        entries = json.loads(header)
        return {
            name: TensorSpec((entry["dtype"],), tuple(entry["shape"]))
            for name, entry in entries.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {"a": TensorSpec(("F32",), (2, 2)), "b": TensorSpec(("U32",), (3,))}


RIGHT = {
    "plain": (text(), DATA),
    "padded with spaces": (text() + " " * 8, DATA),
    "with notes": (text(__metadata__={"format": "mlx"}), DATA),
    "with no notes, as MLX writes it": (text(__metadata__=None), DATA),
    "in another order": (json.dumps({"b": B, "a": A}), DATA),
    "a scalar": (text(c={"dtype": "F16", "shape": [], "data_offsets": [28, 30]}), DATA + b"xx"),
    "an empty tensor": (text(c={"dtype": "F16", "shape": [0, 4], "data_offsets": [28, 28]}), DATA),
}

WRONG: dict[str, str | bytes] = {
    "a negative side": text(a=A | {"shape": [-2, -2]}),
    "a side beyond 64 bits": text(a=A | {"shape": [2**64 + 4]}),
    "sides whose product wraps to the right size": text(a=A | {"shape": [2**62 + 4]}),
    "sides whose product wraps to nothing": text(a=A | {"shape": [2**32, 2**32]}),
    "a side that is right in 32 bits": text(a=A | {"shape": [2, 2 + 2**32]}),
    "one fraction": text(a=A | {"shape": [2.0, 2]}),
    "a truth value": text(a=A | {"shape": [True, 4]}),
    "a side in words": text(a=A | {"shape": ["2", 2]}),
    "a list of lists": text(a=A | {"shape": [[2, 2]]}),
    "no shape": text(a={"dtype": "F32", "data_offsets": [0, 16]}),
    "a hole before": text(a=A | {"data_offsets": [4, 20]}),
    "a hole between": text(b=B | {"shape": [2], "data_offsets": [20, 28]}),
    "two over the same bytes": text(b=B | {"data_offsets": [0, 12]}),
    "two that overlap": text(b=B | {"shape": [4], "data_offsets": [12, 28]}),
    "an end beyond the file": text(b=B | {"shape": [30], "data_offsets": [16, 136]}),
    "an end before its beginning": text(a=A | {"data_offsets": [16, 0]}),
    "a negative offset": text(a=A | {"data_offsets": [-16, 0]}),
    "offsets as fractions": text(a=A | {"data_offsets": [0.0, 16.0]}),
    "three offsets": text(a=A | {"data_offsets": [0, 8, 16]}),
    "a size that is not the shape's": text(a=A | {"shape": [3]}),
    "a dtype of another size": text(a=A | {"dtype": "F64"}),
    "a dtype in small letters": text(a=A | {"dtype": "f32"}),
    "a dtype that does not exist": text(a=A | {"dtype": "F128"}),
    "a name twice": text()[:-1] + f', "a": {json.dumps(A)}}}',
    "a name twice, spelled differently": text()[:-1] + f', "\\u0061": {json.dumps(A)}}}',
    "a key twice": text().replace('"shape": [3]', '"shape": [3], "shape": [4]'),
    "half a surrogate pair": text().replace('"a"', '"\\ud800"'),
    "notes that are no text": text(__metadata__={"steps": 4}),
    "notes in notes": text(__metadata__={"a": {"b": "c"}}),
    "a space before": " " + text(),
    "a line break before": "\n" + text(),
    "a line break behind": text() + "\n",
    "a zero behind": text() + "\0",
    "a second object behind": text() + "{}",
    "a comma too many": text()[:-1] + ",}",
    "not a number": text(b=B | {"shape": [float("nan")]}),
    "nested deeply": text()[:-1] + ', "c": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a list": f"[{text()}]",
    "a byte order mark": b"\xef\xbb\xbf" + text().encode(),
    "two bytes for each letter": text().encode("utf-16"),
    "a letter that is none": text().encode().replace(b'"b"', b'"\xff"'),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_the_format_allows_is_read(tmp_path: Path, case: str) -> None:
    header, data = RIGHT[case]
    path = tmp_path / "right.safetensors"
    path.write_bytes(content(header, data))
    verify_weights(path, promised(header))
    assert reason_to_refuse(path.read_bytes()) is None


@pytest.mark.parametrize("case", WRONG)
def test_what_the_format_forbids_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content(WRONG[case]))
    assert reason_to_refuse(path.read_bytes()) is not None
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors"):
        verify_weights(path, promised(WRONG[case]))


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\0", DATA + bytes(4_096)], ids=len)
def test_data_of_another_size_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content(text(), data))
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors"):
        verify_weights(path, promised(text()))


@pytest.mark.parametrize("length", [0, 1, 27, 1_000_000, 2**31, 2**63, 2**64 - 1])
def test_a_length_of_the_header_that_lies_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content(text(), DATA, length))
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors"):
        verify_weights(path, promised(text()))


def test_a_side_that_mlx_would_cut_off_is_refused(tmp_path: Path) -> None:
    """The format allows it, next to a side of nothing."""
    header = text(c={"dtype": "F32", "shape": [0, 2**40], "data_offsets": [28, 28]})
    path = tmp_path / "long.safetensors"
    path.write_bytes(content(header))
    assert reason_to_refuse(path.read_bytes()) is None
    with pytest.raises(CheckpointError, match="longer than can be loaded"):
        verify_weights(path, promised(header))
