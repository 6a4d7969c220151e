"""What the server and the engine's process say to each other: typed messages, each in a frame of known length.

A frame is four bytes, the length of what follows, most significant first, and then one message as MessagePack, in which
pictures are plain bytes. Commands go to the engine, events come from it; a run's events are any number of `Progress`
and `Picture` and then one of `Done`, `Failed` and `Cancelled`. What is longer than its bound, of a kind that is not
known, or not of its kind's fields is a ProtocolError: the other side is no program of ours, or one of another version,
and where its next message begins cannot be known. Knows nothing of processes, queues or HTTP.
"""

from __future__ import annotations

import asyncio
import struct
from typing import IO, Any, Literal, TypeAlias, TypeVar

import msgspec

from bonsai_mlx.pipelines.chains import MAX_BYTES as MAX_CHAIN_BYTES
from bonsai_mlx.request import MAX_CANVAS_AREA, MAX_PROMPT_CHARS

Phase = Literal["enlarge", "load", "encode", "encode image", "denoise", "decode"]

# the longest prompt in the widest script, as much for all else, and the longest chain
MAX_COMMAND_BYTES = 8 * MAX_PROMPT_CHARS + MAX_CHAIN_BYTES
MAX_EVENT_BYTES = 5 * MAX_CANVAS_AREA  # the largest picture, uncompressed in four bytes a pixel, and a fourth more
_HEAD = struct.Struct(">I")


class ProtocolError(ValueError):
    """What came is no message, or what should go is too long for one."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The names of a checkpoint for recipes: the engine knows only the folder that it is loaded from."""

    model: str
    repo: str | None = None
    revision: str | None = None


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Carry out one request. `path` is the checkpoint's folder in the file system's bytes."""

    job: str
    path: bytes
    checkpoint: Checkpoint
    request: dict[str, Any]  # bonsai_mlx.request.as_json
    preview: bool = False
    memory_limit_bytes: int | None = None
    upscaler: bytes | None = None  # the path of its file, in the file system's bytes
    pictures: dict[str, bytes] = {}  # those that the request names, by digest: the paths of PNG files
    adapters: dict[str, bytes] = {}  # the only files that it may name as loras, by name
    # In place of the model's own "text_encoder", "decoder" or "preview_decoder": names, or paths, as bytes.
    parts: dict[str, bytes] = {}
    chain: list[dict[str, Any]] = []  # the steps that led to its pictures, for the recipe: pipelines.chains


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Write on a few words, with the language model of a checkpoint."""

    job: str
    path: bytes  # of the checkpoint's folder, in the file system's bytes
    checkpoint: Checkpoint
    prompt: str
    seed: int
    count: int = 1
    memory_limit_bytes: int | None = None


class Encode(msgspec.Struct, frozen=True, tag="encode"):
    """Make the code of a picture, with a model whose latents are bits."""

    job: str
    path: bytes  # of the checkpoint's folder, in the file system's bytes
    checkpoint: Checkpoint
    picture: tuple[str, bytes]  # its digest, and the path of its PNG file
    size: tuple[int, int] | None = None  # pixels, width x height; None: its own


class Decode(msgspec.Struct, frozen=True, tag="decode"):
    """Make the picture that a code stands for."""

    job: str
    path: bytes
    checkpoint: Checkpoint
    code: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop a run after the step it is in."""

    job: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The first event: the engine can be given work."""

    device: str


class Memory(msgspec.Struct, frozen=True, tag="memory"):
    """What is held at the moment; also the sign that the process lives."""

    mlx_active_bytes: int = 0
    mlx_peak_bytes: int = 0
    mlx_cache_bytes: int = 0
    process_bytes: int = 0
    settled: str | None = None  # after a run of this model, with everything freed that is going to be


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """`step` of `steps` within a phase is finished."""

    job: str
    phase: Phase
    step: int
    steps: int
    truncated: bool = False  # the prompt is longer than the model reads
    preview: bytes | None = None  # PNG
    bits: bytes | None = None  # PNG, of models that draw in bits


class Parent(msgspec.Struct, frozen=True):
    """A picture that another was made from, by its id, and what it was for that: "input", "mask"."""

    id: str
    role: str


class Picture(msgspec.Struct, frozen=True, tag="picture"):
    """A finished picture. It is nowhere but here until the server has saved it."""

    job: str
    png: bytes  # with the recipe inside
    thumbnail: bytes  # WebP
    width: int
    height: int
    recipe: dict[str, Any]  # as it is in the file
    timings: dict[str, float]  # seconds per phase, with the loading before the run
    peak_memory_bytes: int | None = None
    parents: tuple[Parent, ...] = ()


class Written(msgspec.Struct, frozen=True, tag="written"):
    """A part of a text. The last one of each proposal is `whole`, and says what of the words it lacks."""

    job: str
    proposal: int
    text: str
    whole: bool = False
    missing: tuple[str, ...] = ()
    note: str | None = None  # for people


class Coded(msgspec.Struct, frozen=True, tag="coded"):
    """A code, and of one that was decoded its picture."""

    job: str
    code: str
    width: int
    height: int
    png: bytes | None = None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Every picture of the run has been sent."""

    job: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The run has ended early, for a reason in words for people."""

    job: str
    code: str
    message: str
    remedy: str | None = None
    device_lost: bool = False  # nothing that the process holds may be used again


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The run has ended because it was asked to."""

    job: str


Work: TypeAlias = Run | Write | Encode | Decode
Command: TypeAlias = Work | Cancel
RunEvent: TypeAlias = Progress | Picture | Written | Coded | Done | Failed | Cancelled
Event: TypeAlias = Ready | Memory | RunEvent

T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def framed(message: Command | Event) -> bytes:
    """The message as it is written. ProtocolError if it is too long, or has text that no UTF-8 can hold."""
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise ProtocolError("a text in the message holds half of a character") from error
    limit = MAX_COMMAND_BYTES if isinstance(message, Command) else MAX_EVENT_BYTES
    return _HEAD.pack(_checked(len(body), limit)) + body


async def next_event(stream: asyncio.StreamReader) -> Event | None:
    """The next event, or None at the end, also in the middle of one. ProtocolError."""
    try:
        (length,) = _HEAD.unpack(await stream.readexactly(_HEAD.size))
        return _decoded(_events, await stream.readexactly(_checked(length, MAX_EVENT_BYTES)))
    except asyncio.IncompleteReadError:
        return None


def next_command(stream: IO[bytes]) -> Command | None:
    """The next command, or None at the end, also in the middle of one. ProtocolError. Blocks."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    (length,) = _HEAD.unpack(head)
    body = stream.read(_checked(length, MAX_COMMAND_BYTES))
    return _decoded(_commands, body) if len(body) == length else None


def _checked(length: int, limit: int) -> int:
    if length > limit:
        raise ProtocolError(f"a message of {length:,} bytes; at most {limit:,} are allowed")
    return length


def _decoded(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:  # its messages name types and fields, and no contents
        raise ProtocolError(f"a message cannot be read: {error}") from error
