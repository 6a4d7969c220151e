"""Captions say what is there and only that."""

import random
import re

from seedling.draw import layouts, words
from seedling.draw.captions import caption
from seedling.draw.palette import KINDS, NAMES
from seedling.draw.sampling import sample
from seedling.draw.scene import Place, Scene, Subject

SAID = frozenset(("colour",))


def _texts(scene: Scene, count: int = 60) -> list[str]:
    rng = random.Random(5)
    return [caption(scene, rng) for _ in range(count)]


def _red_house(**place: object) -> Scene:
    return Scene("single", (Subject("house", "red", said=SAID),), ground="blue")


def test_there_are_many_phrasings_and_all_name_the_thing() -> None:
    texts = _texts(_red_house())
    assert len(set(texts)) > 40
    assert all("red" in text.lower() and "house" in text.lower() and "blue" in text.lower() for text in texts)


def test_an_unsaid_colour_is_not_named() -> None:
    texts = _texts(Scene("single", (Subject("house", "red"),)))
    assert not any(name in text.lower().split() for text in texts for name in NAMES)


def test_bare_nouns_and_polite_requests_occur() -> None:
    texts = _texts(Scene("single", (Subject("bonsai", "green"),)), 600)
    assert {"bonsai", "a bonsai"} <= set(texts)
    assert any(text.startswith("please draw a") for text in texts)


def test_numbers_are_right() -> None:
    scene = layouts.counted(random.Random(1), 3, Subject("butterfly", "red"), ground="")
    assert all(re.search(r"\b(three|3)\b.*butterflies", text.lower()) for text in _texts(scene))


def test_relations_are_right() -> None:
    scene = Scene("left", (Subject("cat", "red"), Subject("cup", "red")))
    for text in _texts(scene):
        assert re.search(r"cat.* left.*(cup|mug)", text.lower())


def test_a_place_is_spoken_of_as_said() -> None:
    place = Place("night", "sea", body="moon", said=frozenset(("sky", "body")))
    for text in _texts(Scene("alone", (Subject("boat", "red"),), place=place)):
        assert "moon" in text.lower()
        assert "night" in text.lower() or "stars" in text.lower()
        assert "sea" not in text.lower()


def test_captions_are_short_and_the_vocabulary_small() -> None:
    rng = random.Random(8)
    lines = [re.findall(r"[a-z0-9-]+", caption(sample(rng), rng).lower()) for _ in range(2500)]
    assert max(map(len, lines)) <= 26
    assert len({word for line in lines for word in line}) <= 260


def test_plurals() -> None:
    assert [words.plural(w) for w in ("cat", "fish", "butterfly", "bonsai tree")] == [
        "cats", "fish", "butterflies", "bonsai trees"]  # fmt: skip
    assert all(words.article(kind).split()[1:] for kind in KINDS)
