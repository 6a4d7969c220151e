"""An upscaler's file: which network it holds, by the names and shapes of its tensors, and that it holds nothing else.

A file that anybody may have written is checked before MLX reads it: its header, its kind, every tensor, and afterwards
that all values are finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from ..errors import UpscalerError
from ..weights.safetensors import Stored, read_contents
from .networks import Compact, Network, RRDBNet

SUFFIX = ".safetensors"
_TYPES = ("F16", "BF16", "F32")
_MOST_BYTES = 1 << 30  # the largest published one has 67 MB
_MOST_WIDTH, _MOST_BLOCKS = 256, 64
_KINDS = "RRDBNet (Real-ESRGAN x2plus, x4plus and its kin) or its compact network (realesr-general-x4v3)"
_FOLDED = {12: 2, 3: 4}  # channels that go into an RRDBNet -> its scale


def open_upscaler(path: Path) -> Network:
    """The network with its weights, float32. UpscalerError says what is wrong with the file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UpscalerError(f"{path.name}: is larger than any upscaler of the kinds that are known")
        tensors = read_contents(path).tensors
    except OSError as error:
        raise UpscalerError(f"{path.name}: {error.strerror or error}") from error
    except ValueError as error:
        raise UpscalerError(f"{path.name}: is no whole safetensors file ({error})") from error
    network = _network(path.name, tensors)
    expected = {name: _stored_shape(value) for name, value in tree_flatten(network.parameters())}
    _check(path.name, tensors, expected)
    loaded = mx.load(str(path), format="safetensors")
    assert isinstance(loaded, dict)  # noqa: S101  what a safetensors file holds
    weights = [(name, _channels_last(loaded[name].astype(mx.float32))) for name in expected]
    if not all(mx.isfinite(value).all().item() for _, value in weights):
        raise UpscalerError(f"{path.name}: holds values that are not finite")
    network.load_weights(weights, strict=True)
    return network


def _network(name: str, tensors: Mapping[str, Stored]) -> RRDBNet | Compact:
    if "conv_first.weight" in tensors:
        width, channels = _outer(name, tensors, "conv_first.weight")
        grown, _ = _outer(name, tensors, "body.0.rdb1.conv1.weight")
        blocks = len({key.split(".")[1] for key in tensors if key.startswith("body.")})
        if channels not in _FOLDED or blocks > _MOST_BLOCKS:
            raise _unknown(name)
        return RRDBNet(_FOLDED[channels], width, grown, blocks)
    if "body.0.weight" in tensors:
        width, channels = _outer(name, tensors, "body.0.weight")
        last = max((int(part) for key in tensors if (part := key.split(".")[1]).isdecimal()), default=0)
        out, _ = _outer(name, tensors, f"body.{last}.weight")
        scale = {12: 2, 27: 3, 48: 4}.get(out)
        if channels != 3 or scale is None or last % 2 or not 4 <= last <= 2 * _MOST_BLOCKS:
            raise _unknown(name)
        return Compact(scale, width, last // 2 - 1)
    raise _unknown(name)


def _outer(name: str, tensors: Mapping[str, Stored], key: str) -> tuple[int, int]:
    shape = tensors[key].shape if key in tensors else ()
    if len(shape) != 4 or not all(0 < side <= _MOST_WIDTH for side in shape):
        raise _unknown(name)
    return shape[0], shape[1]


def _unknown(name: str) -> UpscalerError:
    return UpscalerError(f"{name}: is no upscaler of a kind that is known: {_KINDS}")


def _check(name: str, tensors: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]]) -> None:
    if missing := sorted(expected.keys() - tensors.keys()):
        raise UpscalerError(f"{name}: lacks {missing[0]} ({len(missing)} tensors are missing)")
    if further := sorted(tensors.keys() - expected.keys()):
        raise UpscalerError(f"{name}: holds {further[0][:80]!r}, which belongs to no such network")
    for key, shape in expected.items():
        if tensors[key].shape != shape or tensors[key].dtype not in _TYPES:
            found = f"{tensors[key].dtype} {list(tensors[key].shape)}"
            raise UpscalerError(f"{name}: {key} is {found}; expected is {' or '.join(_TYPES)} {list(shape)}")


def _stored_shape(value: mx.array) -> tuple[int, ...]:
    """As files have it: channels before rows and columns."""
    shape = value.shape
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else tuple(shape)


def _channels_last(value: mx.array) -> mx.array:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
