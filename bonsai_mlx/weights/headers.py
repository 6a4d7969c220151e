"""The tensors of a file, each with its place, and whether they are the expected ones.

Headers are read by `weights.safetensors`; a GGUF's by `weights.gguf`. Nothing here imports MLX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from .safetensors import read_contents
from .spec import TensorSpec

REPAIR = "download it again"
MAX_SIDE = 2**31 - 1  # MLX keeps sides in 32 bits and would cut longer ones off without a word


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as a file has it, under the file's own name."""

    path: Path
    name: str
    dtype: str  # as safetensors spells it; for GGUF the name of its type
    shape: tuple[int, ...]
    offset: int  # in the file


def read_stored(path: Path, repair: str = REPAIR) -> tuple[dict[str, Stored], Mapping[str, str]]:
    """The tensors of a safetensors file by name, and its notes. CheckpointError unless the file is whole and sound."""
    try:
        contents = read_contents(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: the file is missing; {repair}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error}); {repair}") from error
    tensors = contents.tensors.items()
    return {name: Stored(path, name, item.dtype, item.shape, item.start) for name, item in tensors}, contents.notes


def verify_weights(path: Path, expected: Mapping[str, TensorSpec], repair: str = REPAIR) -> None:
    """Raise CheckpointError unless `path` holds exactly the expected tensors and nothing else."""
    found, _ = read_stored(path, repair)
    verify_tensors(path, {name: (item.dtype, item.shape) for name, item in found.items()}, expected, repair)


def verify_tensors(
    where: Path,
    found: Mapping[str, tuple[str, tuple[int, ...]]],
    expected: Mapping[str, TensorSpec],
    repair: str = REPAIR,
) -> None:
    """Raise CheckpointError, which names `where`, unless these types and shapes are the expected ones and all."""
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"{where}: tensor {missing[0]} is missing ({len(missing)} in all); {repair}")
    if extra := sorted(found.keys() - expected.keys()):
        raise CheckpointError(f"{where}: unexpected tensor {extra[0]} ({len(extra)} in all); {repair}")
    for name, spec in expected.items():
        dtype, shape = found[name]
        if any(side > MAX_SIDE for side in shape):
            raise CheckpointError(f"{where}: tensor {name} is {list(shape)}, longer than can be loaded; {repair}")
        if dtype not in spec.dtypes or shape != spec.shape:
            wanted = f"{' or '.join(spec.dtypes)} {list(spec.shape)}"
            raise CheckpointError(f"{where}: tensor {name} is {dtype} {list(shape)}, expected {wanted}; {repair}")
