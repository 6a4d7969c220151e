"""The messages to and from the engine's process: they arrive as they were sent, or not at all."""

from __future__ import annotations

import asyncio
import io
import random
import struct
from typing import Any

import msgspec
import pytest
from PIL import Image

from bonsai_mlx.images.metadata import Recipe, encode_png
from bonsai_mlx.images.thumbnail import thumbnail_webp
from bonsai_mlx.request import MAX_PROMPT_CHARS, MAX_SIZE_PX, ResolvedDraw, as_json
from server.engine.protocol import (
    MAX_COMMAND_BYTES,
    Cancel,
    Cancelled,
    Checkpoint,
    Done,
    Event,
    Failed,
    Memory,
    Picture,
    Progress,
    ProtocolError,
    Ready,
    Run,
    framed,
    next_command,
    next_event,
)

LONGEST = "\N{FOX FACE}" * MAX_PROMPT_CHARS
REQUEST = as_json(ResolvedDraw(LONGEST, 2**32 - 1, 100, 2048, 2048))
EVENTS: tuple[Event, ...] = (
    Ready("metal"),
    Memory(1, 2, 3, 2**40, settled="ternary"),
    Progress("a", "denoise", 1, 4, truncated=True, preview=bytes(range(256))),
    Picture("a", b"\x00png", b"webp", 64, 48, {"prompt": "p", "timings": {"total": 1.5}}, {"load": 0.5}, 7),
    Done("a"),
    Failed("a", "out_of_memory", "words", "a remedy", device_lost=True),
    Cancelled("a"),
)


def events_in(data: bytes) -> list[Event]:
    async def read() -> list[Event]:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        found = []
        while event := await next_event(stream):
            found.append(event)
        return found

    return asyncio.run(read())


def frame(value: Any) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


def test_events_arrive_as_they_were_sent() -> None:
    assert events_in(b"".join(map(framed, EVENTS))) == list(EVENTS)


def test_commands_arrive_as_they_were_sent_and_the_longest_fit() -> None:
    run = Run("a" * 32, b"/models/\xff", Checkpoint("m", "o/r", "f" * 40), REQUEST, True, 2**40)
    stream = io.BytesIO(framed(run) + framed(Cancel("a")))
    assert [next_command(stream), next_command(stream), next_command(stream)] == [run, Cancel("a"), None]


@pytest.mark.slow
def test_the_largest_picture_fits_even_if_it_cannot_be_compressed() -> None:
    size = MAX_SIZE_PX, MAX_SIZE_PX
    picture = Image.frombytes("RGB", size, random.Random(7).randbytes(3 * MAX_SIZE_PX**2))
    recipe = Recipe(LONGEST, 2**32 - 1, 100, MAX_SIZE_PX, MAX_SIZE_PX, variant="ternary", model="ternary")
    png = encode_png(picture, recipe)
    assert len(png) > 3 * MAX_SIZE_PX**2, "it is the worst case"
    sent = Picture("a", png, thumbnail_webp(picture), MAX_SIZE_PX, MAX_SIZE_PX, REQUEST, {})
    assert events_in(framed(sent)) == [sent]


def test_a_message_beyond_its_bound_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        framed(Run("a", b"x" * MAX_COMMAND_BYTES, Checkpoint("m"), {}))
    with pytest.raises(ProtocolError, match="half of a character"):
        framed(Cancel("\ud83e"))


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_the_end_in_the_middle_of_a_message_is_an_end(cut: int) -> None:
    assert events_in(framed(EVENTS[0]) + framed(EVENTS[3])[:cut]) == [EVENTS[0]]
    assert next_command(io.BytesIO(framed(Cancel("a" * 32))[:cut])) is None


@pytest.mark.parametrize(
    "data",
    [
        frame({"type": "painted", "job": "a"}),
        frame({"type": "run", "job": "a"}),  # a command is no event
        frame({"job": "a"}),
        frame({"type": "done"}),
        frame({"type": "done", "job": 7}),
        frame({"type": "done", "job": None}),
        frame({"type": "progress", "job": "a", "phase": "dream", "step": 1, "steps": 1}),
        frame({"type": "progress", "job": "a", "phase": "load", "step": 1.5, "steps": 1}),
        frame({"type": "progress", "job": "a", "phase": "load", "step": True, "steps": 1}),
        frame({"type": "memory", "process_bytes": "12"}),
        frame({"type": "picture", "job": "a", "png": 7, "thumbnail": b"", "width": 1, "height": 1, "recipe": {}}),
        frame([]),
        frame(None),
        struct.pack(">I", 3) + b"\xc1\xc1\xc1",
        struct.pack(">I", 0),
        struct.pack(">I", 2**32 - 1),
        b'{"event": "done"}',
    ],
)
def test_what_is_no_event_is_told(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        events_in(data)


@pytest.mark.parametrize(
    "data",
    [
        frame({"type": "stop"}),
        frame({"type": "done", "job": "a"}),
        frame({"type": "run", "job": "a", "path": "/models", "checkpoint": {"model": "m"}}),
        frame({"type": "cancel", "job": ["a"]}),
        struct.pack(">I", MAX_COMMAND_BYTES + 1),
    ],
)
def test_what_is_no_command_is_told(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        next_command(io.BytesIO(data))
