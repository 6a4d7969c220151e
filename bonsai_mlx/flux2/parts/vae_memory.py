"""What the VAE holds at its widest moment, predicted from its shapes: strip by strip, see `vae` and `strips`."""

from __future__ import annotations

from ...nn.limits import PREVIEW_STRIP_VALUES
from .config import VaeConfig
from .tiny_decoder import SCALE, WIDTH


def decoding(
    config: VaeConfig, width: int, height: int, device: str, item: int, strip_values: int, *, recompute: bool
) -> int:
    """The widest moment of the decoder: a layer's weights, its input and output, and the scratch of one strip."""
    channels = config.decoder_channels[::-1]
    pixels = (width // config.scale_factor) * (height // config.scale_factor)
    block = _recomputed_block_values if recompute else _block_values
    before = channels[0]
    attention = (8 * pixels + 4 * before) * before * item  # the map, what is made of it on the way, four weights
    moments = [block(pixels, before, before, device, strip_values) * item, attention]
    for index, after in enumerate(channels):
        moments.append(block(pixels, before, after, device, strip_values, upsampled=index > 0) * item)
        before = after
        pixels *= 4
    return max(moments)


def encoding_image(
    config: VaeConfig, width: int, height: int, device: str, item: int, strip_values: int, *, recompute: bool = False
) -> int:
    """The widest moment of the encoder for a picture of this size, as in `decoding`.

    Where maps are recomputed, the one before it was halved is there while a block is computed, with the strips that
    halving waits for (four, and their window) and those that both convolutions work on.
    """
    pixels, before = width * height, config.block_out_channels[0]
    block = _recomputed_block_values if recompute else _block_values
    moments = []
    for index, after in enumerate(config.block_out_channels):
        moments.append(block(pixels, before, after, device, strip_values))
        if recompute and index > 0:
            source, strips = 4 * pixels * before, 26 if device == "cpu" else 17
            weights = 9 * (before + after) * after
            moments.append(max(source, pixels * after) + weights + strips * min(strip_values, pixels * before))
        pixels, before = pixels // 4, after
    moments.append((8 * pixels * 4 + 4 * before) * before)  # attention, at the last block's resolution
    return max(moments) * item


def _block_values(
    pixels: int,
    before: int,
    after: int,
    device: str,
    strip_values: int,
    *,
    upsampled: bool = False,  # noqa: ARG001
) -> int:
    """A residual block of the decoder whose maps are kept; see vae.ResnetBlock.

    The input shrinks while the first result and what is added at the end grow; then both are whole while the second
    convolution starts.
    """
    weights = 9 * (before * before if after <= before else (before + after) * after)
    strip = min(pixels, max(1, strip_values // max(before, after)))  # positions
    copies = 3 + (9 if device == "cpu" else 0)  # normalised, result and sum; unrolled on a CPU
    if strip < pixels:
        copies += 2  # rows borrowed from the neighbours
    first = max(pixels * before, strip * before + (pixels - strip) * 2 * after) + copies * strip * before
    second = pixels * 2 * after + copies * strip * after
    return weights + max(first, second)


def _recomputed_block_values(
    pixels: int, before: int, after: int, device: str, strip_values: int, *, upsampled: bool = False
) -> int:
    """The same where only the input, before it is doubled, and the output are kept, and one becomes the other.

    All convolutions run at once, each a strip behind the one before it; the one at work copies its weights.
    """
    weights = 9 * ((before + after) * after + before * max(before, after) + (before * before if upsampled else 0))
    source = pixels * before // (4 if upsampled else 1)
    strip = min(pixels, max(1, strip_values // max(before, after)))
    copies = 4 + (9 if device == "cpu" else 0) + (4 if strip < pixels else 0)  # the strips that are waited for
    return weights + max(source, pixels * after) + copies * strip * before


def previewing(width: int, height: int, device: str, item: int) -> int:
    """The widest moment of TAEF2's decoder, a chain of layers, see `preview`: as measured, within a sixth.

    Each of the 25 convolutions after the first resolution keeps rows of its window and most of a strip; the one at work
    copies its window; the first map is whole, with what its blocks make of it. Weights are dropped as layers end.
    """
    values = 400_000.0 + 3 * WIDTH * (width // SCALE) * (height // SCALE)
    for place, layers in enumerate((10, 10, 5), start=1):
        row = WIDTH * (width // SCALE) * 2**place
        strip = min(row * (height // SCALE) * 2**place, max(PREVIEW_STRIP_VALUES[device], 2 * row))
        values += layers * (0.85 * strip + 6.5 * row)
    return int((values + (4.5 if device == "cpu" else 1) * (strip + 2 * row)) * item)
