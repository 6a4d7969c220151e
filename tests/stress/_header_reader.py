"""A process that reads weight files as the product does: checked first, then loaded by MLX, touched to the last byte.

One path a line on stdin; for each a line on stdout: "refused", "unloadable" (MLX itself declines), "read", or what is
wrong: "differs" (MLX reads other bytes or shapes than the header says) or "broke" with the exception.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bonsai_mlx.errors import CheckpointError
from bonsai_mlx.weights.headers import verify_weights
from bonsai_mlx.weights.spec import TensorSpec

_MEMORY_BYTES = 16 << 30  # of addresses: enough for MLX, too little to take the machine down
_NOTHING_FITS = {"a": TensorSpec(("F32",), (1,))}


def _header(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    return header, content[8 + size :]


def _as_promised(path: Path) -> dict[str, TensorSpec]:
    """Specifications that agree with the header in everything: nothing but the format itself is left to refuse it."""
    try:
        return {name: TensorSpec((entry["dtype"],), tuple(entry["shape"])) for name, entry in _header(path)[0].items()}
    except Exception:
        return _NOTHING_FITS


def _read(path: Path) -> str:
    try:
        verify_weights(path, _as_promised(path))
    except CheckpointError:
        return "refused"
    try:
        arrays = mx.load(str(path))
        assert isinstance(arrays, dict)
        mx.eval(list(arrays.values()))
    except (RuntimeError, ValueError):
        return "unloadable"
    return "read" if _is_as_written(path, arrays) else "differs"


def _is_as_written(path: Path, arrays: dict[str, mx.array]) -> bool:
    header, data = _header(path)
    if header.keys() != arrays.keys():
        return False
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = arrays[name]
        if list(array.shape) != entry["shape"] or array.nbytes != end - begin:
            return False
        if array.size and np.array(mx.view(array.reshape(-1), mx.uint8)).tobytes() != data[begin:end]:
            return False
    return True


def main() -> None:
    limit = resource.RLIMIT_AS if sys.platform == "linux" else resource.RLIMIT_DATA
    resource.setrlimit(limit, (_MEMORY_BYTES, resource.getrlimit(limit)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        try:
            verdict = _read(Path(line.rstrip("\n")))
        except Exception as error:
            verdict = f"broke {type(error).__name__}: {error}".replace("\n", " ")
        sys.stdout.write(f"{verdict}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
