"""The VAE in strips: the same picture in less memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from bonsai_mlx.flux2 import vae
from bonsai_mlx.flux2.checkpoint import Checkpoint
from bonsai_mlx.flux2.parts.vae_memory import encoding_image
from bonsai_mlx.flux2.vae import Image8
from bonsai_mlx.runtime import device
from bonsai_mlx.weights.layout import VAE

CHANNELS = 8  # of every feature map here: what is tested is the cutting, not the widths
WHOLE = 1 << 40  # values: never cut


@pytest.fixture
def variant() -> str:
    """Both have the same VAE."""
    return "ternary"


def finish(decoding: Generator[tuple[int, int], None, Image8]) -> tuple[list[tuple[int, int]], Image8]:
    """What it yields, and what it returns."""
    events = []
    while True:
        try:
            events.append(next(decoding))
        except StopIteration as stop:
            return events, stop.value


def decoded(
    checkpoint: Checkpoint, latents: mx.array, strip_values: int, *, recompute: bool = False
) -> tuple[Image8, int]:
    """The pixels, and the bytes of MLX's peak above what was held before."""
    mx.eval(latents)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    _, pixels = finish(vae.decode(checkpoint, latents, mx.float32, strip_values=strip_values, recompute=recompute))
    return pixels, mx.get_peak_memory() - before


def noise(checkpoint: Checkpoint, rows: int, columns: int) -> mx.array:
    return mx.random.normal((1, checkpoint.transformer.in_channels, rows, columns), key=mx.random.key(3))


@pytest.fixture(scope="module")
def narrow(tiny_checkpoint: Callable[..., Path]) -> Checkpoint:
    """A checkpoint whose VAE is quick at any size."""
    return Checkpoint.open(tiny_checkpoint(vae={"block_out_channels": [CHANNELS] * 4, "norm_num_groups": 4}))


@pytest.fixture(scope="module")
def whole_256(narrow: Checkpoint) -> tuple[Image8, int]:
    """A picture of 256x256, decoded in one piece, and the peak."""
    return decoded(narrow, noise(narrow, 16, 16), WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 17, 50])
def test_strips_give_the_whole_picture_in_less_memory(
    narrow: Checkpoint, whole_256: tuple[Image8, int], rows: int
) -> None:
    expected, whole_peak = whole_256
    pixels, peak = decoded(narrow, noise(narrow, 16, 16), rows * 256 * CHANNELS)
    assert pixels.shape == (256, 256, 3)
    assert np.ptp(expected) > 100  # not a blank picture
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1
    assert peak < 0.7 * whole_peak


@pytest.mark.slow
def test_the_same_at_512(narrow: Checkpoint) -> None:
    latents = noise(narrow, 32, 32)
    expected, whole_peak = decoded(narrow, latents, WHOLE)
    pixels, peak = decoded(narrow, latents, 15 * 512 * CHANNELS)
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1
    assert peak < 0.4 * whole_peak


@pytest.mark.slow
def test_maps_that_are_computed_anew_give_the_same_pixels_in_less_memory(narrow: Checkpoint) -> None:
    latents, rows = noise(narrow, 48, 48), 24
    expected, kept_peak = decoded(narrow, latents, rows * 768 * CHANNELS)
    pixels, peak = decoded(narrow, latents, rows * 768 * CHANNELS, recompute=True)
    assert np.array_equal(pixels, expected)
    assert peak < 0.7 * kept_peak  # 0.62 as measured


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(4, 5), (5, 4)])
@pytest.mark.parametrize("strip_values", [1, 20_000])
def test_strips_of_one_row_give_the_whole_picture(
    seedling: Path, rows: int, columns: int, strip_values: int, recompute: bool
) -> None:
    checkpoint = Checkpoint.open(seedling)
    latents = noise(checkpoint, rows, columns)
    expected, _ = decoded(checkpoint, latents, WHOLE)
    pixels, _ = decoded(checkpoint, latents, strip_values, recompute=recompute)
    assert pixels.shape == (16 * rows, 16 * columns, 3)
    assert np.ptp(expected) > 100  # not a blank picture
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1


def test_progress_counts_up_to_its_total(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    events, _ = finish(vae.decode(checkpoint, noise(checkpoint, 4, 4), mx.float32))
    total = events[0][1]
    assert events == [(done, total) for done in range(1, total + 1)]


def test_stopping_frees_what_it_took(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    latents = noise(checkpoint, 4, 4)
    mx.eval(latents)
    gc.collect()
    before = mx.get_active_memory()
    for stop in (1, 4, 9):
        decoding = vae.decode(checkpoint, latents, mx.float32)
        for _ in range(stop):
            next(decoding)
        assert mx.get_active_memory() > before
        decoding.close()
        gc.collect()
        assert mx.get_active_memory() == before


@pytest.mark.parametrize("recompute", [False, True])
def test_no_product_waits_for_the_disk(
    seedling: Path, monkeypatch: pytest.MonkeyPatch, recompute: bool, products: Callable[[], int]
) -> None:
    """A GPU stops work that waits some seconds, as for weights that are read when it comes to them."""
    checkpoint = Checkpoint.open(seedling)
    finish(vae.decode(checkpoint, noise(checkpoint, 4, 4), mx.float32, strip_values=20_000, recompute=recompute))
    finish(vae.encode(checkpoint, picture(64, 32), mx.float32, strip_values=20_000, recompute=recompute))
    assert products() > 100


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts products with weights; one fails whose weights are still to be read."""
    counted = []

    def watched(operation: Callable[..., mx.array], weight_at: int) -> Callable[..., mx.array]:
        def product(*arguments: mx.array, **options: int) -> mx.array:
            before = mx.get_active_memory()
            mx.eval(arguments[weight_at])
            assert mx.get_active_memory() == before
            counted.append(operation)
            return operation(*arguments, **options)

        return product

    monkeypatch.setattr(mx, "conv2d", watched(mx.conv2d, 1))
    monkeypatch.setattr(mx, "addmm", watched(mx.addmm, 2))
    return lambda: len(counted)


def test_an_encoder_is_read_once_for_many_pictures(seedling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint.open(seedling)
    encoder = vae.PixelEncoder(checkpoint, mx.float32)
    monkeypatch.setattr(Checkpoint, "load", lambda *_: pytest.fail("read again"))
    pictures = [np.full((32, 48, 3), value, dtype=np.uint8) for value in (0, 200, 0)]
    first, other, again = map(encoder, pictures)
    assert mx.array_equal(first, again)
    assert not mx.array_equal(first, other)


def test_packing_is_undone_by_unpacking() -> None:
    latents = mx.random.normal((1, 6, 10, 8), key=mx.random.key(0))
    packed = vae.pack_latents(latents)
    assert packed.shape == (1, 32, 3, 5)
    assert mx.array_equal(vae.unpack_latents(packed, mx.array(0.0), mx.array(1.0)), latents)


def test_packed_channels_are_channel_then_row_then_column() -> None:
    latents = mx.zeros((1, 2, 2, 8))
    latents[0, 1, 0, 5] = 7.0
    assert vae.pack_latents(latents)[0, 4 * 5 + 2 * 1 + 0, 0, 0].item() == 7.0


def test_the_batch_norm_is_undone_as_the_format_says(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    tensors = checkpoint.load(VAE)
    mean, std = vae.batch_norm(tensors, checkpoint.vae)
    variance = np.array(tensors["bn.running_var"].astype(mx.float32))
    assert np.allclose(np.array(std).ravel(), np.sqrt(variance + 1e-4), rtol=1e-6)
    assert np.array_equal(np.array(mean).ravel(), np.array(tensors["bn.running_mean"].astype(mx.float32)))


def test_a_picture_is_encoded_whole_however_wide_the_encoder(tiny_checkpoint: Callable[..., Path]) -> None:
    wide = Checkpoint.open(tiny_checkpoint(vae={"block_out_channels": [8, 8, 8, 256], "norm_num_groups": 4}))
    latents = vae.PixelEncoder(wide, mx.float32)(np.zeros((64, 32, 3), dtype=np.uint8))
    assert latents.shape == (1, wide.transformer.in_channels, 4, 2)


def picture(rows: int, columns: int) -> Image8:
    return np.random.default_rng(4).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def encoded(
    checkpoint: Checkpoint, pixels: Image8, strip_values: int, *, recompute: bool = False
) -> tuple[mx.array, int]:
    """The latents, and the bytes of MLX's peak above what was held before."""
    gc.collect()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    _, latents = finish(vae.encode(checkpoint, pixels, mx.float32, strip_values=strip_values, recompute=recompute))
    return latents, mx.get_peak_memory() - before


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(64, 80), (80, 48), (16, 16)])
def test_strips_of_any_height_give_the_latents_of_the_whole_picture(
    seedling: Path, rows: int, columns: int, recompute: bool
) -> None:
    checkpoint = Checkpoint.open(seedling)
    expected, _ = encoded(checkpoint, picture(rows, columns), WHOLE)
    assert expected.shape == (1, checkpoint.transformer.in_channels, rows // 16, columns // 16)
    row = checkpoint.vae.block_out_channels[0] * columns
    for strip_values in (1, 3 * row, 5 * row):
        found, _ = encoded(checkpoint, picture(rows, columns), strip_values, recompute=recompute)
        assert float(mx.abs(found - expected).max()) <= 1e-4 * float(mx.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(("recompute", "most"), [(False, 0.5), (True, 0.3)])
def test_a_picture_is_encoded_in_strips_in_less_memory(narrow: Checkpoint, recompute: bool, most: float) -> None:
    pixels = picture(384, 384)
    expected, whole_peak = encoded(narrow, pixels, WHOLE)
    found, peak = encoded(narrow, pixels, 12 * 384 * CHANNELS, recompute=recompute)
    assert float(mx.abs(found - expected).max()) <= 1e-4 * float(mx.abs(expected).max())
    assert peak < most * whole_peak


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
def test_encoding_a_picture_takes_what_the_plan_says(tiny_checkpoint: Callable[..., Path], recompute: bool) -> None:
    checkpoint = Checkpoint.open(tiny_checkpoint(vae={"block_out_channels": [16, 32, 32, 32], "norm_num_groups": 4}))
    strip_values = 8 * 320 * 16
    _, measured = encoded(checkpoint, picture(256, 320), strip_values, recompute=recompute)
    predicted = encoding_image(checkpoint.vae, 320, 256, device.backend(), 4, strip_values, recompute=recompute)
    assert predicted == pytest.approx(measured, rel=0.1)


def test_encoding_counts_up_to_its_total_and_frees_what_it_took_when_stopped(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    events = finish(vae.encode(checkpoint, picture(32, 32), mx.float32))[0]
    total = events[0][1]
    assert events == [(done, total) for done in range(1, total + 1)]
    gc.collect()
    before = mx.get_active_memory()
    for stop in (1, 4, 9):
        encoding = vae.encode(checkpoint, picture(32, 32), mx.float32)
        for _ in range(stop):
            next(encoding)
        assert mx.get_active_memory() > before
        encoding.close()
        gc.collect()
        assert mx.get_active_memory() == before


def test_a_picture_survives_encoding_and_decoding(seedling: Path) -> None:
    checkpoint = Checkpoint.open(seedling)
    picture = Image.new("RGB", (128, 96), (203, 211, 216))
    ImageDraw.Draw(picture).ellipse([40, 20, 90, 70], fill=(214, 40, 40))
    given = np.asarray(picture)
    latents = vae.PixelEncoder(checkpoint, mx.float32)(given)
    assert latents.shape == (1, checkpoint.transformer.in_channels, 6, 8)
    _, pixels = finish(vae.decode(checkpoint, latents, mx.float32))
    error = np.square(given.astype(float) - pixels).mean()
    assert 10 * np.log10(255**2 / error) > 24
