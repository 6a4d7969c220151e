"""What is said of pictures that do not go in quite as they are: each thing in one way, wherever it is said."""

from __future__ import annotations

from .frame import Size

LAID_ON_WHITE = "its transparent parts are laid on white"
UPPER_BITS = "of its 16 bits a channel the upper eight are used"


def first_of(frames: int) -> str:
    return f"of its {frames} pictures the first is used"


def stretched(mask: Size, picture: Size) -> str | None:
    """What is said of a mask that is scaled to its picture; None where that changes no more than rounding would do."""
    across = abs(mask[0] - mask[1] * picture[0] / picture[1])
    down = abs(mask[1] - mask[0] * picture[1] / picture[0])
    if min(across, down) <= 1:
        return None
    sizes = (f"{width}x{height}" for width, height in (mask, picture))
    return "the mask has another shape than the picture ({} and {}) and is stretched to it".format(*sizes)
