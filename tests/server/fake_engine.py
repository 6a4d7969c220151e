"""An engine without a model, for the child process: draws a plain square and misbehaves when the prompt says so.

Words in the prompt: `slow` (a step takes 50 ms), `hold` (steps go on until cancelled or until the gate file is gone),
`abort`, `kill`, `stop`, `hang`, `exit`, `raise`, `oom`, `leak` and `print` (each in the second step).
`cut` stands for a prompt that is longer than the model reads.
A model with `large` in its path takes 3 GB while it is loaded, by this engine's own account.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from bonsai_mlx.errors import DeviceError, MissingLibraryError, NoWriterError, OutOfMemory
from bonsai_mlx.images.bitcode import BitCode
from bonsai_mlx.images.metadata import Recipe
from bonsai_mlx.request import GenerationRequest, Operation, ResolvedEnlarge, ResolvedOperation
from bonsai_mlx.result import Event, GenerationResult

if TYPE_CHECKING:
    from bonsai_mlx.writing.writer import Piece

GATE = "BONSAI_TEST_GATE"  # names a file; while it exists, `hold` holds
_hoard: list[bytearray] = []
_loaded_bytes: dict[str, int] = {}


class FakePipeline:
    """One "model": its path decides the colour, so that pictures of two models differ."""

    def __init__(self, path: str, embeddings: Any) -> None:
        self.path = path
        self.embeddings = {} if embeddings is None else embeddings
        _loaded_bytes[path] = 3_000_000_000 if "large" in path else 0

    def run(
        self,
        request: Operation,
        *,
        pictures: Mapping[str, Image.Image],
        preview: bool = False,
        adapters: Mapping[str, Path],
        upscaler: Path | None = None,
    ) -> Generator[Event, None, None]:
        if isinstance(request, ResolvedEnlarge):
            resolved: ResolvedOperation = request
            steps, width, height = request.steps, request.width, request.height
        else:
            assert isinstance(request, GenerationRequest)
            steps, width, height = request.steps or 1, request.width or 64, request.height or 64
            bits = any(part.startswith("bits") for part in Path(self.path).parts[-2:])
            resolved = request.resolved(steps=steps, size=(width, height), guidance=4.0, bits=bits)
        words = request.prompt.split()
        started = time.perf_counter()
        yield Event("load", 0, 1, 0.0)
        if request.prompt not in self.embeddings:
            self.embeddings[request.prompt] = True
            yield Event("encode", 1, 1, 0.0)
        step = 0
        while step < steps:
            if step == 1:
                misbehave(words)
            if "slow" in words or "hold" in words:
                time.sleep(0.05)
            if "hold" not in words or not Path(os.environ.get(GATE, "-")).exists():
                step += 1
            shown = Image.new("RGB", (width // 8, height // 8), (step % 256, 0, 0)) if preview else None
            seconds = time.perf_counter() - started
            yield Event("denoise", step, steps, seconds, truncated="cut" in words, preview=shown)
        yield Event("decode", 1, 1, time.perf_counter() - started)
        colour = ((request.seed or 0) % 256, len(self.path) % 256, 128)
        yield Event(
            "done",
            1,
            1,
            0.0,
            result=GenerationResult(
                image=Image.new("RGB", (width, height), colour),
                request=resolved,
                truncated="cut" in words,
                timings={"load": 0.001, "encode": 0.001, "denoise": 0.001 * steps, "decode": 0.001, "total": 0.01},
                memory={"peak_bytes": 123_000_000, "mean_active_bytes": 50_000_000, "integral_gb_s": 0.1},
            ),
        )

    def unload(self) -> None:
        _loaded_bytes.clear()
        self.path = ""

    def recipe(self, result: GenerationResult) -> Recipe:
        return Recipe.of(
            result.request,
            variant="binary" if "binary" in self.path else "ternary",
            model="fake",
            truncated=result.truncated or None,
        )


def misbehave(words: list[str]) -> None:
    """Do the first bad thing that is asked for."""
    if "abort" in words:
        os.abort()
    if "kill" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "stop" in words:
        os.kill(os.getpid(), signal.SIGSTOP)
    if "exit" in words:
        os._exit(7)
    if "hang" in words:
        time.sleep(3_600)
    if "raise" in words:
        raise RuntimeError("secret details at 0x7f00deadbeef in /usr/lib/site-packages")
    if "oom" in words:
        raise OutOfMemory("the device ran out of memory at 64x64; choose a smaller size")
    if "gpuoom" in words:
        raise OutOfMemory("the device ran out of memory at 64x64; choose a smaller size") from RuntimeError(
            "[METAL] Command buffer execution failed: Insufficient Memory"
        )
    if "gpu" in words:
        raise DeviceError("the graphics device stopped the work at 64x64; try again")
    if "leak" in words:
        _hoard.append(bytearray(1 << 20))
    if "print" in words:
        sys.stdout.write("a library that prints\n")
        sys.stdout.flush()


class FakeWriter:
    """Says the prompt's words again, one after the other; leaves out the word `lost`. Holds as the pipeline does."""

    def write(self, prompt: str, *, seed: int | None, count: int) -> Generator[Piece, None, None]:
        from bonsai_mlx.writing.survival import survival  # with a writer alone: these imports take as long as all else
        from bonsai_mlx.writing.writer import Piece

        words = prompt.split()
        for proposal in range(count):
            misbehave(words)
            if "nowriter" in words:
                raise NoWriterError("the text encoder of this model was never taught to write; a 4B model's was")
            if "nolibrary" in words:
                raise MissingLibraryError("writing needs the library mlx-lm, which is not installed", "scripts/setup")
            while "hold" in words and Path(os.environ.get(GATE, "-")).exists():
                time.sleep(0.02)
                yield Piece(proposal, "")
            said = [word for word in words if word != "lost"]
            for word in said:
                yield Piece(proposal, f"{word} ")
            text = f"{' '.join(said)} {(seed or 0) + proposal}"
            yield Piece(proposal, text, survival(prompt, text))

    def close(self) -> None:
        pass


class FakeCodec:
    """Codes of plain squares; those of the models "oom", "raz" and "die" do a bad thing."""

    def encode(self, picture: Image.Image, size: tuple[int, int] | None = None) -> BitCode:
        width, height = size or picture.size
        return BitCode(b"abc", width, height, bytes(width * height // 64))

    def decode(self, code: BitCode) -> Image.Image:
        misbehave({b"oom": ["oom"], b"raz": ["raise"], b"die": ["exit"]}.get(code.model, []))
        return Image.new("RGB", (code.width, code.height), (0, 0, code.bits[0]))


class FakeBackend:
    def load(self, path: str, *, memory_limit_bytes: int | None, embeddings: Any, parts: Any = None) -> FakePipeline:
        return FakePipeline(path, embeddings)

    def writer(self, path: str, *, memory_limit_bytes: int | None) -> tuple[FakeWriter, int]:
        return FakeWriter(), 1_000_000

    def codec(self, path: str) -> FakeCodec:
        return FakeCodec()

    def snapshot(self) -> Mapping[str, int]:
        # a megabyte hoarded counts as a gigabyte, so that leaking needs no memory
        process = 50_000_000 + sum(_loaded_bytes.values()) + 1_000_000_000 * len(_hoard)
        return {"mlx_active_bytes": 1_000, "mlx_peak_bytes": 2_000, "mlx_cache_bytes": 10, "process_bytes": process}

    def device(self) -> str:
        return "cpu"


def backend() -> FakeBackend:
    """The entry point that `--engine` of the child names."""
    return FakeBackend()


def stuck() -> FakeBackend:
    """An engine that never becomes ready."""
    time.sleep(3_600)
    return FakeBackend()


def broken() -> FakeBackend:
    """An engine that cannot even start."""
    raise ImportError("no such library")
