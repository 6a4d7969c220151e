"""What goes into a generation and what comes out of it, as plain data.

Nothing here imports MLX: a web server validates requests and reads events without loading a tensor library.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from .errors import RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE_MULTIPLE_PX = 16  # one token covers 16x16 pixels: 8 by the VAE, 2 by patching
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
MAX_STEPS = 100
MAX_SEED = 2**32 - 1
MAX_PROMPT_CHARS = 32_000  # far beyond the 512 tokens that are read, and enough for any client

TRUNCATED = "The prompt is longer than the model can read, and its end was left out. Put what matters most first."

Phase = Literal["load", "encode", "denoise", "decode", "done"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One picture to make. `None` stands for the checkpoint's own recommendation, and for a seed, for a random one."""

    prompt: str
    seed: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    latents: Any = None  # float array [1, in_channels, height/16, width/16] that replaces the seeded noise
    preview: bool = False  # also decode a small approximate picture after every step

    def __post_init__(self) -> None:
        for name in ("seed", "steps", "width", "height"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                with suppress(TypeError):  # what is no integer stays as it is, for `validate` to name
                    object.__setattr__(self, name, operator.index(value))

    def resolved(self, *, steps: int, size: tuple[int, int]) -> GenerationRequest:
        """The request with nothing left open, or RequestError for the first field that is out of bounds."""
        filled = replace(
            self,
            seed=secrets.randbelow(MAX_SEED + 1) if self.seed is None else self.seed,
            steps=steps if self.steps is None else self.steps,
            width=size[0] if self.width is None else self.width,
            height=size[1] if self.height is None else self.height,
        )
        filled.validate()
        return filled

    def validate(self) -> None:
        """Raise RequestError for the first field that is out of bounds; open fields (None) are fine."""
        if not isinstance(self.prompt, str):
            raise RequestError(
                "prompt", f"is not text but {type(self.prompt).__name__}; describe the picture in a few words"
            )
        if not self.prompt.strip():
            raise RequestError("prompt", "is empty; describe the picture in a few words")
        if len(self.prompt) > MAX_PROMPT_CHARS:
            raise RequestError("prompt", f"has {len(self.prompt)} characters; at most {MAX_PROMPT_CHARS} are accepted")
        _check_integer("seed", self.seed, 0, MAX_SEED)
        _check_integer("steps", self.steps, 1, MAX_STEPS)
        for name, value in (("width", self.width), ("height", self.height)):
            _check_integer(name, value, MIN_SIZE_PX, MAX_SIZE_PX)
            if value is not None and value % SIZE_MULTIPLE_PX:
                below = value - value % SIZE_MULTIPLE_PX
                raise RequestError(
                    name, f"{value} is not a multiple of {SIZE_MULTIPLE_PX}; {below} and {below + SIZE_MULTIPLE_PX} are"
                )


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):  # NumPy's and others' integers have become int
        raise RequestError(name, f"{value!r} is not a whole number")
    if not low <= value <= high:
        raise RequestError(name, f"{value} is out of range; give a whole number from {low} to {high}")


def consecutive_seeds(first: int, count: int) -> Iterator[int]:
    """`count` seeds from `first` on; after the largest comes 0."""
    return ((first + offset) % (MAX_SEED + 1) for offset in range(count))


@dataclass(frozen=True, slots=True)
class Event:
    """Where a generation stands. Work happens between two events; `step` of `steps` within `phase` is finished."""

    phase: Phase
    step: int
    steps: int
    elapsed_s: float
    truncated: bool = False  # the prompt is longer than the model reads, and its end is left out; see TRUNCATED
    preview: Image | None = None  # after a denoising step, if asked for: about width/8 x height/8 pixels
    result: GenerationResult | None = None  # on the last event ("done") only


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """A finished picture and how it came about."""

    image: Image  # RGB, width x height
    seed: int
    steps: int
    request: GenerationRequest  # resolved: nothing left open
    truncated: bool = False  # as the events told
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds per phase, and "total"
    memory: Mapping[str, Any] = field(default_factory=dict)  # see memory.RunMemory.summary()
