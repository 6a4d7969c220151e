"""`bonsai-mlx encoders`: how near a text encoder comes to the one that a model was trained with.

Both encode the same prompts. What the transformer would read, the hidden states of some layers, is compared token by
token: the cosine of the two, over all tokens that are read. How near is near enough for a picture is not known.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ..errors import BonsaiError, RequestError
from ..flux2 import text_encoder
from ..flux2.checkpoint import Checkpoint
from ..hub import api as hub
from ..hub.catalog import published_names, stand_in
from ..hub.published import TEXT_ENCODERS
from ..printable import printable
from ..runtime import device
from ..text.tokenizer import TokenizedPrompt, Tokenizer
from ..weights.layout import TEXT_ENCODER, TOKENIZER, Elsewhere
from ..weights.spec import precision_of
from ..wording import format_bytes

_THINGS = (
    "a red fox",
    "an old lighthouse in a storm",
    "two children building a sandcastle",
    "a bowl of ramen with steam",
    "a small robot watering plants",
    "a castle on a cliff at dawn",
    "a shop sign that says OPEN",
    "a whale above the clouds",
    "three blue cups on a wooden table",
    "the portrait of a woman with freckles",
)
_WAYS = ("{}", "a photograph of {}, soft light", "{}, ink wash on rice paper", "a wide view of {}", "{}, flat colours")
PROMPTS = tuple(way.format(thing) for thing, way in itertools.product(_THINGS, _WAYS))
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Compared:
    """A candidate against the model's own; each list has a value for each layer that the model reads."""

    name: str
    precision: str
    layers: list[int]
    mean_cosine: list[float]  # over all tokens of all prompts
    worst_cosine: list[float]  # of the prompt whose mean is the smallest
    seconds: float  # for a prompt, on average
    peak_bytes: int  # of MLX while it encodes
    disk_bytes: int


def encoders_command(candidates: Sequence[str], model: str | None, count: int, *, as_json: bool) -> int:
    """Compare and print. Returns 0; BonsaiError."""
    if not 1 <= count <= len(PROMPTS):
        raise RequestError("--prompts", f"{count} is out of range; give a whole number from 1 to {len(PROMPTS)}")
    found = {name: hub.find_part(name, "text encoder") for name in candidates or _here()}
    if not found:
        names = " or ".join(entry.name for entry in TEXT_ENCODERS)
        raise BonsaiError(f"there is none to compare; name a folder, or download {names}")
    rows = []
    for row in compare(_root(model), found, PROMPTS[:count]):
        rows.append(row)
        sys.stderr.write(f"{printable(row.name)} is measured\n")
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    for row in rows:
        print(_line(row))
    print("Cosines of the hidden states, layer by layer: the mean over all tokens, and that of the worst prompt.")
    return 0


def _here() -> list[str]:
    return [entry.name for entry in TEXT_ENCODERS if hub.status(entry).state == "ready"]


def _root(model: str | None) -> Path:
    if model is not None:
        return hub.as_folder(model) or hub.find(model)
    name = published_names()[0]
    local = hub.status(name)
    return local.path if local.state == "ready" and local.path else hub.find(stand_in(name).name)


def _line(row: Compared) -> str:
    pairs = zip(row.layers, row.mean_cosine, row.worst_cosine, strict=True)
    cosines = "  ".join(f"layer {layer}: {mean:.4f}, {worst:.4f}" for layer, mean, worst in pairs)
    sizes = f"{format_bytes(row.disk_bytes)} on disk, {format_bytes(row.peak_bytes)} at most"
    return f"{printable(row.name)} ({row.precision})  {cosines}  {row.seconds:.2f} s a prompt, {sizes}"


def compare(root: Path, candidates: dict[str, Path], prompts: Sequence[str]) -> Iterator[Compared]:
    """The model's own first, against itself, then each candidate. CheckpointError for one that does not fit."""
    own = Checkpoint.open(root)
    tokens = [
        Tokenizer.from_folder(own.folders[TOKENIZER]).encode_prompt(one, own.max_sequence_length) for one in prompts
    ]
    others = {name: Checkpoint.open(root, elsewhere=Elsewhere(text_encoder=path)) for name, path in candidates.items()}
    expected: list[Values] = []
    for name, checkpoint in {"the model's own": own, **others}.items():
        started, peak, states = time.perf_counter(), 0, []
        for one in tokens:
            device.release_cache()
            mx.reset_peak_memory()
            states.append(_states(checkpoint, one))
            peak = max(peak, mx.get_peak_memory())
        seconds = (time.perf_counter() - started) / len(tokens)
        expected = expected or states
        cosines = [_cosines(found, wanted) for found, wanted in zip(states, expected, strict=True)]
        means = np.array([prompt.mean(axis=1) for prompt in cosines])  # [prompts, layers]
        yield Compared(
            name,
            precision_of(checkpoint.text_encoder.bits),
            list(own.prompt_layers),
            [float(value) for value in np.concatenate(cosines, axis=1).mean(axis=1)],
            [float(value) for value in means.min(axis=0)],
            seconds,
            peak,
            sum(path.stat().st_size for path in checkpoint.sources[TEXT_ENCODER].paths),
        )


def _states(checkpoint: Checkpoint, prompt: TokenizedPrompt) -> Values:
    """The hidden states [layers, tokens, width] of the tokens that are no padding."""
    encoding = text_encoder.encode(checkpoint, prompt, device.activation_dtype())
    while True:
        try:
            next(encoding)
        except StopIteration as stop:
            read = np.array(stop.value[0, : prompt.length].astype(mx.float32))
            return np.stack(np.split(read, len(checkpoint.prompt_layers), axis=-1))


def _cosines(found: Values, wanted: Values) -> Values:
    """[layers, tokens]"""
    norms = np.linalg.norm(found, axis=-1) * np.linalg.norm(wanted, axis=-1)
    return np.asarray((found * wanted).sum(axis=-1) / np.maximum(norms, 1e-12))
