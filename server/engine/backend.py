"""What the engine's process draws and writes with: the interface of it, and the one that is made of MLX."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bonsai_mlx import prepare

if TYPE_CHECKING:
    from PIL.Image import Image

    from bonsai_mlx.images.bitcode import BitCode
    from bonsai_mlx.images.recipe import Recipe
    from bonsai_mlx.request import Operation
    from bonsai_mlx.result import Event, GenerationResult
    from bonsai_mlx.writing.writer import Piece


class EnginePipeline(Protocol):
    """What is needed of a loaded model; `bonsai_mlx.Pipeline` is one."""

    @property
    def embeddings(self) -> Any: ...
    def run(
        self,
        request: Operation,
        *,
        pictures: Mapping[str, Image],
        adapters: Mapping[str, Path],
        preview: bool = False,
        upscaler: Path | None = None,
    ) -> Generator[Event, None, None]: ...
    def unload(self) -> None: ...
    def recipe(self, result: GenerationResult) -> Recipe: ...


class EngineWriter(Protocol):
    """What writes; `bonsai_mlx.writing.writer.Writer` is one."""

    def write(self, prompt: str, *, seed: int | None, count: int) -> Generator[Piece, None, None]: ...
    def close(self) -> None: ...


class EngineCodec(Protocol):
    """What makes codes; `bonsai_mlx.bits.codec.Codec` is one."""

    def encode(self, picture: Image, size: tuple[int, int] | None = None) -> BitCode: ...
    def decode(self, code: BitCode) -> Image: ...


class EngineBackend(Protocol):
    """Where models come from; tests bring one of their own."""

    def load(
        self, path: str, *, memory_limit_bytes: int | None, embeddings: Any, parts: Mapping[str, str]
    ) -> EnginePipeline: ...
    def writer(self, path: str, *, memory_limit_bytes: int | None) -> tuple[EngineWriter, int]:
        """What writes for the checkpoint, not loaded yet, and how much memory it needs."""
        ...

    def codec(self, path: str) -> EngineCodec:
        """The autoencoder of a checkpoint whose latents are bits; CheckpointError for another."""
        ...

    def snapshot(self) -> Mapping[str, int]: ...
    def device(self) -> str: ...


class _MlxBackend:
    def load(
        self, path: str, *, memory_limit_bytes: int | None, embeddings: Any, parts: Mapping[str, str]
    ) -> EnginePipeline:
        from bonsai_mlx import Pipeline

        # as a Path: with --models-dir . the folder's path is a name of the catalog, and as text would mean that
        return Pipeline.from_pretrained(
            Path(path),
            memory_limit_bytes=memory_limit_bytes,
            embeddings=embeddings,
            text_encoder=parts.get("text_encoder"),
            decoder=parts.get("decoder"),
            preview_decoder=parts.get("preview_decoder"),
        )

    def writer(self, path: str, *, memory_limit_bytes: int | None) -> tuple[EngineWriter, int]:
        from bonsai_mlx.writing.files import writer_of
        from bonsai_mlx.writing.writer import Writer

        files = writer_of(Path(path))
        return Writer(files, memory_limit_bytes), files.peak_bytes()

    def codec(self, path: str) -> EngineCodec:
        from bonsai_mlx.bits.codec import Codec

        return Codec.from_pretrained(Path(path))

    def snapshot(self) -> Mapping[str, int]:
        from bonsai_mlx.runtime import memory

        return memory.snapshot()

    def device(self) -> str:
        from bonsai_mlx.runtime import device

        return device.backend()


def mlx_backend() -> EngineBackend:
    prepare()
    from bonsai_mlx import pipeline  # noqa: F401  (a moment of work that the first picture need not wait for)

    return _MlxBackend()
