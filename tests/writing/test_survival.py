"""What a longer text keeps of what a person said."""

from __future__ import annotations

import pytest

from bonsai_mlx.writing.survival import survival

LONG = "Two small cats with blue eyes chase a butterfly across 12 old rooftops at dusk, soft light, 35mm"


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("two cats", ()),
        ("2 cats and butterflies, please", ()),
        ("a cat at dusk", ()),
        ("Twelve rooftops", ()),
        ("three cats", ("three",)),
        ("draw me a picture of a dog and cats", ("dog",)),
        ("cats, 13 rooftops, eyes", ("13",)),
        ("a red cat's eye", ("red",)),
        ("blue-eyed cats", ()),  # a part of a compound is enough
        ("", ()),
    ],
)
def test_each_word_and_number_is_looked_for(prompt: str, missing: tuple[str, ...]) -> None:
    found = survival(prompt, LONG)
    assert (found.missing, found.checked) == (missing, True)
    assert found.sentence == (f"Left out: {', '.join(missing)}." if missing else None)


@pytest.mark.parametrize("prompt", ["zwei Katzen auf Dächern", "屋根の上の猫", "кошки на крыше"])
def test_other_languages_are_said_to_be_unchecked(prompt: str) -> None:
    found = survival(prompt, LONG)
    assert (found.missing, found.checked) == ((), False)
    assert "another language" in str(found.sentence)
    assert survival(f"{prompt} 77", LONG).missing == ("77",)


def test_words_that_are_all_lost_are_not_passed_over() -> None:
    found = survival("cherry blossom", "a huge yellow sun")
    assert "none of them is in it" in str(found.sentence)


def test_a_single_english_word_that_is_lost_is_lost() -> None:
    assert survival("dog", LONG).missing == ("dog",)
    assert survival("the dog house", LONG).missing == ("dog", "house")
