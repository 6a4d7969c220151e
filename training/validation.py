"""Is the judge right? What it says of clean drawings, beside their own captions and beside each other's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from .expectations import Prompt
from .judge import judge
from .prompts import clean_scene
from .render import render


class Trust(NamedTuple):
    """Shares of clean drawings that the judge passes: beside their own caption, and beside another of the category."""

    right: float
    shuffled: float


def trust(prompts: Sequence[Prompt], seed: int = 0) -> Trust:
    """Draw what each prompt asks for; judge it, and the next prompt beside the same drawing."""
    right = shuffled = 0
    for index, prompt in enumerate(prompts):
        picture = render(clean_scene(prompt, random.Random(f"{seed} {prompt.text}")))
        right += judge(picture, prompt).passed
        shuffled += judge(picture, prompts[(index + 1) % len(prompts)]).passed
    return Trust(right / len(prompts), shuffled / len(prompts))
