"""JSON as typed values: what fits, and the sentence for what does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from bonsai_mlx.decoding import Check, Flag, Number, Text, Whole, decode
from bonsai_mlx.weights.spec import Dimensions, Pair, Positive, up_to


def _even(value: int) -> None:
    if value % 2:
        raise ValueError(f"{value} is odd")


@dataclass(frozen=True, slots=True)
class Probe:
    name: Text
    note: Text | None = None
    on: Flag = False
    seed: Whole = 0
    share: Number | None = None
    times: Mapping[str, Number] = field(default_factory=dict)
    depth: Annotated[int, up_to(10)] = 1
    scale: Positive = 1.0
    axes: Dimensions = (1,)
    sides: Pair = (1, 1)
    even: Annotated[int, Check(_even)] = 0


def test_what_fits() -> None:
    values = {"name": "\ud800", "seed": -5, "share": 3, "times": {"a": 1}, "axes": [1, 2], "sides": [3, 4], "other": {}}
    found = decode(Probe, values)
    assert found == Probe("\ud800", seed=-5, share=3.0, times={"a": 1.0}, axes=(1, 2), sides=(3, 4))
    assert type(found.share) is float


WHOLE = "a whole number"
_NO_DEPTHS: tuple[Any, ...] = (True, 1.0, "1", None, 0, 11)
_NO_SCALES: tuple[Any, ...] = (0, -1.0, "2", float("inf"))
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": 7}, "name must be a text, not 7"),
    ({"note": b"x"}, "note must be a text, not b'x'"),
    ({"on": 1}, "on must be true or false, not 1"),
    ({"seed": 7.0}, f"seed must be {WHOLE}, not 7.0"),
    ({"seed": True}, f"seed must be {WHOLE}, not True"),
    ({"seed": "7"}, f"seed must be {WHOLE}, not '7'"),
    ({"seed": 2**63}, f"seed must be {WHOLE}, not 9223372036854775808"),
    ({"share": float("nan")}, "share must be a finite number, not nan"),
    ({"share": True}, "share must be a finite number, not True"),
    ({"times": {"a": "1"}}, "times must be a finite number, not {'a': '1'}"),
    *(
        ({"depth": value}, f"depth must be a whole number from 1 to 10, not {value!r}")
        for value in (True, 1.0, "1", None, 0, 11)
    ),
    *(
        ({"scale": value}, f"scale must be a finite number above 0, not {value!r}")
        for value in (0, -1.0, "2", float("inf"))
    ),
    ({"axes": []}, "axes must be a list of some whole numbers, not []"),
    ({"axes": "12"}, "axes must be a list of some whole numbers, not '12'"),
    ({"sides": 5}, "sides must be a list of 2 whole numbers, not 5"),
    ({"even": 3}, "even 3 is odd"),
]


@pytest.mark.parametrize(("values", "words"), REFUSED)
def test_what_does_not_fit(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.split()[0]) as caught:
        decode(Probe, {"name": "x"} | values)
    assert str(caught.value) == words


@pytest.mark.parametrize("value", [[1], [1, 2, 3], [1, None], [1, 2**30]])
def test_a_pair_is_two_dimensions(value: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^sides must be a list of 2 whole numbers, not "):
        decode(Probe, {"name": "x", "sides": value})


def test_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"^the key 'name' is missing$"):
        decode(Probe, {"note": "x"})


def test_a_message_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(ValueError, match="depth") as caught:
        decode(Probe, {"name": "x", "depth": "9" * 10_000})
    assert len(str(caught.value)) < 200


@pytest.mark.slow
def test_threads_may_meet_a_type_for_the_first_time_together() -> None:
    """In a process of its own: where it goes wrong, the process is gone."""
    code = """
import dataclasses, sys, threading
from bonsai_mlx.decoding import Text, Whole, decode

sys.setswitchinterval(1e-6)
together = threading.Barrier(8)


def meet(kind, values):
    together.wait()
    decode(kind, values)


for _ in range(200):
    kind = dataclasses.make_dataclass("Kind", [(f"f{i}", Whole if i % 3 else Text) for i in range(40)])
    values = {f"f{i}": 1 if i % 3 else "x" for i in range(40)}
    threads = [threading.Thread(target=meet, args=(kind, values)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
