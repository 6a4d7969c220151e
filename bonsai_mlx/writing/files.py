"""Where the prompt writer of a checkpoint lies, and how much memory it takes. Reads headers; needs no MLX.

A checkpoint's text encoder is a language model where it is a whole Qwen3: then it writes. The seedlings' encoder was
never taught to; they have a small writer of their own beside them, if the program was built with one.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MissingLibraryError, NoWriterError
from ..fileio import read_bounded
from ..flux2.checkpoint import Checkpoint
from ..runtime.extras import install_command
from ..weights.layout import TEXT_ENCODER, TOKENIZER
from ..weights.safetensors import read_contents

SMALLER = "prism-ml/Bonsai-1.7B-mlx-1bit (0.27 GB) or Ternary-Bonsai-4B-mlx-2bit (1.13 GB)"
_LANGUAGE = 32_000  # tokens: a vocabulary of fewer is no language's
_CONTEXT = 1_024  # tokens of instruction, prompt and text that there is room for
_MAX_CONFIG_BYTES = 1 << 20
_MOST = {  # of a config: several times the largest Qwen3
    "num_hidden_layers": 256,
    "hidden_size": 32_768,
    "intermediate_size": 131_072,
    "num_attention_heads": 512,
    "num_key_value_heads": 512,
    "head_dim": 1_024,
    "vocab_size": 1 << 20,
}


@dataclass(frozen=True, slots=True)
class WriterFiles:
    """`weights` is a folder in mlx-lm's layout. `instructed`: it has to be told what to write."""

    weights: Path
    tokenizer: Path
    instructed: bool = True

    def config(self) -> dict[str, Any]:
        """Its config.json. CheckpointError for one that is no Qwen3, or brings code of its own."""
        path = self.weights / "config.json"
        try:
            values = json.loads(read_bounded(path, _MAX_CONFIG_BYTES, follow_symlinks=True))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: it cannot be read ({error})") from error
        if not isinstance(values, dict) or values.get("model_type") != "qwen3" or "model_file" in values:
            raise CheckpointError(f"{path}: it is no Qwen3, which is what writes here")
        for name, most in _MOST.items():
            if not isinstance(values.get(name), int) or not 0 < values[name] <= most:
                raise CheckpointError(
                    f"{path}: {name} is {values.get(name)!r:.40}; a whole number up to {most} is known"
                )
        return values

    def shards(self) -> list[Path]:
        """The files with its tensors. CheckpointError where there are none."""
        found = sorted(self.weights.glob("model*.safetensors"))
        if not found:
            raise CheckpointError(f"{self.weights}: there is no model.safetensors")
        return found

    def checked_shards(self) -> list[Path]:
        """The files, whole ones whose headers say nothing that the format forbids. CheckpointError."""
        for path in self.shards():
            try:
                read_contents(path)
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{path}: is no whole safetensors file ({error})") from error
        return self.shards()

    def peak_bytes(self) -> int:
        """The weights, keys and values of all that is read and written, and what a step computes."""
        config = self.config()
        width = config["num_key_value_heads"] * config["head_dim"]
        cache = 2 * config["num_hidden_layers"] * width * _CONTEXT * 2
        step = 4 * (config["vocab_size"] * 4 + config["intermediate_size"] * _CONTEXT)
        return sum(path.stat().st_size for path in self.shards()) + cache + step


def writer_of(root: Path) -> WriterFiles:
    """What writes for the checkpoint at `root`. NoWriterError, CheckpointError."""
    beside = root.parent / "writer"
    if (beside / "config.json").is_file():
        return WriterFiles(beside, root.parent / "common" / "tokenizer", instructed=False)
    checkpoint = Checkpoint.open(root)
    if checkpoint.text_encoder.vocab_size < _LANGUAGE:
        raise NoWriterError("the text encoder of this model was never taught to write; a 4B model's was")
    if checkpoint.absent.get(TEXT_ENCODER):
        raise NoWriterError("the text encoder of this checkpoint lacks the layers that write")
    return WriterFiles(checkpoint.folders[TEXT_ENCODER], checkpoint.folders[TOKENIZER])


def writer_in(folder: Path) -> WriterFiles:
    """A language model of the user's: a folder in mlx-lm's layout, its tokenizer with it."""
    files = WriterFiles(folder, folder)
    files.config()
    files.shards()
    return files


def require_library() -> None:
    """MissingLibraryError where mlx-lm is not installed; it is looked for, not imported."""
    if importlib.util.find_spec("mlx_lm") is None:
        raise MissingLibraryError("writing needs the library mlx-lm, which is not installed", install_command("writer"))
