"""The judge passes clean drawings, fails other prompts' drawings, and says why."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from seedling.draw.render import render
from seedling.draw.scene import Place, Scene, Subject
from seedling.judge import backdrops, prompts
from seedling.judge.expectations import Expectation, Prompt, Thing
from seedling.judge.judge import judge
from seedling.judge.segmentation import filled, grown, is_plain, is_rough, label, pixels_of, shrunk
from seedling.judge.validation import shaky, trust


def _drawn(prompt: Prompt, seed: int = 1) -> Image.Image:
    return render(prompts.clean_scene(prompt, random.Random(seed)))


def _prompt(*things: Thing, **rest: str) -> Prompt:
    return Prompt("", "free", Expectation(things, **rest))


@pytest.mark.parametrize("category", prompts.CATEGORIES)
def test_clean_drawings_pass_and_others_do_not(category: str) -> None:
    found = trust(prompts.held_out(category, 12, seed=5), seed=1)
    assert found.right == 1
    assert found.shaken >= 0.9
    assert found.shuffled < 0.2  # two prompts may ask for the same pair
    assert found.scrambled == 0


def test_it_is_strict_on_number_kind_colour_relation_and_ground() -> None:
    cat, cup = Subject("cat", "red", 0.26, 0.5, 0.19), Subject("cup", "blue", 0.74, 0.5, 0.19)
    picture = render(Scene("left", (cat, cup), ground="yellow"))
    right = Expectation((Thing("cat", colour="red"), Thing("cup", colour="blue")), "left", "yellow")
    assert judge(picture, Prompt("", "position", right)).passed
    for wrong, reason in (
        (replace(right, things=(Thing("cat"), Thing("cup", 2))), "2 things, not 3"),
        (replace(right, things=(Thing("cat"), Thing("fish"))), "should be"),
        (replace(right, things=(Thing("cat", colour="blue"), Thing("cup"))), "the cat is not blue"),
        (replace(right, relation="right"), "not right of"),
        (replace(right, ground="green"), "the ground is not green"),
        (replace(right, sky="night"), "there is no landscape"),
    ):
        verdict = judge(picture, Prompt("", "position", wrong))
        assert not verdict.passed
        assert reason in verdict.reason


def test_a_little_blur_and_noise_is_forgiven() -> None:
    prompt = prompts.held_out("counting", 1)[0]
    pixels = np.asarray(_drawn(prompt).resize((128, 128)).resize((256, 256)), np.float64)
    noisy = np.clip(pixels + np.random.default_rng(0).normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)
    assert judge(Image.fromarray(noisy), prompt).passed


@pytest.mark.parametrize("grain", [1, 4, 12])
def test_noise_is_no_drawing_of_anything(grain: int) -> None:
    """Nor is it a landscape in which a thing may be found by chance."""
    for seed, kind in enumerate(("boat", "house", "cup", "cloud", "butterfly", "circle")):
        coarse = np.random.default_rng(seed).integers(0, 255, (256 // grain, 256 // grain, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC)
        assert judge(picture, _prompt(Thing(kind))).reason == "it is noise"
    for prompt in prompts.held_out("two", 6):
        assert not is_rough(pixels_of(shaky(_drawn(prompt), 1)))


def test_landscapes_are_recognised() -> None:
    for sky, land in (("night", "snow"), ("sunset", "sea"), ("pink", "meadow"), ("day", "desert")):
        place = Place(sky, land, "mountains", body="moon" if sky == "night" else "sun", body_x=0.8)
        pixels = pixels_of(render(Scene("view", (), place=place, seed=4)))
        assert not is_plain(pixels)
        assert backdrops.place_of(pixels) == (sky, land)
        assert backdrops.has_body(pixels)
        assert backdrops.has_heights(pixels)


@pytest.mark.parametrize("weather", ["rain", "snow", ""])
def test_weather_is_recognised(weather: str) -> None:
    """In clean drawings and shaky ones; stars are no snow."""
    for sky, land in (("grey", "meadow"), ("winter", "snow"), ("night", "garden")):
        for seed in (0, 1):
            picture = render(Scene("view", (), place=Place(sky, land, weather=weather), seed=seed))
            assert backdrops.weather_of(pixels_of(picture)) == weather
            assert backdrops.weather_of(pixels_of(shaky(picture, seed))) == weather


def test_a_full_moon_is_no_crescent() -> None:
    for seed in range(4):
        for body, full in (("moon", True), ("crescent", False)):
            place = Place("night", "sea", body=body, body_x=0.8)
            picture = shaky(render(Scene("view", (), place=place, seed=seed)), seed)
            assert backdrops.has_body(pixels_of(picture))
            assert backdrops.has_body(pixels_of(picture), full=True) == full


def test_mist_is_recognised() -> None:
    for sky, land, seed in (("grey", "meadow", 0), ("dawn", "lake", 1), ("grey", "desert", 2)):
        for weather in ("mist", ""):
            picture = shaky(render(Scene("view", (), place=Place(sky, land, weather=weather), seed=seed)), seed)
            assert backdrops.is_misty(pixels_of(picture)) == (weather == "mist")


def test_nothing_stands_in_a_view_that_nobody_asked_for() -> None:
    place = Place("day", "meadow", "mountains")
    asked = _prompt(land="meadow", heights="mountains")
    assert judge(render(Scene("view", (), place=place)), asked).passed
    house = Subject("house", "red", 0.5, 0.66, 0.25)
    verdict = judge(render(Scene("alone", (house,), place=place)), asked)
    assert verdict.reason == "there is a house that nobody asked for"


def test_bonsai_are_judged_by_form_season_and_pot() -> None:
    tree = Subject("bonsai", "pink", r=0.34, form="cascade", season="cherry", accent="blue")
    picture = render(Scene("single", (tree,)))
    assert judge(picture, _prompt(Thing("bonsai", season="cherry", form="cascade", accent="blue"))).passed
    assert "not formal" in judge(picture, _prompt(Thing("bonsai", form="formal"))).reason
    assert "is red" in judge(picture, _prompt(Thing("bonsai", accent="red"))).reason
    assert "not red or orange" in judge(picture, _prompt(Thing("bonsai", season="maple"))).reason


def test_regions_are_numbered_and_holes_filled() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False
    mask[7, 7] = True
    labels, count = label(mask)
    assert count == 2
    assert labels[1, 1] == labels[5, 5] != labels[7, 7]
    assert filled(mask)[3, 3]
    assert filled(mask).sum() == 26


@pytest.mark.parametrize("side", [3, 5, 9])
def test_growing_and_shrinking_are_the_filters_of_that_name(side: int) -> None:
    image = Image.effect_noise((40, 30), 90)
    grey = np.asarray(image)
    assert np.array_equal(grown(grey, side), np.asarray(image.filter(ImageFilter.MaxFilter(side))))
    assert np.array_equal(shrunk(grey, side), np.asarray(image.filter(ImageFilter.MinFilter(side))))
