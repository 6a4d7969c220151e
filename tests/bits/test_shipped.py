"""The model of bits that a package brings, if it brings one: its own codes hardly change on a second way through."""

from __future__ import annotations

import random

from bonsai_mlx.bits.codec import Codec
from bonsai_mlx.hub.published import CATALOG, seedling_of_bits
from seedling.draw.render import render
from seedling.judge.prompts import clean_scene, held_out


def test_encoding_a_decoded_picture_gives_nearly_the_same_bits() -> None:
    shipped = seedling_of_bits()
    assert [entry for entry in CATALOG if entry.family == "bits"] == list(shipped)
    for entry in shipped:
        assert entry.embedded_folder is not None
        codec = Codec.from_pretrained(entry.embedded_folder)
        for prompt in held_out("single", 8):
            code = codec.encode(render(clean_scene(prompt, random.Random(prompt.text))))
            distance = codec.encode(codec.decode(code)).distance(code)
            assert distance is not None
            assert distance < 0.02 * 8 * len(code.bits), prompt.text
