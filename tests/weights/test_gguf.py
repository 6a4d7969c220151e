"""GGUF files that are damaged or made to do harm: each is refused by name, or is what it says."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import gguf as theirs
import numpy as np
import pytest

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.weights import gguf


def entry(name: bytes, count: int, kind: int, offset: int = 0) -> bytes:
    """What a header says of a tensor of one dimension."""
    return struct.pack(f"<Q{len(name)}sIQIQ", len(name), name, 1, count, kind, offset)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    out = tmp_path / "a.gguf"
    writer = theirs.GGUFWriter(str(out), "flux")
    writer.add_string("general.note", "x" * 40)
    writer.add_array("general.list", [1, 2, 3])
    for name, kind in (("a", "Q8_0"), ("b", "F16"), ("c", "F32")):
        values = np.arange(8 * 64, dtype=np.float32).reshape(8, 64)
        quantisation = theirs.GGMLQuantizationType[kind]
        writer.add_tensor(name, theirs.quants.quantize(values, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def test_a_good_file(path: Path) -> None:
    found, notes = gguf.read_header(path, "get it again")
    assert {name: (item.dtype, item.shape) for name, item in found.items()} == {
        "a": ("Q8_0", (8, 64)),
        "b": ("F16", (8, 64)),
        "c": ("F32", (8, 64)),
    }
    assert notes["general.note"] == "x" * 40


def test_no_change_of_the_header_does_harm(path: Path) -> None:
    data, dice = path.read_bytes(), random.Random(7)
    size, refused = gguf.read_header(path, "")[0]["a"].offset, 0
    for _ in range(600):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            changed[dice.randrange(size)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        path.write_bytes(changed[: dice.choice((len(data), len(data), dice.randrange(len(data))))])
        try:
            found, _ = gguf.read_header(path, "get it again")
        except CheckpointError:
            refused += 1
            continue
        whole = path.stat().st_size
        for item in found.values():  # every tensor lies within the file
            kind = gguf.BY_NAME[item.dtype]
            assert item.offset + int(np.prod(item.shape)) // kind.weights * kind.size <= whole
    assert refused > 300


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "it is a web page, such as one that asks to sign in"),
        (b"nonsense" * 4, "does not begin as GGUF of version 2 or 3"),
        (b"", "ends too early"),
        (b"GGML" + bytes(20), "does not begin as GGUF"),
        (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "does not begin as GGUF of version 2 or 3"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**63, 0), "tensors and 0 notes"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**60), "0 tensors and"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**62), "a text has"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 4, 2**40), "a note has"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 9, 3), "a note is of type 9"),
        (struct.pack("<4sIQQQ17sII", b"GGUF", 3, 0, 1, 17, b"general.alignment", 4, 7), "general.alignment is 7"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 1, 0, 1, b"t", 9), "has 9 dimensions"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + 2 * entry(b"t", 8, 0) + bytes(99), "names the tensor t twice"),
        (struct.pack("<4sIQQQ1sIQQ", b"GGUF", 3, 1, 0, 1, b"t", 2, 2**40, 2), "the tensor t is"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 64, 14, 0), "of type 14; what can be read is F32"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 33, 8, 0), "no whole blocks of 32"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 64, 0, 2**50), "not where the file has room"),
    ],
)
def test_what_is_refused(header: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(header)
    with pytest.raises(CheckpointError, match=reason) as caught:
        gguf.read_header(path, "get it again")
    assert str(path) in str(caught.value)


def test_ternary_weights_of_older_files_are_told_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    header = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + entry(b"t", 256, 42)
    for size, name in ((2 * 34, "Q2_0 in groups of 128"), (4 * 18, "Q2_0")):
        path.write_bytes(header + bytes(-len(header) % 32) + bytes(size))
        assert gguf.read_header(path, "")[0]["t"].dtype == name


def test_scales_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "inf.gguf"
    header = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + struct.pack("<Q1sIQQIQ", 1, b"t", 2, 32, 1, 8, 0)
    path.write_bytes(header + bytes(-len(header) % 32) + struct.pack("<e", np.inf) + bytes(32))
    stored = gguf.read_header(path, "")[0]["t"]
    with pytest.raises(CheckpointError, match="too large, or no numbers"):
        gguf.read(stored, "scales")


def test_a_pipe_or_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for name in ("pipe.gguf", "nowhere.gguf"):
        with pytest.raises(CheckpointError, match=name):
            gguf.read_header(tmp_path / name, "get it again")
