"""A small, quick picture of where a denoising run is heading: by a fitted map, or by a tiny decoder.

The predicted clean latents are turned into colours by one affine map, eight pixels a side for each latent. The map is
fitted once per VAE, by encoding some synthetic pictures with its own encoder, and kept in the user's cache folder.

TAEF2 (see `parts.tiny_decoder`) draws more: all that follows its first resolution is one chain of row strips, of which
no whole map is ever held, so what it takes hardly grows with the picture. Its weights, some megabytes, are read anew
for each preview and dropped with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..nn.layers import Convolution, take
from ..nn.limits import PREVIEW_STRIP_VALUES
from ..runtime import device, environment
from ..weights.layout import PREVIEW, VAE
from ..wording import user_path
from . import vae
from .checkpoint import Checkpoint
from .parts.tiny_decoder import DECODER, POOL_GROUPS, POOL_WIDTH
from .plan import PREVIEW_SIDE_PX
from .strips import Kept, Normalise, Recomputed, Strips, convolved, cut, doubled

Show = Callable[[mx.array], Image.Image]  # packed latents [1, in_channels, h, w] -> a small picture
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

_PICTURES = 16
MOST_PX = 512  # of the longer side of a preview by a tiny decoder
_GROUP_NORM_EPS = 1e-5  # of that


class LatentPreview:
    """Packed latents [1, in_channels, h, w] -> PIL image of 2w x 2h pixels."""

    def __init__(self, mean: mx.array, std: mx.array, matrix: Matrix) -> None:
        """`mean` and `std` are the latents' (see vae.batch_norm), `matrix` is [latent_channels + 1, 3]."""
        self._mean, self._std, self._matrix = mean, std, matrix

    def __call__(self, packed: mx.array) -> Image.Image:
        latents = np.array(vae.unpack_latents(packed.astype(mx.float32), self._mean, self._std))[0]
        rgb = latents @ self._matrix[:-1] + self._matrix[-1]
        return Image.fromarray(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8))


def is_fitted(checkpoint: Checkpoint) -> bool:
    return _read(_cache_file(checkpoint), checkpoint.vae.latent_channels) is not None


def load(
    checkpoint: Checkpoint, dtype: mx.Dtype, as_drawn: Callable[[mx.array], mx.array] = lambda latents: latents
) -> Generator[tuple[int, int], None, LatentPreview]:
    """A generator, so that it can be watched and stopped: yields (pictures encoded, pictures in all) if it must fit.

    `as_drawn` makes of a picture's packed latents what the transformer draws.
    """
    path = _cache_file(checkpoint)
    matrix = _read(path, checkpoint.vae.latent_channels)
    if matrix is None:
        matrix = yield from _fit(checkpoint, dtype, as_drawn)
        with contextlib.suppress(OSError):  # no cache, no harm: it is fitted again by the next process
            _write(path, matrix)
    return LatentPreview(*vae.batch_norm(checkpoint.load(VAE), checkpoint.vae), matrix)


def _fit(
    checkpoint: Checkpoint, dtype: mx.Dtype, as_drawn: Callable[[mx.array], mx.array]
) -> Generator[tuple[int, int], None, Matrix]:
    """The least-squares map [latent_channels + 1, 3] from latents (and a constant) to colours of 0..1."""
    encoder = vae.PixelEncoder(checkpoint, dtype)
    rows, colours = [], []
    for index in range(_PICTURES):
        picture = _synthetic_picture(index)
        packed = as_drawn(encoder(np.asarray(picture)))
        latents = np.array(vae.unpack_latents(packed, encoder.mean, encoder.std))[0]
        small = picture.resize(latents.shape[1::-1], Image.Resampling.BOX)
        rows.append(latents.reshape(-1, latents.shape[-1]))
        colours.append(np.asarray(small, dtype=np.float64).reshape(-1, 3) / 255)
        yield index + 1, _PICTURES
    inputs = np.concatenate(rows)
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    ridge = 1e-3 * len(inputs) * np.eye(inputs.shape[1])
    solution: Matrix = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ np.concatenate(colours))
    return solution


def cache_folder() -> Path:
    """Where small derived data is kept: BONSAI_CACHE, else bonsai-mlx in XDG_CACHE_HOME or ~/.cache, on a Mac too."""
    if chosen := environment.text("BONSAI_CACHE"):
        return user_path(chosen)
    return user_path(environment.text("XDG_CACHE_HOME") or "~/.cache") / "bonsai-mlx"


def _cache_file(checkpoint: Checkpoint) -> Path:
    stat = checkpoint.weights_file(VAE).stat()
    key = hashlib.sha256(f"{checkpoint.weights_file(VAE).resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
    return cache_folder() / f"preview-{key.hexdigest()[:16]}.json"


def _read(path: Path, latent_channels: int) -> Matrix | None:
    try:
        matrix = np.array(json.loads(path.read_text()), dtype=np.float64)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return matrix if matrix.shape == (latent_channels + 1, 3) and np.isfinite(matrix).all() else None


def _write(path: Path, matrix: Matrix) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(json.dumps(matrix.tolist()))
    Path(file.name).replace(path)


def _synthetic_picture(index: int) -> Image.Image:
    rng = np.random.default_rng(index)
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for _ in range(14):
        x, y, radius = rng.integers(0, PREVIEW_SIDE_PX, 3) * (1, 1, 0.35)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(float(index % 3)))


class TinyDecoder:
    """Packed latents [1, in_channels, h, w] as the transformer draws them -> PIL image, its sides 512 at most."""

    def __init__(self, checkpoint: Checkpoint, dtype: mx.Dtype) -> None:
        self._checkpoint, self._dtype = checkpoint, dtype

    def __call__(self, packed: mx.array) -> Image.Image:
        picture = Image.fromarray(np.concatenate([_to_uint8(strip) for strip in self.strips(packed)]))
        return picture.reduce(-(-max(picture.size) // MOST_PX))

    def strips(self, packed: mx.array) -> Strips:
        """The picture's rows [1, rows, 16w, 3], values of about 0 to 1."""
        weights = _TinyWeights(self._checkpoint.load(PREVIEW), self._dtype)
        most = PREVIEW_STRIP_VALUES[device.backend()]
        latents = vae.unpack_latents(packed.astype(mx.float32), mx.array(0.0), mx.array(1.0))
        x: Strips = cut([(mx.tanh(latents / 3) * 3).astype(self._dtype)], most // 2)
        for index, kind in enumerate(DECODER):
            layer = weights.of(index)
            match kind:
                case "relu":
                    x = map(_relu, x)
                case "resized":
                    x = doubled(x, most)
                case "block":
                    x = _block(x, layer)
                case "pooled":
                    x = _block(_pooled(Kept(x), layer), layer)
                case _:
                    x = convolved(x, _convolution(layer))
        return x


class _TinyWeights:
    """The tensors of layer after layer, in MLX's channels-last order."""

    def __init__(self, tensors: dict[str, mx.array], dtype: mx.Dtype) -> None:
        self._tensors, self._dtype = tensors, dtype

    def of(self, index: int) -> dict[str, mx.array]:
        found = take(self._tensors, f"decoder.layers.{index}.")
        return {name: (t.transpose(0, 2, 3, 1) if t.ndim == 4 else t).astype(self._dtype) for name, t in found.items()}


def _convolution(tensors: dict[str, mx.array], prefix: str = "") -> Convolution:
    weight = tensors[f"{prefix}weight"]
    conv = Convolution(weight.shape[-1], weight.shape[0], weight.shape[1])
    conv.weight = weight
    conv.bias = tensors.get(f"{prefix}bias", mx.zeros((weight.shape[0],), weight.dtype))
    return conv


def _relu(x: mx.array) -> mx.array:
    return mx.maximum(x, 0)


def _block(x: Strips, tensors: dict[str, mx.array]) -> Strips:
    """relu(x + conv(relu(conv(relu(conv(x))))))."""
    first, second, third = (_convolution(tensors, f"conv.{place}.") for place in (0, 2, 4))
    waiting: deque[mx.array] = deque()
    hidden = convolved(convolved(_passed(x, waiting), first), second, _relu)
    return _added(convolved(hidden, third, _relu), waiting)


def _passed(x: Strips, waiting: deque[mx.array]) -> Strips:
    """The strips of x, which are also needed again when their sum comes."""
    for strip in x:
        waiting.append(strip)
        yield strip
        del strip


def _added(x: Strips, waiting: deque[mx.array]) -> Strips:
    for strip in x:
        out = _relu(strip + waiting.popleft())
        mx.eval(out)
        del strip
        yield out
        del out


def _pooled(x: Kept, tensors: dict[str, mx.array]) -> Iterator[mx.array]:
    """x with what a GroupNorm over all of the map, between two 1x1 convolutions, makes of it added."""
    norm = nn.GroupNorm(POOL_GROUPS, POOL_WIDTH, eps=_GROUP_NORM_EPS)
    norm.weight, norm.bias = tensors["pool.1.weight"], tensors["pool.1.bias"]
    widened = partial(_widened, weight=tensors["pool.0.weight"])
    normalise = Normalise(Recomputed(x, partial(map, widened)).strips(), norm)
    for strip in x.taken():
        out = strip + mx.conv2d(_relu(normalise.affine(widened(strip))), tensors["pool.3.weight"])
        mx.eval(out)
        del strip
        yield out
        del out


def _widened(strip: mx.array, weight: mx.array) -> mx.array:
    return mx.conv2d(strip, weight)


def _to_uint8(strip: mx.array) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.array(mx.round(mx.clip(strip[0].astype(mx.float32), 0, 1) * 255).astype(mx.uint8))
