"""Safetensors files of which almost all is right: valid ones, changed in up to three ways that follow the grammar.

Noise is refused by every JSON parser; what crashes readers is a well-formed header with numbers nobody thought of.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ._safetensors_spec import BITS

_COMMON = ("F32", "BF16", "F16", "U32", "I64", "U8", "BOOL")
_INTEGERS = (-1, -4, 0, 1, 2**31, 2**32, 2**32 + 4, 2**53, 2**62, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30)
_NO_INTEGERS: tuple[Any, ...] = (4.0, 0.5, 1e300, True, False, None, "4", [], [4], {})
_LENGTHS = (0, 1, 2**31, 2**32, 2**63, 2**64 - 1)


@dataclass
class Raw:
    """JSON that is written as it stands."""

    text: str


@dataclass
class Draft:
    """A file that is being made."""

    entries: list[tuple[Any, Any]]  # names and what they stand for
    data: bytes
    before: bytes = b""  # the header's text
    after: bytes = b""
    length_off_by: int = 0
    length: int | None = None
    rng: random.Random = field(default_factory=random.Random)

    def encode(self) -> bytes:
        pairs = ", ".join(f"{_json(name)}: {_json(value)}" for name, value in self.entries)
        header = self.before + f"{{{pairs}}}".encode("utf-8", "surrogatepass") + self.after
        length = len(header) + self.length_off_by if self.length is None else self.length
        return struct.pack("<Q", length % 2**64) + header + self.data

    def entry(self) -> dict[str, Any]:
        """One of the tensors' entries, to be changed; an empty one when there is no proper one left."""
        proper = [value for name, value in self.entries if isinstance(value, dict) and "shape" in value]
        return self.rng.choice(proper) if proper else {}

    def number(self) -> Any:
        return self.rng.choice(_INTEGERS if self.rng.random() < 0.7 else _NO_INTEGERS)


def _json(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(name)}: {_json(item)}" for name, item in value.items()) + "}"
    return json.dumps(value)


def hostile_file(rng: random.Random) -> bytes:
    """The content of a file; about one in five breaks no rule."""
    draft = _valid(rng)
    for change in rng.choices(_CHANGES, k=rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        change(draft)
    return draft.encode()


def _valid(rng: random.Random) -> Draft:
    entries: list[tuple[str, Any]] = []
    position = 0
    for name in rng.sample(("a", "b", "c.weight", "d/ü", "e"), rng.randint(1, 4)):
        dtype = rng.choice(_COMMON)
        shape = [rng.randint(1, 4) for _ in range(rng.randint(0, 3))]
        size = BITS[dtype] // 8
        for side in shape:
            size *= side
        entries.append((name, {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}))
        position += size
    return Draft(entries, rng.randbytes(position), rng=rng)


# One function for each way to change a file; the first of them break no rule.


def _reorder(draft: Draft) -> None:
    draft.rng.shuffle(draft.entries)


def _pad(draft: Draft) -> None:
    draft.after += b" " * draft.rng.randint(1, 16)


def _add_empty_tensor(draft: Draft) -> None:
    shape = draft.rng.choice(([0], [4, 0], [0, 2**40], [2**64 - 1, 0]))
    draft.entries.append(("empty", {"dtype": "F32", "shape": shape, "data_offsets": [len(draft.data)] * 2}))


def _add_sides_of_one(draft: Draft) -> None:
    entry = draft.entry()
    if isinstance(entry.get("shape"), list):
        entry["shape"] = entry["shape"] + [1] * draft.rng.choice((1, 5, 40))


def _add_metadata(draft: Draft) -> None:
    value: Any = draft.rng.choice(
        ({"format": "mlx"}, {"a": "b" * 1_000}, {}, {"n": 1}, [], "text", {"a": {"b": "c"}}, None)
    )
    draft.entries.append(("__metadata__", value))


def _change_side(draft: Draft) -> None:
    shape = draft.entry().get("shape")
    if isinstance(shape, list) and shape:
        shape[draft.rng.randrange(len(shape))] = draft.number()


def _wrap_around(draft: Draft) -> None:
    """A product that is right in 64 bits and wrong in truth."""
    entry = draft.entry()
    shape, bits = entry.get("shape"), BITS.get(str(entry.get("dtype")), 8)
    if not isinstance(shape, list):
        return
    count = 1
    for side in shape:
        count *= side if type(side) is int else 1
    wrapping = 2**64 * 8 // bits
    entry["shape"] = draft.rng.choice(
        ([count + wrapping], [count + 2**32], [2**32, 2**32], [2**63, 2, *shape], [-count, -1])
    )


def _change_shape(draft: Draft) -> None:
    draft.entry()["shape"] = draft.rng.choice((4, "4", None, {}, [[4]], [None], True, [-1], [2**64 - 1], [True], [2.0]))


def _change_offset(draft: Draft) -> None:
    offsets = draft.entry().get("data_offsets")
    if isinstance(offsets, list) and len(offsets) == 2:
        place = draft.rng.randrange(2)
        near = offsets[place] + draft.rng.choice((-4, -1, 1, 4)) if type(offsets[place]) is int else 0
        offsets[place] = near if draft.rng.random() < 0.6 else draft.number()


def _change_offsets(draft: Draft) -> None:
    entry = draft.entry()
    own = entry.get("data_offsets")
    reverse = own[::-1] if isinstance(own, list) else own
    entry["data_offsets"] = draft.rng.choice((reverse, [], [0], [0, 4, 8], None, "0,4", [0, -1], [2**64 - 4, 0], {}))


def _share_data(draft: Draft) -> None:
    """Two tensors over the same bytes."""
    draft.entries.append(("shared", dict(draft.entry())))


def _leave_hole(draft: Draft) -> None:
    for _, entry in draft.entries:
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if isinstance(offsets, list) and all(type(value) is int for value in offsets):
            entry["data_offsets"] = [value + 8 for value in offsets]
    draft.data = bytes(8) + draft.data


def _change_dtype(draft: Draft) -> None:
    others = (*BITS, "F128", "f32", "float32", "", None, 32, ["F32"], "F32\0")
    draft.entry()["dtype"] = draft.rng.choice(others)


def _name_twice(draft: Draft) -> None:
    name = draft.entries[0][0]
    spelled: Any = name
    if isinstance(name, str) and name and draft.rng.random() < 0.5:
        spelled = Raw(f'"\\u{ord(name[0]):04x}{name[1:]}"')
    draft.entries.append((spelled, dict(draft.entry())))


def _name_key_twice(draft: Draft) -> None:
    entry = draft.entry()
    key = draft.rng.choice(("dtype", "shape", "data_offsets"))
    name = next((n for n, (_, value) in enumerate(draft.entries) if value is entry), None)
    if name is not None and key in entry:
        text = _json(entry)
        draft.entries[name] = (draft.entries[name][0], Raw(f'{text[:-1]}, "{key}": {_json(draft.number())}}}'))


def _odd_name(draft: Draft) -> None:
    name: Any = draft.rng.choice(
        ("", "\0", "../../x", "a" * 10_000, "\u202e", Raw('"\\ud800"'), Raw('"\udcff"'), Raw("7"), "__proto__")
    )
    draft.entries[0] = (name, draft.entries[0][1])


def _change_keys(draft: Draft) -> None:
    entry = draft.entry()
    if draft.rng.random() < 0.5:
        entry.pop(draft.rng.choice(("dtype", "shape", "data_offsets")), None)
    else:
        entry[draft.rng.choice(("strides", "data_offset", "Shape"))] = draft.number()


def _no_entry(draft: Draft) -> None:
    draft.entries.append(
        ("x", draft.rng.choice((None, 1, [], "F32", {}, Raw("NaN"), Raw("1e999"), Raw("-0"), Raw("01"))))
    )


def _nest(draft: Draft) -> None:
    depth = draft.rng.choice((10, 200, 1_500, 100_000))
    bracket = draft.rng.choice(("[]", "{}"))
    inner = "[" * depth + "]" * depth if bracket == "[]" else '{"a":' * depth + "1" + "}" * depth
    draft.entries.append(("deep", Raw(inner)))


def _odd_text(draft: Draft) -> None:
    rng = draft.rng
    if rng.random() < 0.5:
        draft.before = rng.choice((b" ", b"\n", b"\xef\xbb\xbf", b"[", b"\xff\xfe", b"/**/", b"\0"))
    else:
        draft.after = rng.choice((b"\n", b"\t", b"\0", b"}", b",", b"x", b"{}", b"//", b"\xff", b"\r\n  "))


def _more_data(draft: Draft) -> None:
    draft.data += bytes(draft.rng.choice((1, 4, 8, 4_096)))


def _less_data(draft: Draft) -> None:
    draft.data = draft.data[: draft.rng.randrange(len(draft.data) + 1)]


def _wrong_length(draft: Draft) -> None:
    if draft.rng.random() < 0.5:
        draft.length_off_by = draft.rng.choice((-8, -1, 1, 8))
    else:
        draft.length = draft.rng.choice(_LENGTHS)


_CHANGES: tuple[Callable[[Draft], None], ...] = (
    _reorder,
    _pad,
    _add_empty_tensor,
    _add_sides_of_one,
    _add_metadata,
    _change_side,
    _wrap_around,
    _change_shape,
    _change_offset,
    _change_offsets,
    _share_data,
    _leave_hole,
    _change_dtype,
    _name_twice,
    _name_key_twice,
    _odd_name,
    _change_keys,
    _no_entry,
    _nest,
    _odd_text,
    _more_data,
    _less_data,
    _wrong_length,
)
