"""A small, quick picture of where a denoising run is heading.

The predicted clean latents are turned into colours by one affine map, eight pixels a side for each latent. The map is
fitted once per VAE, by encoding some synthetic pictures with its own encoder, and kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import mlx.core as mx
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..runtime import environment
from ..weights.layout import VAE
from ..wording import user_path
from . import vae
from .checkpoint import Checkpoint
from .plan import PREVIEW_SIDE_PX

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

_PICTURES = 16


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
