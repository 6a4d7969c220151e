"""Training pairs: each depends on the seed and its number alone, and no free prompt is among the captions."""

import numpy as np

from seedling.draw import data
from seedling.judge import prompts


def test_an_item_depends_on_seed_and_number_alone() -> None:
    forwards = [data.pair(index, 3, 64) for index in range(4)]
    backwards = [data.pair(index, 3, 64) for index in reversed(range(4))][::-1]
    for (picture, texts), (other, others) in zip(forwards, backwards, strict=True):
        assert np.array_equal(picture, other)
        assert texts == others
    assert len({texts for _, texts in forwards}) == 4


def test_items_are_pictures_with_four_captions() -> None:
    for picture, texts in (data.pair(index, size=96) for index in range(3)):
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        assert len(texts) == data.CAPTIONS
        assert all(texts)


def test_another_seed_is_other_data() -> None:
    assert data.pair(0, 1, 64)[1] != data.pair(0, 2, 64)[1]


def test_free_prompts_are_reserved_and_single_words_are_not() -> None:
    assert data.plain_words("Two red houses at night.") in data._reserved()
    assert data.plain_words("bonsai") not in data._reserved()
    assert len(prompts.free()) == 60
