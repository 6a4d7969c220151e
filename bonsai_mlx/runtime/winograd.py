"""Convolutions as they are defined: MLX is kept from Winograd's algorithm.

On Metal MLX computes a 3x3 convolution by Winograd's F(6x6, 3x3) if it is large (4096 positions and, in and out
together, 256 channels), also in bfloat16, where that loses precision: emulated, it errs by 6 % of the result's size
instead of 0.2 %, and by up to 10 of 255 in a picture. And because a strip's size decides, different memory plans would
draw different pictures. Computed directly they draw the same one, as exact as bfloat16 is; what that costs in the time
of decoding is not measured on a Mac. MLX's documentation, on precision, names the switch; it is read at every such
convolution.
"""

from __future__ import annotations

import os

from . import environment

VARIABLE = "MLX_CONV_WINOGRAD"


def avoid() -> None:
    """Switch it off for this process and those that it starts, unless the user has set the variable."""
    if environment.text(VARIABLE) is None:
        os.environ[VARIABLE] = "0"


def remedy() -> str:
    """How to switch it off where the user has it on; empty where it is off."""
    return "" if environment.text(VARIABLE) in (None, "0") else f"unset {VARIABLE}, or set it to 0"
